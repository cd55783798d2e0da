"""The page that shows a recording: what it says without scripts, and how it answers in a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from headless_browser import axe, browser, violations  # noqa: F401  (two are fixtures)
from jax.experimental import pallas as pl
from recorded_kernels import matmul_arrays, matmul_call, sum_rows_call

from pallas_np import Recording, record


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record(matmul_call())(*matmul_arrays())


def data_of(html: str) -> Any:
    found = re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_a_notebook_and_a_file_show_the_same(recording: Recording, tmp_path: Path) -> None:
    page = recording.save_html(tmp_path / "page.html").read_text()
    assert data_of(page) == data_of(recording._repr_html_())
    assert page.startswith("<!doctype html>") and "<title>Recording of matmul</title>" in page


def test_a_page_asks_the_network_for_nothing(recording: Recording) -> None:
    html = recording._repr_html_()
    assert set(re.findall(r"https?://[^\"' ]+", html)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(link|img|iframe)|src=|@import|url\(", html)


def test_no_page_is_replaced_unasked(recording: Recording, tmp_path: Path) -> None:
    path = recording.save_html(tmp_path / "page.html")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        recording.save_html(path)
    recording.save_html(path, overwrite=True)


def test_without_scripts_there_is_a_listing(recording: Recording) -> None:
    listing = recording._repr_html_().partition('<script type="application/json">')[0]
    for text in ("step", "(1, 0)", "acc_ref[...] = ", "4:8, 0:4", "recorded_kernels.py:", "out_ref"):
        assert text in listing, text


def test_text_of_the_users_is_never_markup(tmp_path: Path) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] + len("</script><b>")

    html = record(pl.pallas_call(kernel, jax.ShapeDtypeStruct((3,), jnp.int32)))(np.zeros(3, np.int32))._repr_html_()
    assert "<b>" not in html and html.count("</script>") == 2
    assert any("</script><b>" in text for lines in data_of(html)["sources"].values() for _, text in lines)


def test_large_arrays_show_their_leading_part() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[40:, :] = x_ref[40:, :]
        out_ref[31:33, 30:] = x_ref[0:2, 30:]

    x = np.arange(64 * 40, dtype=np.int32).reshape(64, 40)
    data = data_of(record(pl.pallas_call(kernel, jax.ShapeDtypeStruct(x.shape, x.dtype)))(x)._repr_html_())
    (step,) = data["launches"][0]["steps"]
    whole = data["values"][step["contents"]["x_ref"]]
    assert (whole["shape"], whole["rows"], whole["columns"]) == ([64, 40], 32, 32)
    assert whole["words"].split() == [str(n) for n in x[:32, :32].ravel()]
    below, edge = (a for e in step["equations"] for a in e["accesses"] if a["kind"] == "write")
    assert below["runs"] == []
    assert (edge["runs"], edge["after"]) == ([[31 * 32 + 30, 2]], "30 31")


def test_a_long_recording_says_that_its_page_is_cut(monkeypatch: pytest.MonkeyPatch, recording: Recording) -> None:
    monkeypatch.setattr("pallas_np.inspector.page.MAX_ELEMENTS", 200)
    data = data_of(recording._repr_html_())
    assert len(data["launches"][0]["steps"]) < 4
    assert any("this page ends before step" in notice for notice in data["notices"])


# In a browser.


@pytest.fixture
def opened(browser: Any, recording: Recording, tmp_path: Path) -> Iterator[Any]:  # noqa: F811
    metrics = {"width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(recording.save_html(tmp_path / "page.html").as_uri())
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def text_of(driver: Any, selector: str) -> str:
    return driver.execute_script(f"return document.querySelector('{selector}').textContent")


def now(driver: Any) -> str:
    return text_of(driver, ".pnr-now")


def element(driver: Any, selector: str) -> Any:
    from selenium.webdriver.common.by import By

    return driver.find_element(By.CSS_SELECTOR, selector)


def click(driver: Any, selector: str) -> None:
    driver.execute_script(f"document.querySelector('{selector}').click()")


def contents(driver: Any, ref: str) -> list[str]:
    return driver.execute_script(
        "return [...document.querySelectorAll('.pnr-pane[aria-label=Refs] table')]"
        ".filter(t => t.caption.textContent.startsWith(arguments[0]))"
        ".flatMap(t => [...t.querySelectorAll('td')].map(c => c.textContent))",
        f"{ref}:",
    )


@pytest.mark.site
def test_buttons_keys_and_sliders_step(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    assert now(opened).startswith("step (0, 0), equation 1 of ")
    click(opened, 'button[aria-label="Next equation"]')
    assert "equation 2 of" in now(opened)
    element(opened, 'button[aria-label="Next equation"]').send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert "equation 3 of" in now(opened)
    slider = element(opened, 'input[aria-label="Equation"]')
    slider.send_keys(Keys.END)
    assert "out_ref[...] = " in now(opened) and "out_ref[...] = " in slider.get_attribute("aria-valuetext")
    click(opened, 'button[aria-label="Next equation"]')
    assert now(opened).startswith("step (0, 1), equation 1 of ")
    click(opened, ".pnr-grid button:nth-child(3)")
    assert now(opened).startswith("step (1, 0), equation 1 of ")
    assert "x_ref[4:8, 0:4]" in text_of(opened, ".pnr-arrays")


@pytest.mark.site
def test_refs_hold_what_they_held(opened: Any, recording: Recording) -> None:
    step = recording.steps[0]
    for number, equation in enumerate(step.equations):
        opened.execute_script(f"document.querySelectorAll('.pnr-list button')[{number}].click()")
        for name, held in step.contents_after(equation).items():
            assert isinstance(held, np.ndarray)
            wanted = ["–" if np.isnan(x) else f"{x:.5g}" for x in held.ravel().astype(float)]
            assert contents(opened, name) == wanted, (equation, name)


@pytest.mark.site
def test_before_and_after(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    last = element(opened, 'input[aria-label="Equation"]')
    last.send_keys(Keys.END)
    assert "–" not in contents(opened, "out_ref")
    opened.execute_script("document.querySelector('.pnr-pane[aria-label=Refs] button').click()")
    assert set(contents(opened, "out_ref")) == {"–"}


@pytest.mark.site
def test_search_and_source_lines_lead_to_equations(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    search = element(opened, "input[type=search]")
    search.send_keys("dot_general", Keys.ENTER)
    assert "dot_general" in now(opened) and now(opened).startswith("step (0, 0)")
    assert text_of(opened, "span[role=status]") == "1 of 4"
    search.send_keys(Keys.ENTER)
    assert now(opened).startswith("step (0, 1)")
    opened.execute_script(
        "[...document.querySelectorAll('.pnr-code .pnr-row')]"
        ".find(row => row.textContent.includes('out_ref[...] =')).click()"
    )
    assert "acc_ref[...]" in now(opened)
    search.clear()
    search.send_keys("nowhere", Keys.ENTER)
    assert text_of(opened, "span[role=status]") == "nothing found"


@pytest.mark.site
def test_the_page_fits_a_phone_and_paper_has_the_listing(opened: Any) -> None:
    assert opened.execute_script("return document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert not element(opened, ".pnr-listing").is_displayed()
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert element(opened, ".pnr-listing").is_displayed() and not element(opened, ".pnr-view").is_displayed()
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.site
def test_loops_failures_and_no_kernels_raise_nothing_in_the_page(browser: Any, tmp_path: Path) -> None:  # noqa: F811
    def outside(i_ref: Any, out_ref: Any) -> None:
        out_ref[i_ref[0]] = 1

    def copied(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]

    spec = pl.BlockSpec((1,), lambda i: (i,))
    zeros = jax.ShapeDtypeStruct((300,), jnp.float32)
    many = pl.pallas_call(copied, zeros, grid=(300,), in_specs=[spec], out_specs=spec)
    failing = pl.pallas_call(outside, jax.ShapeDtypeStruct((3,), jnp.int32))
    recordings = {
        "loop": record(sum_rows_call())(np.ones((3, 4), np.float32)),
        "failed": record(failing)(np.int32([7])),
        "cut": record(matmul_call(), max_bytes=500, max_equations=30)(*matmul_arrays()),
        "none": record(lambda: None)(),
        "many": record(many)(np.zeros(300, np.float32)),
    }
    browser.get_log("browser")
    for name, found in recordings.items():
        browser.get(found.save_html(tmp_path / f"{name}.html").as_uri())
        assert browser.execute_script("return document.querySelector('.pnr').dataset.ready") == ""
        for _ in range(8):
            browser.execute_script(
                "document.querySelector('.pnr :last-child').dispatchEvent("
                "new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}))"
            )
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == [], name
    assert "Too many steps to draw" in text_of(browser, ".pnr-pane[aria-label=Grid]")
    browser.get((tmp_path / "failed.html").as_uri())
    browser.execute_script("document.querySelector('input[aria-label=Equation]').focus()")
    assert "OutOfBounds" not in now(browser) and "lies outside a ref" in text_of(browser, ".pnr-notice")


@pytest.mark.site
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_a_file_nor_where_a_page_has_two(
    browser: Any,  # noqa: F811
    axe: str,  # noqa: F811
    recording: Recording,
    tmp_path: Path,
    scheme: str,
) -> None:
    other = record(sum_rows_call())(np.ones((3, 4), np.float32))
    both = tmp_path / "both.html"
    both.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Two</title></head><body><main><h1>Two</h1>'
        f"<h2>of them</h2>{recording._repr_html_()}{other._repr_html_()}</main></body></html>"
    )
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    for page in (recording.save_html(tmp_path / "page.html"), both):
        browser.get(page.as_uri())
        assert violations(browser, axe) == []
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
