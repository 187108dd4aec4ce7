"""Bad input: one line that says expected, got and remedy, exit code 2, and everything as it was.

The cases are the table of docs/how-to/errors.md.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from worlds.bench import make_world, write_encoder

from recon import cli
from recon.data.sensorium import SensoriumRecording
from recon.encoders.base import Spec
from recon.encoders.checkpoints import save_encoder
from recon.encoders.judge import Judge

Contents = dict[str, bytes]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_world(folder)
    return folder


@pytest.fixture
def world(made: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "world"
    shutil.copytree(made, folder)
    config = folder / "bench.yaml"
    config.write_text(config.read_text().replace(str(made), str(folder)))
    return folder


def contents(folder: Path) -> Contents:
    """Everything that stands in a folder, beside the lock that says that a command is running."""
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and p.name != ".lock"}


def first_test_file(world: Path, variable: str) -> Path:
    recording = SensoriumRecording(world / "recording")
    return world / "recording" / "data" / variable / f"{recording.trials('live_test_main')[0]}.npy"


def missing_folder(world: Path) -> list[str]:
    return [f"recording={world / 'nowhere'}"]


def truncated_array(world: Path) -> list[str]:
    path = first_test_file(world, "responses")
    path.write_bytes(path.read_bytes()[:-100])
    return []


def nan_in_valid_frames(world: Path) -> list[str]:
    path = first_test_file(world, "responses")
    array = np.load(path).astype(np.float32)
    array[:, 10] = np.nan
    np.save(path, array)
    return []


def behavior_of_another_length(world: Path) -> list[str]:
    path = first_test_file(world, "behavior")
    np.save(path, np.load(path)[:, :-7])
    return []


def fewer_neurons_in_the_encoder(world: Path) -> list[str]:
    recording = SensoriumRecording(world / "recording")
    write_encoder(world / "few.safetensors", recording, seed=0, neurons=20)
    return [f"encoders.first.weights={world / 'few.safetensors'}"]


def unknown_key(world: Path) -> list[str]:
    return ["rows[1].method.iteration=5"]


def wrong_type(world: Path) -> list[str]:
    return ["clips.count=many"]


def unknown_name(world: Path) -> list[str]:
    return ["rows[0].method.name=rigde"]


def checkpoint_of_another_architecture(world: Path) -> list[str]:
    recording = SensoriumRecording(world / "recording")
    spec = Spec(recording.frame_size, recording.unit_ids, degrees_per_pixel=recording.degrees_per_pixel)
    save_encoder(Judge(spec), world / "judge.safetensors", card={})
    return [f"encoders.first.weights={world / 'judge.safetensors'}"]


def truncated_checkpoint(world: Path) -> list[str]:
    path = world / "encoder0.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    return []


def too_many_clips(world: Path) -> list[str]:
    return ["clips.count=50"]


def no_frames_left(world: Path) -> list[str]:
    return ["frames.warmup=85"]


PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/errors.md"
CASES: dict[Callable[[Path], list[str]], tuple[str, ...]] = {
    missing_folder: ("expected the folder of a recording", "got nothing", "check the path"),
    truncated_array: ("responses", "expected a complete .npy file", "got a damaged one", "copy or unpack"),
    nan_in_valid_frames: ("responses", "expected finite values", "NaN", "frame 10"),
    behavior_of_another_length: ("behavior", "expected 90 frames", "got 83"),
    fewer_neurons_in_the_encoder: ("encoders.first", "expected 24 neurons", "got 20", "recon train encoder"),
    unknown_key: ("rows[1].method", "expected one of", "did you mean 'iterations'", "got key 'iteration'", "correct"),
    wrong_type: ("benchmark.clips.count", "expected integer", "got 'many'", "correct"),
    unknown_name: ("rows[0].method.name", "did you mean 'ridge'", "got 'rigde'", "recon list"),
    checkpoint_of_another_architecture: ("judge.safetensors", "'core_readout'", "got 'judge'", "load it as"),
    truncated_checkpoint: ("encoder0.safetensors", "expected a whole safetensors file", "copy the file again"),
    too_many_clips: ("expected 50 videos", "got 3", "lower clips.count"),
    no_frames_left: ("expected clips of more than", "got 90", "lower frames.warmup"),
}


NAMED = {
    missing_folder: "a missing folder",
    truncated_array: "a truncated .npy file",
    nan_in_valid_frames: "NaN inside valid frames",
    behavior_of_another_length: "behavior of another length",
    fewer_neurons_in_the_encoder: "an encoder with another number of neurons",
    unknown_key: "an unknown key in YAML",
    wrong_type: "a wrong type in YAML",
    unknown_name: "an unknown name in YAML",
    checkpoint_of_another_architecture: "an encoder checkpoint of another architecture",
    truncated_checkpoint: "a truncated checkpoint",
    too_many_clips: "more clips than available",
    no_frames_left: "clips shorter than their unscored frames",
}
FULL_DISK = "a full disk"


def promised(case: str) -> re.Pattern[str]:
    """The error that docs/how-to/errors.md promises for a case; … stands for anything."""
    rows = re.findall(r"^\| (.+?) \| `(.+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    errors = dict(rows)
    assert case in errors, f"docs/how-to/errors.md: expected a row {case!r}"
    return re.compile("recon: " + ".*".join(map(re.escape, errors[case].split("…"))) + "\n")


@pytest.mark.parametrize("spoil", CASES, ids=lambda spoil: spoil.__name__)
def test_bad_input_is_refused_in_one_line(
    world: Path, spoil: Callable[[Path], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = spoil(world)
    before = contents(world)
    assert cli.main(["benchmark", str(world / "bench.yaml"), *overrides]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("recon: ") and shown.err.count("\n") == 1 and "Traceback" not in shown.err
    for part in CASES[spoil]:
        assert part in shown.err
    assert contents(world) == before
    assert promised(NAMED[spoil]).fullmatch(shown.err)


def test_an_encoder_of_the_same_neurons_in_another_order_is_refused(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    units = np.load(world / "recording/meta/neurons/unit_ids.npy")
    np.save(world / "recording/meta/neurons/unit_ids.npy", units[::-1])
    assert cli.main(["benchmark", str(world / "bench.yaml")]) == 2
    assert "expected neuron 24 at place 0" in capsys.readouterr().err


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from recon import cli
sys.exit(cli.main(["benchmark", *sys.argv[1:]]))
"""


