"""Relative fluorescence over a running baseline, computed on reading."""

from __future__ import annotations

import numpy as np

from recon.data.arrays import Stored
from recon.data.layout import Array

WINDOW, PERCENTILE = 60.0, 10.0
"""Window (s) and percentile of the running baseline."""
KNOTS = 8
"""Baseline values per window, with linear interpolation between them."""


RELATIVE = "responses are (F − F₀)/F₀, at least 0, where F₀ is the running 10th percentile over 60 s"
"""Note of a conversion to relative fluorescence."""


class RelativeFluorescence:
    """(F − F₀)/F₀ clipped at 0, where F₀ is the running 10th percentile over 60 s (removes bleaching and drift)."""

    def __init__(self, stored: Stored, rate: float) -> None:
        self.stored, self.shape = stored, tuple(stored.shape)
        self.half = max(round(WINDOW * rate / 2), 1)
        self.step = max(2 * self.half // KNOTS, 1)

    def __getitem__(self, index: slice) -> Array:
        """Return samples `(k,n)`; only the lower bound on F₀ (1 % of its mean) depends on the extent of the slice."""
        first, end, _ = index.indices(self.shape[0])
        if end <= first:
            return np.zeros((0, self.shape[1]))
        low, high = first // self.step, -(-(end - 1) // self.step)
        begin, until = max(low * self.step - self.half, 0), min(high * self.step + self.half + 1, self.shape[0])
        raw = np.asarray(self.stored[begin:until], dtype=np.float64)
        knots = np.arange(low, high + 1) * self.step
        around = [raw[max(knot - self.half - begin, 0) : knot + self.half + 1 - begin] for knot in knots]
        found = np.stack([_percentile(part) for part in around])
        place = (np.arange(first, end) / self.step) - low
        lower = np.minimum(place.astype(int), len(knots) - 1)
        upper = np.minimum(lower + 1, len(knots) - 1)
        baseline = found[lower] + (place - lower)[:, None] * (found[upper] - found[lower])
        known = np.maximum((~np.isnan(found)).sum(0), 1)
        floor = 0.01 * np.nansum(np.abs(found), axis=0) / known + 1e-9
        own = raw[first - begin : end - begin]
        relative: Array = np.maximum((own - baseline) / np.maximum(baseline, floor), 0)
        return relative


def _percentile(part: Array) -> Array:
    """Return the percentile of the columns of `(k,n)` over what is not NaN; NaN for columns without a value."""
    known = ~np.isnan(part).all(0)
    found = np.full(part.shape[1], np.nan)
    found[known] = np.nanpercentile(part[:, known], PERCENTILE, axis=0)
    return found
