"""A browser for the tests that look at pages."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass

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
