"""A browser for the tests that look at pages."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

BROWSER_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

SLOWEST = 150
"""Seconds that a script on a page may take: on a busy machine axe takes long on the largest of them."""


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Headless Chromium that records what each page asks for and what it logs."""
    from selenium import webdriver

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        message = "Chromium and chromedriver are not installed"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*BROWSER_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    with contextlib.closing(_Closing(webdriver.Chrome(options, webdriver.ChromeService(driver)))) as closing:
        closing.driver.set_script_timeout(SLOWEST)
        yield closing.driver


@dataclass
class _Closing:
    driver: object

    def close(self) -> None:
        self.driver.quit()


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
