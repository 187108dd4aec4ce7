"""A mouse of Sensorium 2023 at full scale, some 8,000 neurons and 700 trials: time and memory. Needs 10 GB of disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
import torch
from worlds import full_scale as full_scale

from recon.data.open import open_recording
from recon.encoders.base import Spec
from recon.encoders.core_readout.model import CoreReadout, CoreReadoutSettings
from recon.encoders.training.clips import draw_chunks
from recon.encoders.training.fit import TrainingSettings, loss_of
from recon.train.trial_cache import KeptClips, Room

pytestmark = [pytest.mark.slow, pytest.mark.real]

GIB = 2**30
PEAK = """
import sys
def peak():
    # Not ru_maxrss: a new process inherits the peak of the one that started it.
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
"""
ITERATE = (
    PEAK
    + """
from recon.data.open import open_recording
recording = open_recording(sys.argv[1])
seen = sum(recording.trial(index).responses.numel() for index, tier in enumerate(recording.tiers) if tier != "none")
print(seen, peak())
"""
)
CHECK = (
    PEAK
    + """
from recon.cli import main
status = main(["data", "check", sys.argv[1]])
print(status, peak())
"""
)


@pytest.fixture(scope="module")
def mouse(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full") / "dynamic29755-2-8-Video-9b4f6a1a067fe51e15306b9628efea20"
    if shutil.disk_usage(folder.parent).free < 16e9:
        pytest.skip("a mouse at full scale: expected 16 GB of free disk, got less")
    metadata = real_data / "sensorium2023_metadata_viv1t"
    full_scale.write_meta(metadata, "J", folder)
    full_scale.write_trials(metadata, "J", folder)
    return folder


@pytest.mark.parametrize("name", full_scale.MICE)
def test_every_mouse_opens_with_its_counts(name: str, real_data: Path, tmp_path: Path) -> None:
    metadata = real_data / "sensorium2023_metadata_viv1t"
    folder = full_scale.write_meta(metadata, name, tmp_path / "mouse")
    full_scale.write_trials(metadata, name, folder, count=2)
    recording = open_recording(folder)
    assert len(recording.unit_ids) == len(np.load(metadata / f"neuron_coordinates/mouse{name}.npy"))
    assert len(recording.tiers) == len(np.load(metadata / f"video_ids/mouse{name}.npy"))
    assert recording.trial(0).responses.shape[0] == len(recording.unit_ids)
    assert recording.statistic("responses", "mean", frames=300).shape == (len(recording.unit_ids), 300)


def bytes_read() -> int:
    """Bytes that this process has read so far, from the disk or from memory."""
    return int(Path("/proc/self/io").read_text().split()[1])


def test_opening_reads_no_trial_and_a_trial_costs_little_more_than_its_files(mouse: Path) -> None:
    """In bytes read, against numpy's own reading of the same files; seconds are printed."""
    full_scale.forget(mouse)
    begun, before = perf_counter(), bytes_read()
    recording = open_recording(mouse)
    opened, header = perf_counter() - begun, bytes_read() - before
    there = [index for index, tier in enumerate(recording.tiers) if tier != "none"]
    order = np.random.default_rng(0).permutation(there)
    before = bytes_read()
    taken = [seconds(recording.trial, int(index)) for index in order[:60]]
    ours, before = bytes_read() - before, bytes_read()
    plain = [seconds(read_plainly, mouse, int(index)) for index in order[:60]]
    theirs = bytes_read() - before
    say(f"opened in {opened:.3f} s, a trial in {np.median(taken) * 1e3:.0f} ms (at most {max(taken) * 1e3:.0f})")
    say(f"its files alone in {np.median(plain) * 1e3:.0f} ms")
    say(f"{header / 1e6:.1f} MB to open, {ours / 1e6:.0f} MB for 60 trials whose files hold {theirs / 1e6:.0f} MB")
    assert header < 0.01 * theirs and ours < 1.1 * theirs
    assert Counter(recording.stimuli)["image"] == recording.tiers.count("live_test_bonus") > 0


def test_all_of_it_is_read_within_two_gibibytes(mouse: Path) -> None:
    frames, peak = measured(ITERATE, mouse)
    say(f"{frames / 1e9:.2f} billion responses, peak {peak / GIB:.2f} GiB")
    assert frames > 1e9 and peak < 2 * GIB


def test_all_of_it_is_checked_within_two_gibibytes(mouse: Path) -> None:
    status, peak = measured(CHECK, mouse)
    say(f"peak {peak / GIB:.2f} GiB")
    assert status == 0 and peak < 2 * GIB


def test_the_loader_takes_less_than_a_tenth_of_a_training_step(mouse: Path) -> None:
    recording, settings = open_recording(mouse), TrainingSettings()
    clips = KeptClips(recording, recording.trials("train"), Room(0))  # nothing is kept: every chunk comes from disk
    for place in range(len(clips)):
        clips.length(place)  # as a training does that takes scales from all trials before its first step
    encoder = CoreReadout(Spec(recording.frame_size, recording.unit_ids), CoreReadoutSettings())
    encoder.initialise(torch.Generator().manual_seed(0))
    optimiser = torch.optim.AdamW(encoder.parameters())
    draws = torch.Generator().manual_seed(1)
    loading, steps = [], []
    for _ in range(4):
        begun = perf_counter()
        draw_chunks(clips, draws, batch=settings.batch, frames=settings.frames)
        loading.append(perf_counter() - begun)
        begun = perf_counter()
        optimiser.zero_grad()
        loss_of(encoder, draws, clips, settings).backward()
        optimiser.step()
        steps.append(perf_counter() - begun)
    share = np.median(loading) / np.median(steps)
    say(f"loading {np.median(loading) * 1e3:.0f} ms of a step of {np.median(steps):.2f} s: {100 * share:.0f} %")
    assert share < 0.1


def seconds(done: Callable[..., object], *arguments: object) -> float:
    begun = perf_counter()
    done(*arguments)
    return perf_counter() - begun


def read_plainly(mouse: Path, index: int) -> None:
    for variable in ("videos", "responses", "behavior", "pupil_center"):
        np.load(mouse / "data" / variable / f"{index}.npy").astype(np.float32)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def measured(script: str, mouse: Path) -> tuple[int, int]:
    """Run a script in a process of its own and return the two numbers of its last line."""
    done = subprocess.run([sys.executable, "-c", script, str(mouse)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = done.stdout.splitlines()[-1].split()
    return int(first), int(second)
