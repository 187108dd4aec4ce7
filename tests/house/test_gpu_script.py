"""The GPU script at tiny sizes on a CPU: its parts, its budget, its page, and what a failed case leaves."""

from __future__ import annotations

import importlib
import signal
import sys
import time
import zipfile
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from gpu import clips, measure, part, part_numbers, run
from gpu.budget import Budget, OutOfTimeError
from gpu.part import Part, Row

from recon import config
from recon.encoders.checkpoints import load_encoder
from recon.train.prior import PriorTraining

CPU = torch.device("cpu")
NAMED = {"bauer2025": clips.BAUER, "map_spectrum": clips.MAP_SPECTRUM}
FEW = ("sta", "convolutional", "gradient published", "gradient map", "diffpir noisy")


def unheard(text: str) -> None:
    """Print nothing."""


def section(page: Path, name: str) -> str:
    return page.read_text().partition(f"<!-- gpu:{name} -->")[2].partition(f"<!-- /gpu:{name} -->")[0]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "page.md"


def test_methods_on_the_device_give_the_movies_of_the_cpu(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_numbers, "METHOD_TABLE", {name: part_numbers.METHOD_TABLE[name] for name in FEW})
    rows = run.run("numbers", CPU, page=page)
    assert [row["case"] for row in rows[3:]] == [*FEW[:2], "convolutional, learnt there", *FEW[2:]]
    assert all(row["result"] == "pass" and row["max difference"] == 0 for row in rows)
    assert part.TINY in section(page, "numbers") and "| gradient map | 0 | 0.001 | pass |" in section(page, "numbers")


@pytest.mark.slow
def test_all_methods(page: Path) -> None:
    assert {row["result"] for row in run.run("numbers", CPU, page=page)} == {"pass"}


def test_another_movie_fails() -> None:
    assert part_numbers.verdict(2e-3, 1e-3)["result"] == "FAIL" and part_numbers.verdict(1e-3, 1e-3)["result"] == "pass"
    assert part_numbers.verdict(measure.largest(torch.tensor([torch.nan]), torch.ones(1)), 1e-3)["result"] == "FAIL"


def test_the_published_loop_and_map_spectrum(page: Path) -> None:
    rows = {row["case"]: row for row in run.run("speed", CPU, page=page)}
    ours, plain, frozen, spectrum = rows.values()
    assert all(row["s per iteration"] > 0 for row in rows.values())
    assert max(plain["difference / movement"], frozen["difference / movement"]) < 1e-3
    assert spectrum["evaluations"] >= 1 and ours["iterations"] == 2
    assert "× faster per clip" in section(page, "speed")


@pytest.mark.usefixtures("computes_bfloat16")
def test_settings(page: Path) -> None:
    rows = {row["case"]: row for row in run.run("settings", CPU, page=page)}
    assert not [row for row in rows.values() if "remark" in row]
    deviations = {name: row["deviation from float32"] for name, row in rows.items() if not name.endswith(", float32")}
    exact = [value for name, value in deviations.items() if "bfloat16" not in name]
    assert max(exact) < 1e-4 and 0 < deviations["dwiseneuro, bfloat16"] < 0.1
    assert "| core_readout, window 20 |" in section(page, "settings")


@pytest.mark.usefixtures("computes_bfloat16")
def test_prior(page: Path) -> None:
    rows = run.run("prior", CPU, page=page)
    assert [("steps per s" in row, "s" in row) for row in rows] == [(True, False)] * 2 + [(False, True)] * 4
    assert 0 < rows[3]["deviation from float32"] < 0.1


def test_presets_and_sizes_are_the_shipped_ones() -> None:
    presets = {name: config.build("method", config.load(f"configs/methods/{name}.yaml")) for name in NAMED}
    assert presets == NAMED
    assert load_encoder("v1_seed0").settings == clips.SHIPPED
    shipped = config.record(PriorTraining, config.load("configs/train/movie_diffusion.yaml"), where="train")
    full = clips.Sizes()
    chosen = (full.widths, full.prior_frames, full.prior_batches[0])
    assert chosen == (shipped.settings.widths, shipped.frames, shipped.batch)


