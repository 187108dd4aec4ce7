"""Stimulus kind of every trial, from a file beside the tiers or from the published table of the Sensorium mice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recon.data.layout import ABSENT, load_array
from recon.errors import InputError

KINDS = ("movie", "directional pink noise", "gaussian dots", "random dot kinematogram", "drifting gabor", "image")
"""Kinds of Sensorium 2023 by public number (ViV1T, data/README.md); all but the first are out of distribution."""
STIMULI_FILE = Path("meta/trials/stimulus_ids.npy")
"""Index into `KINDS`, or free text, for every trial; negative or empty if unknown."""
LIVE, FINAL = "live_test_bonus", "final_test_bonus"
NOISE, DOTS, KINEMATOGRAM, GABOR, IMAGE = KINDS[1:]
BONUS = {
    "dynamic29156-11-10": (NOISE, (DOTS, KINEMATOGRAM)),
    "dynamic29228-2-10": (GABOR, (NOISE, IMAGE)),
    "dynamic29234-6-9": (KINEMATOGRAM, (GABOR, IMAGE)),
    "dynamic29513-3-5": (IMAGE, (NOISE, DOTS)),
    "dynamic29514-2-9": (DOTS, (KINEMATOGRAM, GABOR)),
    "dynamic29515-10-12": (NOISE, (DOTS, KINEMATOGRAM)),
    "dynamic29623-4-9": (GABOR, (KINEMATOGRAM, IMAGE)),
    "dynamic29647-19-8": (DOTS, (NOISE, IMAGE)),
    "dynamic29712-5-9": (KINEMATOGRAM, (DOTS, GABOR)),
    "dynamic29755-2-8": (IMAGE, (NOISE, GABOR)),
}
"""Bonus tiers of the ten public mice: kind of the live tier, two kinds of the final tier (ViV1T, data/README.md)."""


def stimulus_kinds(root: Path, name: str, tiers: Sequence[str]) -> tuple[str, ...]:
    """Return the stimulus kind of every trial of the recording in a folder; "" if unknown.

    `STIMULI_FILE` comes first. Without it, the tiers of a public mouse determine the kind; its final bonus trials show
    one of two kinds ("A or B"). Raises InputError if the file does not fit the trials.
    """
    file = root / STIMULI_FILE
    if file.exists():
        return _from_file(file, len(tiers))
    known = next((kinds for mouse, kinds in BONUS.items() if name.startswith(mouse)), None)
    if known is None:
        return ("",) * len(tiers)
    by_tier = {ABSENT: "", LIVE: known[0], FINAL: " or ".join(known[1])}
    return tuple(by_tier.get(tier, KINDS[0]) for tier in tiers)


def _from_file(file: Path, count: int) -> tuple[str, ...]:
    stored = load_array(file)
    numbers = stored.dtype.kind in "iu"
    if stored.shape != (count,) or stored.dtype.kind not in "iuU" or (numbers and (stored >= len(KINDS)).any()):
        raise InputError(
            f"{file}: expected a word or a number below {len(KINDS)} for each of {count} trials, got {stored.dtype} "
            f"{stored.shape}; number them as {', '.join(f'{i} {kind}' for i, kind in enumerate(KINDS))}"
        )
    if numbers:
        return tuple(KINDS[number] if number >= 0 else "" for number in np.asarray(stored, dtype=np.int64))
    return tuple(str(word) for word in stored)
