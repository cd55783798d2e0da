"""Every page by axe's rules, light and dark: names, contrast, order, what the keyboard reaches."""

from __future__ import annotations

import pytest
from headless_browser import axe, violations  # noqa: F401  (the first is a fixture)

from .conftest import BuiltPage, built_pages
from .test_browser import set_view, wait_for

pytestmark = pytest.mark.site

PAGES = [page for page in built_pages() if page.name != "404.html"]
# What the colours can break; a page has the same structure in light and in dark.
COLOUR_RULES = ["color-contrast", "link-in-text-block"]


def open_page(browser, address: str, scheme: str) -> None:
    set_view(browser, 1280, scheme)
    browser.get(address)
    wait_for(browser, lambda b: b.execute_script("return document.readyState") == "complete")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_axe_finds_nothing(browser, served_site, axe, page: BuiltPage):  # noqa: F811
    open_page(browser, f"{served_site}/{page.name}", "light")
    found = violations(browser, axe)
    open_page(browser, f"{served_site}/{page.name}", "dark")
    found += [f"dark: {violation}" for violation in violations(browser, axe, COLOUR_RULES)]
    assert not found, "\n".join(found)


def test_axe_is_at_work(browser, served_site, axe):  # noqa: F811
    """A picture without words and text that is barely there are found, so that silence means something."""
    open_page(browser, f"{served_site}/index.html", "light")
    browser.execute_script(
        "document.querySelector('article').innerHTML +="
        "\"<img src='images/favicon.svg'><p style='color:#eee;background:#fff'>barely there</p>\""
    )
    rules = [violation.partition(" ")[0] for violation in violations(browser, axe)]
    assert {"image-alt", "color-contrast"} <= {*rules}
