"""Damaged files of every format: whatever is in them, a reader ends with our one error or with a recording."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from worlds import formats as worlds
from worlds import formats_nwb

from recon.data.open import open_recording
from recon.data.written import write_as
from recon.media import write_mp4

SCRIPT = """
import sys, warnings
from pathlib import Path
import numpy as np
from recon.data.check import check
from recon.data.formats.convert import Conversion, convert
from recon.data.formats import FORMATS
from recon.data.formats.arrays_import import import_arrays
from recon.data.open import open_recording
warnings.simplefilter("ignore")
kind, source = sys.argv[1], Path(sys.argv[2])
settings = Conversion(frame_size=(9, 16), trial_frames=90, shortest=45)

def mouse(case):
    recording = open_recording(case)
    report = check(recording)
    if not report.ok:
        raise ValueError(next(finding.text for finding in report.findings if finding.level == "error"))
    for index, tier in enumerate(recording.tiers):
        if tier != "none":
            recording.trial(index), recording.has_responses(index), recording.part(index, 1, 4)
    return recording

def arrays(case):
    each = {".npy": ("movie.npy", "responses.npy"), ".npz": ("all.npz:movie", "all.npz:responses"),
            ".mat": ("all.mat:movie", "all.mat:responses"), ".mat73": ("all73.mat:movie", "all73.mat:responses"),
            ".h5": ("all.h5:stimulus/movie", "all.h5:responses")}
    refused, made = [], None
    for suffix, (movie, responses) in each.items():
        try:
            made = import_arrays(case / ("made" + suffix), movie=case / movie, responses=case / responses,
                                 frame_rate=30, degrees_per_pixel=1, trial_frames=60)
        except ValueError as error:
            refused.append(error)
    if refused:
        raise max(refused, key=lambda error: len(str(error)))
    return made

def video(case):
    responses = np.ones((2, 90))
    return import_arrays(case.with_suffix(".made"), movie=case, responses=responses, frame_rate=30, trial_frames=20)

def typical(recording):
    "Medians over trials of grey level, contrast and size of responses, which a few bad bytes do not move."
    trials = [index for index, tier in enumerate(recording.tiers) if tier != "none"]
    frames = [recording.frames(index) for index in trials]
    sizes = [np.nanmedian(np.abs(recording.arrays(index)["responses"].astype(float)).mean(1)) for index in trials
             if "responses" in recording.arrays(index)]
    return [float(np.median(each)) for each in ([f.mean() for f in frames], [f.std() for f in frames], sizes or [0])]

for case in sorted(source.iterdir()):
    try:
        kind = {"neuropixels": "nwb", "written_nwb": "nwb", "written_experanto": "experanto"}.get(kind, kind)
        if kind in FORMATS:
            recording = convert(FORMATS[kind].read(case), case.with_suffix(".made"), settings)
        else:
            recording = {"arrays": arrays, "video": video}.get(kind, mouse)(case)
        print(case.name, "read", *typical(recording))
    except ValueError as error:
        print(case.name, "refused" if len(str(error)) < 2000 else "long")
