"""The site as a reader's browser sees it: over HTTP under a sub-path, and as plain files."""

import json
from urllib.parse import urlsplit

import pytest

from .conftest import SITE, built_pages

pytestmark = pytest.mark.site

WIDTHS = {"wide": 1280, "phone": 390}
# A name with an underscore, a part of it, and a primitive whose name a search for prose would drop.
SEARCHES = ["numpy_rules", "rules", "while", "dot_general"]


def set_view(browser, width: int, scheme: str) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def requests_since_last(browser) -> list[str]:
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def complaints(browser) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("WARNING", "SEVERE")]


def wait_for(browser, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 60).until(condition)


def results_of_search(browser, words: str) -> str:
    """Types into the search field; the text of the results."""
    from selenium.webdriver.common.by import By

    field = browser.find_element(By.CSS_SELECTOR, ".md-search__input")
    browser.execute_script("document.getElementById('__search').click()")
    wait_for(browser, lambda _: field.is_displayed())
    field.send_keys(words)
    wait_for(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".md-search-result__item"))
    return browser.find_element(By.CSS_SELECTOR, ".md-search-result__list").text


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_pages_ask_for_nothing_outside_and_log_no_errors(browser, served_site, pages, width, scheme):
    set_view(browser, width, scheme)
    requests_since_last(browser), complaints(browser)
    for page in pages:
        if page.name == "404.html":
            continue  # It links from the server's root, and is no page of the book.
        browser.get(f"{served_site}/{page.name}")
        wait_for(browser, lambda b: b.execute_script("return document.readyState") == "complete")
        outside = [
            url
            for url in requests_since_last(browser)
            if not url.startswith(served_site) and urlsplit(url).scheme not in ("data", "blob", "about", "chrome")
        ]
        assert not outside, page.name
        assert not complaints(browser), page.name
        colours = browser.execute_script("return document.body.getAttribute('data-md-color-scheme')")
        assert colours == {"light": "default", "dark": "slate"}[scheme]
        overflow = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
        assert overflow <= 0, f"{page.name} is {overflow} pixels wider than the window"


@pytest.mark.parametrize("words", SEARCHES)
def test_search_finds_names_and_words(browser, served_site, pages, words):
    set_view(browser, 1280, "light")
    browser.get(f"{served_site}/index.html")
    titles = [page.soup.h1.get_text().strip("¶") for page in pages if words in page.soup.article.get_text()]
    found = results_of_search(browser, words)
    assert titles
    assert any(title in found for title in titles)


@pytest.mark.parametrize("term", ["Ragged block", "Semaphore", "Scalar prefetch"])
def test_search_finds_a_term_where_it_is_explained(browser, served_site, term):
    set_view(browser, 1280, "light")
    browser.get(f"{served_site}/index.html")
    found = results_of_search(browser, term.lower())
    assert "Glossary" in found and term in found


def test_search_works_on_plain_files(browser):
    set_view(browser, 1280, "light")
    browser.get((SITE / "index.html").as_uri())
    assert "numpy_rules" in results_of_search(browser, "numpy_rules")


def test_a_notebook_can_be_downloaded(browser, served_site, tmp_path):
    from selenium.webdriver.common.by import By

    set_view(browser, 1280, "light")
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    browser.get(f"{served_site}/phases/phase1.html")
    browser.find_element(By.CSS_SELECTOR, "a[download]").click()
    wait_for(browser, lambda _: (tmp_path / "phase1.ipynb").is_file())
    notebook = json.loads((tmp_path / "phase1.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4 and notebook["cells"]


def test_code_can_be_copied(browser, served_site):
    from selenium.webdriver.common.by import By

    set_view(browser, 1280, "light")
    with_code = [page for page in built_pages() if page.soup.select("article .highlight pre > code")]
    for page in with_code:
        browser.get(f"{served_site}/{page.name}")
        blocks = len(page.soup.select("article .highlight pre > code"))
        wait_for(browser, lambda b, n=blocks: len(b.find_elements(By.CSS_SELECTOR, "[data-clipboard-target]")) >= n)


def test_what_is_folded_is_printed(browser, served_site):
    set_view(browser, 1280, "light")
    browser.get(f"{served_site}/phases/phase1.html")
    wait_for(browser, lambda b: b.execute_script("return document.readyState") == "complete")

    def folded() -> int:
        return browser.execute_script("return document.querySelectorAll('article details:not([open])').length")

    before = folded()
    assert before > 2
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert folded() == 0
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert folded() == before
