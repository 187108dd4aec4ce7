"""The section of the page about the worth of sentences: what it says, in the file and in a browser."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from worlds.browser import choose, opened
from worlds.finished_run import embedded, seal_run
from worlds.words import make_words

from recon import cli
from recon.report.page import is_current, write_report

TOLD = ("decoded", "true without place", "true with place", "wrong")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_words(tmp_path_factory.mktemp("words") / "run")
    write_report(run)
    return run


@pytest.fixture(scope="module")
def browser(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with opened(run / "report.html", tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def test_the_files_hold_every_row_and_limits_as_text(run: Path) -> None:
    with (run / "words.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3 * 4 * 5 and {row["clips"] for row in rows} == {"6"}
    found = {(row["metric"], row["text"], row["row"].partition(",")[0]): row for row in rows}
    true = found["video_correlation", "true without place", "64 neurons"]
    assert float(true["difference"]) == pytest.approx(0.05, abs=0.01)
    assert 20 < float(true["worth_low"]) < float(true["worth"]) < float(true["worth_high"]) < 80
    assert found["video_correlation", "true with place", "1000 neurons"]["worth"] == "> 0"
    assert found["ssim", "wrong", "16 neurons"]["worth"] == "< 0"
    part = found["ssim", "decoded", "30 % of the screen"]
    assert (part["neurons"], part["coverage"], part["worth"]) == ("287", "0.3", "") and part["difference"]
    written = json.loads((run / "words.json").read_text())
    assert [one["metric"] for one in written["findings"]] == ["video_correlation", "ssim", "judge_correlation"]
    assert len(written["findings"][0]["sentences"]) == 4 and written["quoted"] == 64
    warnings = [
        line for line in written["warnings"] if line.startswith("A true sentence with place raises video r while")
    ]
    assert len(warnings) == 1 and "with 16, 64 and 1000 neurons, and with 30 % of the screen" in warnings[0]


def test_the_page_has_curves_table_and_sentences_of_every_score(run: Path) -> None:
    found = embedded(run / "report.html")["words"]
    assert [score["title"] for score in found["scores"]] == ["Video r", "SSIM", "Judge r"]
    video = found["scores"][0]
    assert [len(points) for points in video["curves"].values()] == [3] * 5, "the part of the screen is on no curve"
    assert [row["title"] for row in video["rows"]][2:] == [
        "1000 neurons",
        "30 % of the screen, 287 neurons",
    ]
    assert all(len(row["cells"]) == len(TOLD) for row in video["rows"])
    assert any(line.startswith("A true sentence without place is worth ") for line in video["sentences"])
    assert any(line.startswith("A wrong sentence does harm by video r with 16, 64 and") for line in video["harm"])


def test_the_command_writes_the_section_again_from_its_file(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "report.html").unlink()
    assert cli.main(["report", str(run)]) == 0 and is_current(run)
    before = (run / "words.json").read_text()
    (run / "words.json").write_text(before.replace("Judge", "judge").replace("more neurons", "extra neurons"))
    assert not is_current(run)
    (run / "words.json").write_text(before)


def test_undefined_scores_have_a_reason_and_findings_about_rows_that_are_gone_are_not_shown(tmp_path: Path) -> None:
    run = make_words(tmp_path / "run", clips=2)
    written = json.loads((run / "words.json").read_text())
    for row in written["findings"][0]["rows"]:
        row |= {"mean": None, "difference": None, "worth": None, "reason": "no clip"}
    (run / "words.json").write_text(json.dumps(written))
    seal_run(run)
    assert written["warnings"][0].startswith("2 clips: with fewer than 6 no test can reach significance")
    cell = embedded(write_report(run))["words"]["scores"][0]["rows"][0]["cells"][0]
    assert cell == {"difference": {"value": None, "reason": "undefined: no clip"}, "worth": None}
    (run / "tasks" / f"{0:016x}").rename(tmp_path / "elsewhere")
    assert embedded(write_report(run))["words"] is None


def lines_of(driver: Any, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((node) => node.textContent)"
    found: list[str] = driver.execute_script(script, selector)
    return found


def test_a_reader_sees_sentences_curves_and_worth(browser: Any) -> None:
    assert browser.execute_script("return document.getElementById('words').checkVisibility()")
    assert lines_of(browser, "#words .legend span")[:2] == ["No text", "Decoded text"]
    assert len(lines_of(browser, "#words-plot path.curve")) == 5
    assert len(lines_of(browser, "#words-plot line.whisker")) == 3 * 5
    assert lines_of(browser, "#words-table thead th")[2] == "Decoded text"
    assert lines_of(browser, "#words-table tbody tr:nth-child(3) td:nth-child(5)")[0].startswith("> 0")
    assert lines_of(browser, "#words-warnings p")[0].startswith("Warning. A ")
    first = lines_of(browser, "#words-sentences li")
    choose(browser, "#words-score", "ssim")
    assert lines_of(browser, "#words-sentences li") != first and "SSIM" in lines_of(browser, "#words-sentences li")[0]
    assert "NaN" not in browser.execute_script("return document.getElementById('words').innerHTML")


@pytest.mark.parametrize("width", [390, 800, 1360])
def test_the_section_fits_every_width(browser: Any, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