"""
"""One process for many cases: a crash of a library ends it, and the test sees which case it was."""


def damaged(data: bytes, generator: np.random.Generator) -> bytes:
    """Return bytes of which some are changed, cut off, emptied or doubled; most damage is near the beginning."""
    changed = bytearray(data)
    kind = generator.integers(5)
    reach = len(data) if generator.random() < 0.5 else min(len(data), 4096)
    if kind == 0:
        return bytes(changed[: generator.integers(len(data) + 1)])
    places = generator.integers(0, reach, int(generator.integers(1, 20)))
    for place in places:
        if kind == 1:
            changed[place] = generator.integers(256)
        elif kind == 2:
            changed[place] ^= 1 << int(generator.integers(8))
        else:
            changed[place : place + 8] = b"\\xff" * 8 if kind == 3 else b"\\x00" * 8
    return bytes(changed)


def files_of(source: Path) -> list[Path]:
    return [source] if source.is_file() else sorted(file for file in source.rglob("*") if file.is_file())


KINDS = (
    *("experanto", "allen", "nwb", "neuropixels", "twin", "sensorium2022", "mouse", "zip", "arrays", "video"),
    *("written_nwb", "written_experanto"),
)
QUICK = ("nwb",)
"""Kinds that every run of the tests damages."""


def written(kind: str, folder: Path) -> Path:
    """Write a sound session of a format."""
    films = [worlds.film(4, rate=30.0, start=1 + 6 * k, seed=10 + k) for k in range(3)]
    if kind == "zip":
        worlds.write_mouse(folder / "mouse", films)
        return Path(shutil.make_archive(str(folder / "one"), "zip", folder, "mouse"))
    if kind == "video":
        movie = np.random.default_rng(0).integers(0, 256, (90, 16, 24), dtype=np.uint8)
        return write_mp4(folder / "one.mp4", movie, frame_rate=30.0)
    if kind == "allen":
        return formats_nwb.write_allen(folder / "one.nwb")[0]
    if kind == "neuropixels":
        return formats_nwb.write_neuropixels(folder / "one.nwb")[0]
    if kind.startswith("written_"):
        target = folder / ("one.nwb" if kind == "written_nwb" else "one")
        write_as(open_recording(worlds.write_mouse(folder / "mouse", films)), target, kind.removeprefix("written_"))
        return target
    if kind == "sensorium2022":
        return worlds.write_stills(folder / "one", images=12, scale=1)
    if kind == "twin":
        return worlds.write_twin(folder / "one", films, scale=1)
    writers = {"nwb": formats_nwb.write_microns, "mouse": worlds.write_mouse, "arrays": worlds.write_arrays}
    return writers.get(kind, worlds.write_experanto)(folder / ("one.nwb" if kind == "nwb" else "one"), films)


def cases(kind: str, folder: Path, count: int) -> Path:
    """Write damaged copies of a session of a format; return the folder that they are in."""
    source = written(kind, folder)
    generator, made = np.random.default_rng(KINDS.index(kind)), folder / "cases"
    made.mkdir()
    sound = made / f"sound{source.suffix}"
    shutil.copytree(source, sound) if source.is_dir() else shutil.copy(source, sound)
    for number in range(count):
        case = made / f"{number:04d}{source.suffix}"
        shutil.copytree(source, case) if source.is_dir() else shutil.copy(source, case)
        every = files_of(case)
        for _ in range(int(generator.integers(1, 3))):
            victim = every[generator.integers(len(every))]
            victim.write_bytes(damaged(victim.read_bytes(), generator))
    return made


def survive(kind: str, folder: Path, count: int) -> list[str]:
    """Read the cases in a process of their own and return what became of each."""
    made = cases(kind, folder, count)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, kind, str(made)],
        capture_output=True,
        text=True,
        timeout=120 + 3 * count,
        check=False,
    )
    *said, sound = done.stdout.splitlines() or [""]
    assert done.returncode == 0, f"after {sound}: {done.stderr[-2000:]}"
    assert len(said) == count and not any(line.endswith("long") for line in said)
    rescaled = [line for line in said if not alike(line, sound)]
    assert not rescaled, f"{len(rescaled)} of {count} were read at another scale than {sound}: {rescaled[:5]}"
    return said


def alike(line: str, sound: str) -> bool:
    """Return whether what was read has the scale of what was written: medians within a factor of two."""
    found, true = (np.array(text.split()[2:], dtype=float) for text in (line, sound))
    assert len(true) == 3 and " read " in sound
    return not len(found) or bool(((found >= 0.5 * true) & (found <= 2 * true)).all())


@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_damaged_files_are_refused_or_read(kind: str, tmp_path: Path) -> None:
    said = survive(kind, tmp_path, 20)
    assert sum(line.endswith("refused") for line in said) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files_are_refused_or_read(kind: str, tmp_path: Path) -> None:
    survive(kind, tmp_path, 200)
