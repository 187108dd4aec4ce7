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
    for index, tier in enumerate(recording.tiers):
        if tier != "none" and report.ok:
            recording.trial(index), recording.has_responses(index), recording.part(index, 1, 4)

def arrays(case):
    each = {".npy": ("movie.npy", "responses.npy"), ".npz": ("all.npz:movie", "all.npz:responses"),
            ".mat": ("all.mat:movie", "all.mat:responses"), ".h5": ("all.h5:stimulus/movie", "all.h5:responses")}
    refused = []
    for suffix, (movie, responses) in each.items():
        try:
            import_arrays(case / ("made" + suffix), movie=case / movie, responses=case / responses, frame_rate=30,
                          degrees_per_pixel=1)
        except ValueError as error:
            refused.append(error)
    if refused:
        raise max(refused, key=lambda error: len(str(error)))

def video(case):
    import_arrays(case.with_suffix(".made"), movie=case, responses=np.ones((2, 90)), frame_rate=30, trial_frames=20)

for case in sorted(source.iterdir()):
    try:
        if kind in FORMATS:
            convert(FORMATS[kind].read(case), case.with_suffix(".made"), settings)
        else:
            {"arrays": arrays, "video": video}.get(kind, mouse)(case)
        print(case.name, "read")
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


KINDS = ("experanto", "allen", "nwb", "twin", "sensorium2022", "mouse", "zip", "arrays", "video")
QUICK = ("nwb", "sensorium2022", "arrays")
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
        [sys.executable, "-c", SCRIPT, kind, str(made)], capture_output=True, text=True, timeout=60 + count, check=False
    )
    said = done.stdout.splitlines()
    assert done.returncode == 0, f"after {said[-1:]}: {done.stderr[-2000:]}"
    assert len(said) == count and not any(line.endswith("long") for line in said)
    return said


@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_damaged_files_are_refused_or_read(kind: str, tmp_path: Path) -> None:
    said = survive(kind, tmp_path, 20)
    assert sum(line.endswith("refused") for line in said) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files_are_refused_or_read(kind: str, tmp_path: Path) -> None:
    survive(kind, tmp_path, 300)
