"""The section of the page about an ablation: what it says, in the file and in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from worlds.ablation import make_ablation
from worlds.browser import choose, opened
from worlds.finished_run import embedded, seal_run

from recon import cli
from recon.report.ablation import shown
from recon.report.page import write_report
from recon.study.ablation.rows import FULL, MEAN


@pytest.fixture(scope="module")
def ablated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_ablation(tmp_path_factory.mktemp("ablation") / "run")
    write_report(run)
    return run


@pytest.fixture(scope="module")
def browser(ablated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with opened(ablated / "report.html", tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def test_the_section_has_the_numbers_that_were_written(ablated: Path) -> None:
    written = json.loads((ablated / "ablation.json").read_text())
    found = embedded(ablated / "report.html")["ablation"]
    assert [metric["title"] for metric in found["metrics"]] == ["Video r", "SSIM"]
    for number, key in zip(found["numbers"], ("gain", "survives", "sensitivity"), strict=True):
        assert [each["value"] for each in number["values"]] == [one[key]["value"] for one in written["findings"]]
    assert len(found["differences"]) == len(written["points"]) - 1
    assert found["curves"]["guidance"] == ["guidance 0", "guidance 1", FULL, "guidance 4"]
    assert "<b>ridge</b>" not in (ablated / "report.html").read_text()


def test_an_undefined_number_is_shown_with_its_reason(ablated: Path) -> None:
    before = (ablated / "ablation.json").read_text()
    written = json.loads(before)
    written["findings"][0]["survives"] |= {"value": None, "low": None, "high": None, "reason": "no reason"}
    (ablated / "ablation.json").write_text(json.dumps(written))
    seal_run(ablated)
    data = embedded(write_report(ablated))["ablation"]
    (ablated / "ablation.json").write_text(before)
    seal_run(ablated)
    assert data["numbers"][1]["values"][0] == {"value": None, "reason": "undefined: no reason"}


@pytest.mark.parametrize(("clips", "low", "sure"), [(6, 0.1, True), (5, 0.1, False), (6, -0.1, False)])
def test_only_an_interval_of_enough_clips_is_sure(clips: int, low: float, sure: bool) -> None:
    assert shown({"value": 0.2, "low": low, "high": 0.3, "clips": clips, "reason": ""})["sure"] is sure


def test_the_command_writes_the_section_again(ablated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = ablated / "report.html"
    page.unlink()
    assert cli.main(["report", str(ablated)]) == 0
    assert embedded(page)["ablation"]["points"]


def test_numbers_about_rows_that_are_gone_are_not_shown(tmp_path: Path) -> None:
    run = make_ablation(tmp_path / "run", clips=2)
    task = run / "tasks" / f"{0:016x}"
    task.rename(tmp_path / "elsewhere")
    assert embedded(write_report(run))["ablation"] is None


def test_a_run_without_an_ablation_has_no_section(page: Path) -> None:
    assert embedded(page)["ablation"] is None


def lines_of(driver: Any, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((node) => node.textContent)"
    found: list[str] = driver.execute_script(script, selector)
    return found


def test_a_reader_sees_numbers_warnings_and_curves(browser: Any) -> None:
    assert browser.execute_script("return document.getElementById('ablation').checkVisibility()")
    assert lines_of(browser, "#ablation-numbers tbody th")[0].startswith("Gain")
    few, prior, *_ = lines_of(browser, "#ablation-warnings p")
    assert few.startswith("Warning, by Video r. 5 clips: with fewer than 6 no test can reach")
    assert prior.startswith("Warning, by Video r. “prior only, decoded text” scores")
    assert not lines_of(browser, "#ablation-numbers td b"), "nothing is sure with five clips"
    assert len(lines_of(browser, "#ablation-verdicts li")) == 6
    texts = lines_of(browser, "#ablation-plot text.label")
    assert {FULL, "guidance 4", "<b>ridge</b>"} <= set(texts) and MEAN not in texts
    assert lines_of(browser, "#ablation-plot p") == [
        "Not shown, score undefined (as is Judge r of a still movie): mean."
    ]
    drawn = "return [...document.querySelectorAll('#ablation-plot path.curve')].map((path) => path.getAttribute('d'))"
    curves = browser.execute_script(drawn)[:2]
    assert [path.count("L") for path in curves] == [3, 2], "guidance and beta, through the full method"
    ticks = lines_of(browser, "#ablation-plot text")
    choose(browser, "#ablation-metric", "ssim")
    assert lines_of(browser, "#ablation-plot text") != ticks


def test_labels_do_not_lie_on_each_other(browser: Any) -> None:
    script = """const labels = [...document.querySelectorAll('#ablation-plot text.label')];
        const boxes = labels.map((node) => node.getBoundingClientRect());
        const meet = (a, b) => a.left < b.right && b.left < a.right
            && a.top + 3 < b.bottom - 3 && b.top + 3 < a.bottom - 3;
        return boxes.some((a, i) => boxes.some((b, j) => i < j && meet(a, b)));"""
    assert not browser.execute_script(script)


def test_what_asked_no_encoder_is_drawn_against_evaluations(browser: Any) -> None:
    assert browser.execute_script("return document.getElementById('axis').value") == "evaluations"
    assert len(lines_of(browser, "#energies figure")) > 10


def test_markup_stays_text_and_the_console_clean(browser: Any) -> None:
    assert browser.execute_script("return document.querySelectorAll('#ablation b b, #ablation th b').length") == 0
    assert "NaN" not in browser.execute_script("return document.getElementById('ablation').innerHTML")
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