@pytest.mark.slow
def test_a_full_disk_harms_nothing_and_the_same_command_goes_on(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A limit on the size of a file makes every larger write fail, as it fails on a full disk.
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    command = [sys.executable, "-c", LIMITED, str(world / "bench.yaml")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    before = contents(world / "recording")
    failed = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, env=environment, check=False)
    assert failed.returncode == 2, failed.stderr
    assert failed.stderr.startswith("recon: disk full: expected room") and "Traceback" not in failed.stderr
    assert failed.stderr.count("\n") == 1 and "run the same command again" in failed.stderr
    assert promised(FULL_DISK).fullmatch(failed.stderr)
    assert contents(world / "recording") == before
    assert not list((world / "run").glob("tasks/*")) and not list((world / "run").rglob(".*.h5*"))
    assert cli.main(["benchmark", str(world / "bench.yaml")]) == 0
    assert "map: finished" in capsys.readouterr().out


def test_a_full_disk_while_a_task_is_written_leaves_the_finished_ones(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import errno

    config = str(world / "bench.yaml")
    fsync, written = os.fsync, []

    def full(descriptor: int) -> None:
        if list((world / "run").glob("tasks/*")):
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    assert cli.main(["benchmark", config]) == 2
    assert "disk full" in capsys.readouterr().err
    monkeypatch.undo()
    (first,) = (world / "run" / "tasks").iterdir()
    before = contents(first)
    assert cli.main(["benchmark", config]) == 0
    assert "ridge: done already" in capsys.readouterr().out and contents(first) == before
