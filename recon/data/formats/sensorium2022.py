"""Sensorium 2022: still images with one response per neuron and image, one folder per mouse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from recon.data.colour import grey
from recon.data.formats.joined import presentations, stream
from recon.data.formats.session import Session, Stream
from recon.data.grey_scale import GreyScale, StoredMovie, agreed, kind_of, measured, scale_in_words
from recon.data.layout import TEST, TIERS_FILE, TRAIN, VALIDATION, Array, data_file, load_array
from recon.errors import InputError

TIERS = {"train": TRAIN, "validation": VALIDATION, "test": TEST, "final_test": "final_test_main"}
WITHHELD = ("test", "final_test")
"""Tiers whose responses the publisher withheld at first: zero in every trial of the tier."""
RATE = 1.0
"""Nominal rate in Hz; images are published without times."""
BEHAVIOR = {
    "pupil_dilation": ("behavior", 3, 0),
    "running_speed": ("behavior", 3, 2),
    "pupil_x": ("pupil_center", 2, 0),
    "pupil_y": ("pupil_center", 2, 1),
}
"""Folder, rows per file and row index of every stream; row 1 of `behavior` is the derivative of pupil dilation."""


def looks_like(path: Path) -> bool:
    """Return whether a folder is a Sensorium 2022 mouse (still images)."""
    return (path / TIERS_FILE).is_file() and (path / "data/images").is_dir()


def read(path: Path) -> Session:
    """Return the session of a folder: one image per second, with the publisher's tiers.

    Trials with withheld responses are left out: absent, or zero in all trials of a test tier.
    """
    tiers = [str(tier) for tier in load_array(path / TIERS_FILE).astype(str)]
    unknown = sorted(set(tiers) - {*TIERS, "none"})
    if unknown:
        raise InputError(f"{path / TIERS_FILE}: expected tiers of {', '.join(TIERS)}, got {unknown}; rename them")
    units = load_array(path / "meta/neurons/unit_ids.npy").ravel()
    listed = [index for index, tier in enumerate(tiers) if tier != "none"]
    withheld = {tier for tier in WITHHELD if _all_zero(path, tiers, tier, len(units))}
    there = [index for index in listed if data_file(path, "responses", index).exists()]
    trials = [index for index in there if tiers[index] not in withheld]
    if not trials:
        raise InputError(f"{path}: expected images with responses, got none; unpack the recording again")
    ones = [1] * len(trials)
    notes = ["images have no times: one per second is assumed"]
    if len(listed) > len(trials):
        notes.append(f"{len(listed) - len(trials)} images with withheld responses are left out")
    behavior = {
        name: _column(path, trials, *where) for name, where in BEHAVIOR.items() if (path / "data" / where[0]).is_dir()
    }
    stored = [_measured(path, index) for index in trials]
    scales = agreed(image for image, _ in stored)
    coordinates = path / "meta/neurons/cell_motor_coordinates.npy"
    return Session(
        name=path.resolve().name,
        unit_ids=units.tolist(),
        responses=stream(ones, RATE, len(units), lambda at: _row(path, "responses", trials[at], len(units))),
        shown=presentations(
            ones,
            RATE,
            lambda at: _levels(path, trials[at], scales),
            contents=_contents(path, trials, len(tiers)),
            tiers=[TIERS[tiers[index]] for index in trials],
        ),
        behavior=behavior,
        coordinates=load_array(coordinates) if coordinates.is_file() else None,
        rate=RATE,
        stills=True,
        notes=notes,
        decided={"scale": scale_in_words(scales, "rec601" if any(colour for _, colour in stored) else None)},
    )


def _all_zero(path: Path, tiers: Sequence[str], tier: str, count: int) -> bool:
    there = [i for i, own in enumerate(tiers) if own == tier and data_file(path, "responses", i).exists()]
    return not any(bool(np.nan_to_num(_row(path, "responses", index, count)).any()) for index in there)


def _row(path: Path, variable: str, index: int, count: int) -> Array:
    file = data_file(path, variable, index)
    values = load_array(file)
    if values.size != count or values.dtype.kind not in "fiu":
        raise InputError(f"{file}: expected {count} numbers, got {values.dtype} {values.shape}; unpack it again")
    return values.reshape(1, count).astype(np.float64)


def _column(path: Path, trials: Sequence[int], variable: str, rows: int, row: int) -> Stream:
    ones = [1] * len(trials)

    def read(at: int) -> Array:
        there = data_file(path, variable, trials[at]).is_file()
        return _row(path, variable, trials[at], rows)[:, row, None] if there else np.full((1, 1), np.nan)

    return stream(ones, RATE, 1, read)


def _measured(path: Path, index: int) -> tuple[StoredMovie, bool]:
    """Return the extremes of an image, and whether it has colour."""
    image = _image(path, index)
    return measured(str(data_file(path, "images", index)), image, image.dtype), len(image) == 3


def _levels(path: Path, index: int, scales: Mapping[str, GreyScale]) -> Array:
    """Return an image `(1,H,W)`, grey levels 0–255."""
    image = _image(path, index)
    return scales[kind_of(image.dtype)].levels(grey(np.moveaxis(image, 0, -1)[None]) if len(image) == 3 else image)


def _image(path: Path, index: int) -> Array:
    """Return an image `(1,H,W)` or `(3,H,W)` as stored."""
    file = data_file(path, "images", index)
    image = load_array(file, mapped=True)
    if image.ndim != 3 or image.shape[0] not in (1, 3) or image.dtype.kind not in "fiub":
        raise InputError(f"{file}: expected an image (1,H,W) or (3,H,W), got {image.dtype} {image.shape}; unpack again")
    return image


def _contents(path: Path, trials: Sequence[int], count: int) -> list[str]:
    file = path / "meta/trials/frame_image_id.npy"
    if not file.is_file():
        return [str(index) for index in trials]
    ids = load_array(file).ravel()
    if len(ids) != count:
        raise InputError(f"{file}: expected {count} numbers of images, got {len(ids)}; unpack the recording again")
    return [str(ids[index]) for index in trials]
