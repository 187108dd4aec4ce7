"""The page about a run in a browser, opened from disk: it plays, scrubs, sorts and stays quiet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from worlds.browser import choose, opened, wait_for
from worlds.finished_run import EVIL

from recon.media import to_uint8
from recon.report.data import read_tasks, standings


@pytest.fixture(scope="module")
def browser(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with opened(page, tmp_path_factory.mktemp("profile")) as driver:
        wait_for(lambda: pixels(driver, "true movie").max() > 0)
        yield driver


def pixels(driver: Any, name: str) -> np.ndarray:
    script = """const all = [...document.querySelectorAll('canvas')];
        const canvas = all.find((each) => each.dataset.name === arguments[0]);
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return [canvas.height, canvas.width, Array.from(data)];"""
    height, width, data = driver.execute_script(script, name)
    return np.array(data).reshape(height, width, 4)[..., :3]


def alike(shown: np.ndarray, movie: np.ndarray) -> bool:
    """Return whether a canvas shows a frame, apart from what compression loses."""
    grey = shown.astype(float)
    assert np.array_equal(shown, shown[..., :1].repeat(3, -1)), "grey"
    return bool(np.abs(grey[..., 0] - movie).mean() < 2.5)


def scrub(driver: Any, number: int) -> None:
    driver.execute_script(
        "const slider = document.getElementById('frame'); slider.value = arguments[0];"
        "slider.dispatchEvent(new Event('input', {bubbles: true}));",
        number,
    )
    wait_for(lambda: drawn(driver) == number)


def drawn(driver: Any) -> int:
    """Return the frame on the canvases; it follows the slider's once the video is there."""
    return int(driver.execute_script("return document.getElementById('movies').dataset.frame ?? -1"))


def frame(driver: Any) -> int:
    return int(driver.execute_script("return document.getElementById('frame').value"))


def click(driver: Any, selector: str) -> None:
    driver.execute_script("document.querySelector(arguments[0]).click()", selector)


def stored(run: Path, trial: str, label: str) -> np.ndarray:
    (task,) = [task for task in read_tasks(run) if task.rows[0]["method"] == label]
    with h5py.File(task.folder / "movie.h5") as file:
        return to_uint8(file[trial]["reconstruction"][:])


def shown(run: Path) -> list[str]:
    """Return the trials in the order of the page."""
    return list(standings(read_tasks(run)))


def test_scrubbing_shows_that_frame_of_every_movie(browser: Any, run: Path) -> None:
    first = shown(run)[0]
    with h5py.File(run / "clips.h5") as file:
        truth = file[first]["truth"][:]
    for number in (0, 17, 39):
        scrub(browser, number)
        assert frame(browser) == number
        for name, movie in (("true movie", truth), ("ridge", stored(run, first, "ridge"))):
            others = [each for each in range(len(movie)) if abs(each - number) > 4]
            assert alike(pixels(browser, name), movie[number]), name
            assert not any(alike(pixels(browser, name), movie[each]) for each in others)


def test_unscored_frames_are_marked(browser: Any) -> None:
    marked = []
    for number in (0, 9, 10, 35, 36):
        scrub(browser, number)
        marked.append(browser.execute_script("return document.querySelector('.badge').checkVisibility()"))
    assert marked == [True, True, False, False, True]


def test_playing_advances_all_movies_together_and_pause_stops(browser: Any, run: Path) -> None:
    scrub(browser, 0)
    before = pixels(browser, "ridge")
    click(browser, "#play")
    wait_for(lambda: frame(browser) >= 3)
    click(browser, "#play")
    stopped = frame(browser)
    wait_for(lambda: drawn(browser) == stopped)
    time.sleep(0.2)
    assert frame(browser) == drawn(browser) == stopped
    assert not np.array_equal(pixels(browser, "ridge"), before)
    for label in ("ridge", "mean"):
        assert alike(pixels(browser, label), stored(run, shown(run)[0], label)[stopped])


def test_half_widths_of_intervals_are_laid_over_their_movie_with_a_key(browser: Any, run: Path) -> None:
    scrub(browser, 12)
    assert not browser.execute_script("return document.getElementById('unsure-key').checkVisibility()")
    click(browser, "#unsure")
    assert browser.execute_script("return document.getElementById('unsure-key').checkVisibility()")
    key = browser.execute_script("return document.getElementById('unsure-key').innerText")
    assert "90 % of the pixels" in key and "nothing known" in key
    over, movie = pixels(browser, "ridge").astype(float), stored(run, shown(run)[0], "ridge")[12].astype(float)
    share = np.linspace(0, 1, movie.shape[1])  # half-widths from 0 to 0.5, left to right
    for channel, full in enumerate((214, 102, 0)):
        assert np.abs(over[..., channel] - (movie + share * (full - movie))).mean() < 4
    assert alike(pixels(browser, "mean"), stored(run, shown(run)[0], "mean")[12]), "a method without intervals"
    click(browser, "#unsure")
    assert alike(pixels(browser, "ridge"), stored(run, shown(run)[0], "ridge")[12])


