"""The command line: what it says, how it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from worlds.bench import make_world

from recon import cli, commands
from recon.commands.benchmark import table
from recon.files import write_table
from recon.study.outputs import columns

LIGHT = """
import contextlib, io, sys
from recon import cli

calls = (["--help"], ["--version"], ["benchmark", "--help"], ["data", "ceiling", "--help"], [], ["benchmrk"],
         ["report"], ["simulate", "made", "--neurons", "4"])
codes = []
for arguments in calls:
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            cli.main(arguments)
    except SystemExit as stopped:
        codes.append(stopped.code)
heavy = {"torch", "numpy", "pandas", "h5py", "scipy", "pydantic", "omegaconf", "PIL", "tqdm"}
sys.stdout.write(f"{codes} {sorted(heavy & set(sys.modules))}")
"""


def test_help_version_and_wrong_arguments_import_nothing_heavy() -> None:
    shown = subprocess.run([sys.executable, "-c", LIGHT], check=True, capture_output=True, text=True).stdout
    assert shown == "[0, 0, 0, 0, 2, 2, 2, 2] []"


def test_every_command_has_a_file_with_its_parser() -> None:
    folder = Path(commands.__path__[0])
    without = {file.stem for file in folder.glob("*.py") if "def add_parser(" not in file.read_text(encoding="utf-8")}
    shared = {"__init__", "arguments", "completion", "parser", "planned", "process", "progress", "tables", "usage"}
    assert without == shared, "these serve several commands"


def test_the_installed_command_explains_itself() -> None:
    command = Path(sys.executable).with_name("recon")
    shown = subprocess.run([command, "--help"], check=True, capture_output=True, text=True).stdout
    assert all(name in shown for name in ("data", "simulate", "train", "benchmark", "tune", "report", "list"))


def test_list_shows_every_registry(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    shown = capsys.readouterr().out
    for part in ("methods", "ridge", "encoders", "core_readout", "fidelities", "mixture", "metrics", "ssim"):
        assert part in shown


def test_the_main_job_from_arrays_to_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = make_world(tmp_path)
    assert cli.main(["benchmark", str(config), "clips.count=2", "rows[1].method.iterations=1"]) == 0
    shown = capsys.readouterr().out
    assert "[1/2] ridge: finished" in shown and "video r" in shown
    page = tmp_path / "run" / "report.html"
    assert f"page: {page}" in shown and page.is_file()
    assert f"tensorboard --logdir {tmp_path / 'run' / 'tensorboard'}" in shown
    written = page.stat().st_mtime_ns
    assert cli.main(["reconstruct", str(config), "clips.count=2", "rows[1].method.iterations=1"]) == 0
    assert "ridge: done already" in capsys.readouterr().out
    assert page.stat().st_mtime_ns == written
    page.unlink()
    assert cli.main(["report", str(tmp_path / "run")]) == 0
    assert page.is_file()


def test_arrays_become_a_recording_that_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    np.save(tmp_path / "movie.npy", random.random((600, 8, 10)))
    np.savez(tmp_path / "activity.npz", spikes=random.poisson(1.0, (5, 600)))
    arguments = ["--movie", str(tmp_path / "movie.npy"), "--responses", f"{tmp_path / 'activity.npz'}:spikes"]
    scale = ["--frame-rate", "30", "--degrees-per-pixel", "2", "--trial-frames", "50"]
    assert cli.main(["data", "import", str(tmp_path / "mine"), *arguments, *scale]) == 0
    assert "recording: " in capsys.readouterr().out
    assert cli.main(["data", "info", str(tmp_path / "mine")]) == 0
    assert "neurons     5" in capsys.readouterr().out
    assert cli.main(["data", "check", str(tmp_path / "mine")]) == 0


def test_a_simulation_takes_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["neurons=4", "minutes=0.1", "train_frames=60", "validation_clips=1", "test_clips=1", "repeats=2"]
    small = ["clip_frames=40", "frame_size=[8, 12]", "degrees_per_pixel=8"]
    assert cli.main(["simulate", str(tmp_path / "made"), *sizes, *small]) == 0
    assert (tmp_path / "made" / "meta" / "trials" / "tiers.npy").is_file()
    assert cli.main(["simulate", str(tmp_path / "other"), "neuron=4"]) == 2
    assert "did you mean 'neurons'" in capsys.readouterr().err


def test_an_interrupt_ends_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("recon.study.benchmark.benchmark", interrupted)
    (tmp_path / "bench.yaml").write_text("run: x\n")
    assert cli.main(["benchmark", str(tmp_path / "bench.yaml")]) == 130
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and "run the same command again" in shown


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, KeyError])
def test_a_defect_of_the_program_is_not_taken_for_bad_input(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def defect(*_: object, **__: object) -> None:
        raise kind("defect")

    monkeypatch.setattr("recon.study.benchmark.benchmark", defect)
    (tmp_path / "bench.yaml").write_text("run: x\n")
    with pytest.raises(kind, match="defect"):
        cli.main(["benchmark", str(tmp_path / "bench.yaml")])


def test_debug_shows_where_an_error_arose(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a YAML file"):
        cli.main(["--debug", "benchmark", str(tmp_path / "none.yaml")])


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 40 GB")]
)
def test_too_little_memory_has_a_remedy(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def greedy(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("recon.study.benchmark.benchmark", greedy)
    (tmp_path / "bench.yaml").write_text("run: x\n")
    assert cli.main(["benchmark", str(tmp_path / "bench.yaml")]) == 2
    assert "smaller batch" in capsys.readouterr().err


def test_the_table_has_means_and_intervals(tmp_path: Path) -> None:
    rows = [
        {"method": "a", "trial": i, "video_correlation": 0.1 * i, "ssim": None, "oracle": True, "seconds": 20.0}
        for i in range(5)
    ]
    write_table(tmp_path / "results.csv", rows, columns())
    header, line = table(tmp_path / "results.csv")
    assert header.split("  ")[0] == "method" and line.startswith("a (oracle)  5")
    assert "0.200 ± 0.1" in line and "–" in line and line.endswith("20")


def test_an_encoder_is_trained_as_a_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_world(tmp_path)
    settings = f"recording: {tmp_path / 'recording'}\noutput: {tmp_path / 'mine.safetensors'}\n"
    sizes = "architecture: {core: {lags: 3, temporal: 2, kernel: 2, features: 4, mixing: 1, hidden: 4}}\n"
    (tmp_path / "train.yaml").write_text(settings + sizes + "training: {steps: 2}\n")
    assert cli.main(["train", "encoder", str(tmp_path / "train.yaml")]) == 0
    shown = capsys.readouterr().out
    assert f"weights: {tmp_path / 'mine.safetensors'}" in shown and (tmp_path / "mine.json").is_file()
    weights = f"encoders.first.weights={tmp_path / 'mine.safetensors'}"
    assert cli.main(["benchmark", str(tmp_path / "bench.yaml"), weights]) == 0


def test_settings_are_tuned_on_validation_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_world(tmp_path)
    search = f"search={{study: {tmp_path / 'study.json'}, space: {{method.beta: [0.1, 1.0]}}}}"
    rows = "rows=[{label: map, method: {preset: map_spectrum, iterations: 2}}]"
    assert cli.main(["tune", str(tmp_path / "bench.yaml"), search, rows, "clips={tier: oracle, count: 2}"]) == 0
    assert "best" in capsys.readouterr().out and (tmp_path / "study.json").is_file()
    assert cli.main(["tune", str(tmp_path / "bench.yaml"), search, rows]) == 2
    assert "never chosen on test clips" in capsys.readouterr().err
