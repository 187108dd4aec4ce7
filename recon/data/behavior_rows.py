"""Behavior of a trial from its files: what was not recorded is NaN."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from recon.data.layout import MASKED, Array


def behavior_rows(arrays: Mapping[str, Array]) -> Tensor | None:
    """Return behavior and pupil centre `[4,T]` of a trial, NaN for the one without a file; None if both are unknown."""
    there = [arrays[name] for name in MASKED if name in arrays]
    if not any(bool((~np.isnan(array)).any()) for array in there):
        return None
    absent = np.full(there[0].shape, np.nan)
    return torch.from_numpy(np.concatenate([arrays.get(name, absent) for name in MASKED]).astype(np.float32))


def known_or_zero(variable: str, array: Array) -> Array:
    """Return an array to be checked, with 0 for NaN where NaN marks what was not recorded."""
    return np.where(np.isnan(array), 0, array) if variable in MASKED and array.dtype.kind == "f" else array