def test_space_plays_and_arrows_step(browser: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    scrub(browser, 5)
    body = browser.find_element("tag name", "body")
    body.send_keys(Keys.ARROW_RIGHT)
    assert frame(browser) == 6
    body.send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert frame(browser) == 4
    body.send_keys(" ")
    wait_for(lambda: frame(browser) > 5)
    body.send_keys(" ")
    assert browser.execute_script("return document.getElementById('play').getAttribute('aria-label')") == "Play"


def test_another_clip_brings_its_movies_and_caption(browser: Any, run: Path) -> None:
    evil, other = (shown(run).index(trial) + 1 for trial in ("3", "7"))
    click(browser, f"#clips button:nth-child({evil})")
    wait_for(lambda: EVIL in browser.execute_script("return document.getElementById('caption').textContent"))
    scrub(browser, 10)
    click(browser, f"#clips button:nth-child({other})")
    with h5py.File(run / "clips.h5") as file:
        truth = file["7"]["truth"][frame(browser)]
    wait_for(lambda: alike(pixels(browser, "true movie"), truth))
    assert "dark ball" in browser.execute_script("return document.getElementById('caption').textContent")
    pills = browser.execute_script("return [...document.querySelectorAll('#clips button')].map((b) => b.textContent)")
    assert pills == ["best clip", "median clip", "worst clip"]
    click(browser, "#clips button:nth-child(1)")


def order(driver: Any) -> list[str]:
    script = "return [...document.querySelectorAll('tbody.results tr')].map((row) => row.dataset.method)"
    names: list[str] = driver.execute_script(script)
    return names


def test_headings_sort_results_and_leave_nulls_apart(browser: Any) -> None:
    first = order(browser)
    click(browser, "th[data-key='psnr'] button")
    assert order(browser) == first
    click(browser, "th[data-key='psnr'] button")
    assert order(browser) == first[::-1]
    sort = "return document.querySelector(\"th[data-key='psnr']\").getAttribute('aria-sort')"
    assert browser.execute_script(sort) == "ascending"
    assert browser.execute_script("return document.querySelectorAll('tbody.nulls tr[data-method]').length") == 1
    click(browser, "th[data-key='video_correlation'] button")


def test_differences_follow_the_chosen_baseline(browser: Any) -> None:
    names = "return [...document.querySelectorAll('#differences tbody tr')].map((row) => row.dataset.method)"
    options = browser.execute_script("return [...document.getElementById('baseline').options].map((o) => o.text)")
    choose(browser, "#baseline", str(options.index("ridge")))
    found = browser.execute_script(names)
    assert "ridge" not in found and len(found) == len(options) - 1
    cell = "return document.querySelector('#differences tbody tr[data-method=mean] td').textContent"
    assert browser.execute_script(cell).startswith("−")
    choose(browser, "#baseline", str(options.index("mean")))
    assert "ridge" in browser.execute_script(names)


def test_quality_is_drawn_against_cost(browser: Any) -> None:
    points = "return [...document.querySelectorAll('#pareto circle.point[r=\"3.4\"]')].map((c) => c.getAttribute('cx'))"
    before = browser.execute_script(points)
    assert len(before) == 7
    choose(browser, "#cost", "evaluations")
    assert len(browser.execute_script(points)) == 6  # the mean asked no encoder


def test_the_map_of_information_is_shown_with_its_share(browser: Any) -> None:
    text = "return document.querySelector('#information figcaption').textContent"
    assert "50 % of the screen" in " ".join(browser.execute_script(text).split())
    picture = "return document.getElementById('information-map').style.backgroundImage"
    assert browser.execute_script(picture).startswith('url("data:image/png')
    wide = "return document.getElementById('information-map').getBoundingClientRect().height > 100"
    assert browser.execute_script(wide)


def test_markup_of_users_stays_text_in_the_browser(browser: Any) -> None:
    assert browser.execute_script("return window.hacked === undefined")
    assert browser.execute_script("return document.querySelectorAll('img, main script').length") == 0
    shown = browser.execute_script("return document.getElementById('failures').textContent")
    assert "lower the <b>step</b>" in shown


def test_plots_are_drawn_and_follow_their_controls(browser: Any) -> None:
    count = "return document.querySelectorAll(arguments[0] + ' path.curve').length"
    places = ("#spatial", "#temporal", "#oracle", "#energies")
    assert [browser.execute_script(count, place) for place in places] == [7, 7, 7, 12]
    drawn = "return document.querySelector('#oracle path.curve').getAttribute('d')"
    before = browser.execute_script(drawn)
    browser.execute_script(
        "const box = document.getElementById('oracle-metric'); box.value = 'ssim';"
        "box.dispatchEvent(new Event('change'))"
    )
    assert browser.execute_script(drawn) != before
    assert "NaN" not in browser.execute_script("return document.querySelector('main').innerHTML")


def test_the_console_stays_clean(browser: Any) -> None:
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