def broken() -> Row:
    raise RuntimeError("no such kernel | here\nand more")


def full() -> Row:
    raise torch.OutOfMemoryError("everything")


def test_a_case_that_fails_is_a_line_and_the_others_go_on(page: Path) -> None:
    cases = {"one": broken, "two": full, "three": lambda: {"s": 1.5}}
    Part("speed", cases).run(CPU, part.writer("speed", CPU, page=page), unheard)
    assert "| case | s | remark |" in section(page, "speed")
    assert "| one |  | failed: RuntimeError: no such kernel / here |" in section(page, "speed")
    assert "| two |  | failed: out of memory |\n| three | 1.5 |  |" in section(page, "speed")


def test_a_killed_run_keeps_what_it_had(page: Path) -> None:
    def killed() -> Row:
        raise KeyboardInterrupt

    cases = {"one": lambda: {"s": 1.5}, "two": killed, "three": lambda: {"s": 2.5}}
    with pytest.raises(KeyboardInterrupt):
        Part("speed", cases).run(CPU, part.writer("speed", CPU, page=page), unheard)
    assert "| one | 1.5 |  |\n| two |  | not measured |\n| three |  | not measured |" in section(page, "speed")
    assert not list(page.parent.glob(".page*")), "nothing half-written stays"


def test_other_sections_and_text_by_hand_are_kept(page: Path) -> None:
    page.write_text("by hand\n" + part.blank())
    for name in ("prior", "speed", "prior"):
        part.writer(name, CPU, page=page)([{"case": name}])
    assert page.read_text().startswith("by hand\n") and "| speed |" in section(page, "speed")
    assert page.read_text().count("| prior |") == 1 and section(page, "settings").strip() == "not measured"


def test_a_cpu_leaves_the_page_of_figures_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(part, "CPU_PAGE", tmp_path / "cpu.md")
    before = part.PAGE.read_text()
    part.writer("speed", CPU)([{"case": "one"}])
    assert part.PAGE.read_text() == before and "| one |" in section(tmp_path / "cpu.md", "speed")
    assert all(
        before.count(f"<!-- gpu:{name} -->") == 1 == before.count(f"<!-- /gpu:{name} -->") for name in part.NAMES
    )
    assert part.NAMES == run.PARTS


def test_no_case_starts_after_the_last_start() -> None:
    clock = count(0.0, 100.0)
    budget = Budget(last_start=220, clock=lambda: next(clock), began=0.0)
    assert [budget.may_start() for _ in range(4)] == [True, True, True, False]
    rows = Part("speed", {"one": lambda: {"s": 1.0}}).run(CPU, list, unheard, budget=replace(budget, last_start=0))
    assert rows[0]["remark"].startswith("not started after")


def test_a_case_without_end_is_interrupted_and_a_timer_goes_on() -> None:
    def endless() -> Row:
        while True:
            time.sleep(0.01)

    handler = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 50)
    try:
        rows = Part("speed", {"one": endless}).run(CPU, list, unheard, budget=Budget(last_end=0.1))
        assert rows[0]["remark"].startswith(f"failed: {OutOfTimeError.__name__}: interrupted after 0 s")
        assert 40 < signal.getitimer(signal.ITIMER_REAL)[0] < 50
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


def test_iterations_stop_when_they_have_taken_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "timed", lambda step, device: (0.02, step()))
    seconds, last = measure.steps(measure.forever(lambda: 1), CPU, most=0.05)
    assert seconds == [0.02] * 3 and last == 1


def test_wheels_are_found_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(SystemExit, match="wheels: expected"):
        run.prepare(tmp_path)
    with zipfile.ZipFile(tmp_path / "carried-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("carried_for_gpu.py", "WHERE = 'wheel'")
    run.prepare(tmp_path)
    assert importlib.import_module("carried_for_gpu").WHERE == "wheel"
