"""Gaps of single neurons in a session: neurons to be masked, so that trials stay whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from recon.data.formats.session import Session, Spikes
from recon.data.layout import Array
from recon.data.missing import NAMED
from recon.data.unit_ids import Ids
from recon.errors import InputError


@dataclass(frozen=True)
class FrameGaps:
    """Missing values of a presentation: `known` `(T,)` marks the frames with behavior and most neurons.

    `missing` `(M,T)` marks NaN of the neurons `rows` `(M,)`, those with NaN in known frames.
    """

    known: Array
    rows: Array
    missing: Array

    def complete(self, masked: Array) -> Array:
        """Return the mask `(T,)` of the known frames in which all neurons but the masked ones were recorded."""
        others = self.missing[~np.isin(self.rows, masked)]
        whole: Array = self.known & ~others.any(0)
        return whole

    def inside(self, *, shortest: int, edge: int) -> Array:
        """Return the neurons with NaN inside a run of at least `shortest` known frames, `edge` frames from its ends."""
        whole = list(runs(self.known, shortest))
        cores = [(low + edge, high - edge) if high - low > 2 * edge else (low, high) for low, high in whole]
        found = [self.missing[:, low:high].any(1) for low, high in cores]
        return self.rows[np.logical_or.reduce(found)] if found else self.rows[:0]


def frame_gaps(responses: Array, behavior: Array | None) -> FrameGaps:
    """Return the gaps of responses `(N,T)` and behavior `(4,T)`: NaN in a neuron, in most, or in any behavior.

    Frames are unknown in which over half of the neurons of the presentation are missing.
    """
    missing = np.isnan(responses)
    seen = missing[~missing.all(1)]
    known = seen.mean(0) <= 0.5 if len(seen) else np.zeros(responses.shape[1], dtype=bool)
    if behavior is not None:
        known &= np.isfinite(behavior).all(0)
    rows = np.flatnonzero(missing[:, known].any(1))
    return FrameGaps(known, rows, missing[rows])


def masked_in(gaps: Sequence[FrameGaps], session: Session, *, shortest: int, rate: float) -> Array:
    """Return the neurons of a session, ascending, that have NaN inside its presentations and are masked.

    NaN within one sampling interval of an end, or of a gap of most neurons, is cut: imaging planes differ there.
    Raises InputError if no neuron is left.
    """
    edge = _edge(session, rate)
    found = [one.inside(shortest=shortest, edge=edge) for one in gaps]
    masked = np.unique(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)
    if len(masked) and len(masked) == len(session.unit_ids):
        raise InputError(
            f"{session.name}: expected neurons that were recorded in all presentations, got NaN inside some "
            f"presentation for each of {len(masked)}; leave out the neurons with most NaN, or the presentations"
        )
    return masked


def named(masked: Array, gaps: Sequence[FrameGaps], unit_ids: Ids) -> list[str]:
    """Return a sentence that names the masked neurons; none without any."""
    if not len(masked):
        return []
    counts = [sum(bool((one.rows == row).any()) for one in gaps) for row in masked[:NAMED]]
    shown = ", ".join(
        f"neuron {row} (unit id {unit_ids[row]}) in {count} of {len(gaps)} presentations"
        for row, count in zip(masked.tolist(), counts, strict=False)
    )
    more = f" and {len(masked) - NAMED} more" if len(masked) > NAMED else ""
    return [f"neurons with NaN are masked: {shown}{more}"]


def runs(known: Array, shortest: int = 1) -> Iterator[tuple[int, int]]:
    """Yield the ranges [first, end) of at least `shortest` known frames.

    >>> list(runs(np.array([True, True, False, True])))
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(int)))
    for first, end in edges.reshape(-1, 2).tolist():
        if end - first >= shortest:
            yield first, end


def _edge(session: Session, rate: float) -> int:
    """Return one sampling interval and the shifts between neurons, in frames; 0 for spikes and still images."""
    if isinstance(session.responses, Spikes) or session.stills:
        return 0
    times, shifts = session.responses.times, session.responses.shifts
    apart = 0.0 if shifts is None else float(np.ptp(shifts))
    return ceil((float(np.median(np.diff(times))) + apart) * rate - 1e-6)
