"""The steppers in a browser: by mouse, by keyboard, by slider, and on paper."""

from __future__ import annotations

import pytest

from .conftest import built_pages
from .test_browser import wait_for

pytestmark = pytest.mark.site

WITH_STEPPERS = [page for page in built_pages() if page.soup.select(".pnr-figure")]


@pytest.fixture(params=WITH_STEPPERS, ids=lambda page: page.name)
def stepper(request, browser, served_site):
    """The first stepper of a page."""
    from selenium.webdriver.common.by import By

    metrics = {"width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(f"{served_site}/{request.param.name}")
    return browser.find_element(By.CSS_SELECTOR, ".pnr-figure")


def shown(stepper) -> list[int]:
    """The numbers, from 1, of the steps that can be seen."""
    from selenium.webdriver.common.by import By

    steps = stepper.find_elements(By.CSS_SELECTOR, ".pnr-step")
    return [number for number, step in enumerate(steps, 1) if step.is_displayed()]


def press(stepper, *keys: str) -> None:
    from selenium.webdriver.common.by import By

    stepper.find_elements(By.TAG_NAME, "button")[1].send_keys(*keys)


def test_there_are_steppers():
    assert len(WITH_STEPPERS) >= 3


def test_buttons_go_on_and_back(stepper):
    from selenium.webdriver.common.by import By

    previous, following = stepper.find_elements(By.TAG_NAME, "button")
    assert shown(stepper) == [1] and not previous.is_enabled()
    for expected in ([2], [3]):
        stepper.parent.execute_script("arguments[0].click()", following)
        assert shown(stepper) == expected
    stepper.parent.execute_script("arguments[0].click()", previous)
    assert shown(stepper) == [2]


def test_nothing_moves_from_step_to_step(stepper):
    from selenium.webdriver.common.by import By

    following = stepper.find_elements(By.TAG_NAME, "button")[1]
    where = following.rect["y"]
    for _ in stepper.find_elements(By.CSS_SELECTOR, ".pnr-step"):
        stepper.parent.execute_script("arguments[0].click()", following)
        assert following.rect["y"] == where


def test_keys_still_work_where_a_button_has_come_to_its_end(stepper):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    last = len(stepper.find_elements(By.CSS_SELECTOR, ".pnr-step"))
    press(stepper, *[Keys.ARROW_RIGHT] * last)
    assert shown(stepper) == [last]
    stepper.parent.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    assert shown(stepper) == [last - 1]


def test_arrow_keys_go_on_and_back(stepper):
    from selenium.webdriver.common.keys import Keys

    press(stepper, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert shown(stepper) == [2]


def test_a_finger_goes_on(stepper):
    from selenium.webdriver.common.by import By

    following = stepper.find_elements(By.TAG_NAME, "button")[1]
    stepper.parent.execute_script("arguments[0].scrollIntoView({block: 'center'})", following)
    where = following.rect
    x = where["x"] + where["width"] / 2 - stepper.parent.execute_script("return scrollX")
    y = where["y"] + where["height"] / 2 - stepper.parent.execute_script("return scrollY")
    stepper.parent.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    for kind, points in (("touchStart", [{"x": x, "y": y}]), ("touchEnd", [])):
        stepper.parent.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    stepper.parent.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    wait_for(stepper.parent, lambda _: shown(stepper) == [2])


def test_a_screen_reader_is_told_each_step(stepper):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    status = stepper.find_element(By.CSS_SELECTOR, "[role=status]")
    assert status.get_attribute("textContent") == ""
    press(stepper, Keys.ARROW_RIGHT)
    assert status.get_attribute("textContent").startswith("Step 2 of ")


def test_the_slider_goes_anywhere(stepper):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    slider = stepper.find_element(By.CSS_SELECTOR, "input[type=range]")
    slider.send_keys(Keys.END)
    assert shown(stepper) == [int(slider.get_attribute("max"))]
    assert "Step" in slider.get_attribute("aria-valuetext")


def test_paper_shows_every_step(stepper):
    from selenium.webdriver.common.by import By

    stepper.parent.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert len(shown(stepper)) == len(stepper.find_elements(By.CSS_SELECTOR, ".pnr-step"))
    stepper.parent.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_no_stepper_is_wider_than_its_page(stepper):
    overflow = stepper.parent.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0
