"""Widths, labels, keyboard, motion and print of the page, in a browser."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from worlds.browser import opened, wait_for

UNNAMED = """const named = (node) => node.getAttribute('aria-label') || node.textContent.trim() || node.labels?.length
    || document.getElementById(node.getAttribute('aria-labelledby'))?.textContent;
    const all = 'button, select, input, canvas, table, [role=region], [role=radiogroup], svg[role=img], section';
    return [...document.querySelectorAll(all)].filter((node) => !named(node)).map((node) => node.outerHTML);"""
BROKEN = """const broken = [];
    for (const place of document.querySelectorAll('.name')) {
        const walker = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) for (const word of walker.currentNode.data.matchAll(/\\S+/g)) {
            const range = document.createRange();
            range.setStart(walker.currentNode, word.index);
            range.setEnd(walker.currentNode, word.index + word[0].length);
            const rows = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
            if (rows.size > 1) broken.push(word[0]);
        }
    }
    return broken;"""
CUT = """const boxes = [...document.querySelectorAll('.scroll')];
    const inside = boxes.filter((box) => box.scrollWidth > box.clientWidth + 1);
    return [document.documentElement.scrollWidth > innerWidth, inside.map((box) => box.getAttribute('aria-label'))];"""


@pytest.fixture(scope="module")
def driver(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with opened(page, tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def browser(driver: Any) -> Iterator[Any]:
    yield driver
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def resize(driver: Any, width: int, height: int = 900) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 800}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@pytest.mark.parametrize("width", [1400, 900, 500, 420, 390])
def test_nothing_is_cut_at_the_side(browser: Any, width: int) -> None:
    resize(browser, width)
    page_cut, tables_cut = browser.execute_script(CUT)
    assert not page_cut
    assert tables_cut == [] or width < 1400


@pytest.mark.parametrize("width", [500, 420])
def test_the_first_narrow_screen_shows_numbers_and_whole_words(browser: Any, width: int) -> None:
    resize(browser, width)
    script = """return [...document.querySelectorAll('#summary li')].map(
        (line) => [line.innerText, line.getBoundingClientRect().bottom])"""
    lines = browser.execute_script(script)
    assert [text for text, _ in lines if "map_spectrum" in text and "." in text]
    assert all(bottom < 900 for _, bottom in lines)
    assert browser.execute_script(BROKEN) == []


def test_everything_has_a_name_and_every_heading_a_scope(browser: Any) -> None:
    assert browser.execute_script(UNNAMED) == []
    scopes = "return [...document.querySelectorAll('th')].filter((cell) => !cell.scope).map((cell) => cell.outerHTML)"
    assert browser.execute_script(scopes) == []


def test_clips_are_chosen_by_arrows_and_focus_is_visible(browser: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    pills = browser.find_elements("css selector", "#clips button")
    browser.execute_script("arguments[0].focus({focusVisible: true})", pills[0])
    pills[0].send_keys(Keys.ARROW_RIGHT)
    chosen = "return document.querySelector('#clips [aria-checked=true]').textContent"
    assert browser.execute_script(chosen) == pills[1].text
    outline = "return [document.activeElement.textContent, getComputedStyle(document.activeElement).outlineStyle]"
    assert browser.execute_script(outline) == [pills[1].text, "solid"]
    pills[1].send_keys(Keys.ARROW_LEFT)


def test_nothing_moves_by_itself_and_with_reduced_motion_nothing_repeats(browser: Any) -> None:
    video = "const video = document.getElementById('video'); return [video.paused, video.loop]"
    assert browser.execute_script(video) == [True, True]
    calm = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", calm)
    wait_for(lambda: browser.execute_script(video) == [True, False])


def test_paper_has_still_frames_whole_tables_and_nothing_to_press(browser: Any) -> None:
    resize(browser, 1039)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    visible = "return [...document.querySelectorAll(arguments[0])].map((node) => node.checkVisibility())"
    for selector, shown in ((".stills", True), (".moving", False), (".deck", False), ("#theme", False)):
        assert set(browser.execute_script(visible, selector)) == {shown}, selector
    inked = """return [...document.querySelectorAll('canvas.stills')].every((canvas) =>
        canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0))"""
    assert browser.execute_script(inked)
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    paper = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    assert base64.b64decode(paper["data"]).startswith(b"%PDF")


def test_a_browser_that_cannot_decode_the_video_shows_still_frames(browser: Any) -> None:
    browser.execute_script("document.getElementById('video').dispatchEvent(new Event('error'))")
    visible = "return [...document.querySelectorAll(arguments[0])].map((node) => node.checkVisibility())"
    for selector, shown in ((".stills", True), (".moving", False), ("#undecodable", True)):
        assert set(browser.execute_script(visible, selector)) == {shown}, selector
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
