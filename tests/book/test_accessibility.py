"""Every page by axe's rules, light and dark: names, contrast, order, what the keyboard reaches."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from .conftest import BuiltPage, built_pages
from .test_browser import set_view, wait_for

pytestmark = pytest.mark.site

PAGES = [page for page in built_pages() if page.name != "404.html"]
# What the colours can break; a page has the same structure in light and in dark.
COLOUR_RULES = ["color-contrast", "link-in-text-block"]
RUN = """
const [rules, done] = arguments;
const options = {resultTypes: ["violations"], ...(rules && {runOnly: rules})};
axe.run(document, options).then(done, error => done({error: String(error)}));
"""


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, which the package for Playwright brings along; we need no Playwright."""
    package = find_spec("axe_playwright_python")
    if package is None or package.origin is None:
        message = "axe-playwright-python is not installed"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return (Path(package.origin).parent / "axe.min.js").read_text(encoding="utf-8")


def violations(browser, axe: str, rules: list[str] | None = None) -> list[str]:
    """What axe finds on the page that is open: the rule, what it says, and the first places."""
    browser.execute_script(axe)
    found = browser.execute_async_script(RUN, rules)
    assert "error" not in found, found["error"]
    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}\n"
        + "\n".join(f"    {node['html'][:160]}\n      {node['failureSummary']}" for node in rule["nodes"][:4])
        for rule in found["violations"]
    ]


def open_page(browser, address: str, scheme: str) -> None:
    set_view(browser, 1280, scheme)
    browser.get(address)
    wait_for(browser, lambda b: b.execute_script("return document.readyState") == "complete")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_axe_finds_nothing(browser, served_site, axe, page: BuiltPage):
    open_page(browser, f"{served_site}/{page.name}", "light")
    found = violations(browser, axe)
    open_page(browser, f"{served_site}/{page.name}", "dark")
    found += [f"dark: {violation}" for violation in violations(browser, axe, COLOUR_RULES)]
    assert not found, "\n".join(found)


def test_axe_is_at_work(browser, served_site, axe):
    """A picture without words and text that is barely there are found, so that silence means something."""
    open_page(browser, f"{served_site}/index.html", "light")
    browser.execute_script(
        "document.querySelector('article').innerHTML +="
        "\"<img src='images/favicon.svg'><p style='color:#eee;background:#fff'>barely there</p>\""
    )
    rules = [violation.partition(" ")[0] for violation in violations(browser, axe)]
    assert {"image-alt", "color-contrast"} <= {*rules}
