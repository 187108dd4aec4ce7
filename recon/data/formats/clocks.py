"""Streams with clocks of their own, brought to the frames of a movie by time; what is not known stays NaN."""

from __future__ import annotations

import numpy as np

from recon.data.formats.session import ShownStimulus, Spikes, Stream
from recon.data.layout import Array

GAP = 2.5
"""Samples further apart than this many usual intervals have a gap between them."""
FASTER = 1.5
"""A stream with this many samples per frame or more is averaged over frames, others are interpolated."""


def frame_times(shown: ShownStimulus, rate: float) -> Array:
    """Return when the frames `(T,)` of a presentation begin, at `rate` a second."""
    begins: Array = shown.onsets[0] + np.arange(int((shown.end - shown.onsets[0]) * rate + 1e-6)) / rate
    return begins


def frames_on(shown: ShownStimulus, times: Array, rate: float) -> Array:
    """Return which frame `(T,)` was on the screen in the middle of each frame that begins at `times`.

    The middle, so that jitter of the clock neither doubles nor skips a frame.
    """
    found: Array = np.searchsorted(shown.onsets, times + 0.5 / rate, side="right") - 1
    return np.clip(found, 0, len(shown.onsets) - 1)


def long_frames(shown: ShownStimulus) -> int:
    """Return how many frames stayed on the screen for more than one and a half usual intervals: dropped ones followed.

    >>> long_frames(ShownStimulus(np.array([0.0, 1.0, 2.0, 4.0]), 5.0, lambda numbers: numbers))
    1
    """
    steps = np.diff(shown.onsets)
    return int((steps > 1.5 * np.median(steps)).sum()) if len(steps) else 0


def responses_at(responses: Stream | Spikes, times: Array, rate: float) -> Array:
    """Return the responses `(N,T)` in frames that begin at `times`: spikes are counted, fast streams averaged.

    Slower streams are interpolated linearly at the frames' beginnings, as the Sensorium recordings are. NaN where
    nothing is known: outside the stream, and between samples that lie too far apart.
    """
    if isinstance(responses, Spikes):
        return _counts(responses, times, rate)
    usual = float(np.median(np.diff(responses.times)))
    if usual * rate * FASTER <= 1:
        return _means(responses, times, rate)
    return interpolated(responses, times, longest=GAP * usual)


def interpolated(stream: Stream, times: Array, *, longest: float) -> Array:
    """Return the signals `(n,T)` at `times`, linear between samples that are at most `longest` seconds apart.

    Signals of equal shift are found together, all of them in one pass. A NaN sample counts as none.
    """
    shifts = np.zeros(stream.values.shape[1]) if stream.shifts is None else np.asarray(stream.shifts)
    distinct, member = np.unique(shifts, return_inverse=True)
    first, end = _span(stream.times, times[0] - distinct[-1], times[-1] - distinct[0], longest)
    known, values = stream.times[first:end], np.asarray(stream.values[first:end], dtype=np.float64)
    if len(known) < 2:
        return np.full((len(shifts), len(times)), np.nan)
    places = np.interp((times[None] - distinct[:, None]).ravel(), known, np.arange(len(known)), np.nan, np.nan)
    places = places.reshape(len(distinct), len(times))
    if np.isnan(values).any():
        return _around_gaps(known, values, times, shifts, longest)
    lower = np.clip(np.nan_to_num(places).astype(int), 0, len(known) - 2)
    share = places - lower  # 0 or 1 at a sample itself, which no gap beside it concerns
    share[(share > 0) & (share < 1) & (known[lower + 1] - known[lower] > longest)] = np.nan
    index, share = lower[member], share[member]
    signals = np.arange(len(shifts))[:, None]
    below, above = values[index, signals], values[index + 1, signals]
    signal: Array = below + share * (above - below)
    return signal


def _around_gaps(known: Array, values: Array, times: Array, shifts: Array, longest: float) -> Array:
    """Return the interpolation signal by signal, each between its own measured samples."""
    found = np.full((len(shifts), len(times)), np.nan)
    for signal, shift in enumerate(shifts):
        measured = ~np.isnan(values[:, signal])
        at, own = known[measured], values[measured, signal]
        if len(at) < 2:
            continue
        asked = times - shift
        lower = np.clip(np.searchsorted(at, asked, side="right") - 1, 0, len(at) - 2)
        inside = (asked >= at[0]) & (asked <= at[-1])
        near = ((at[lower + 1] - at[lower]) <= longest) | (asked == at[lower]) | (asked == at[lower + 1])
        found[signal] = np.where(inside & near, np.interp(asked, at, own), np.nan)
    return found


def _means(stream: Stream, times: Array, rate: float) -> Array:
    """Return means over the samples inside each frame; NaN for a frame without any."""
    shifts = np.zeros(stream.values.shape[1]) if stream.shifts is None else np.asarray(stream.shifts)
    first, end = _span(stream.times, times[0] - shifts.max(), times[-1] + 1 / rate - shifts.min(), 1 / rate)
    known, values = stream.times[first:end], np.asarray(stream.values[first:end], dtype=np.float64)
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.nancumsum(values, axis=0)])
    counts = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(~np.isnan(values), axis=0)])
    distinct, member = np.unique(shifts, return_inverse=True)
    edges = np.append(times, times[-1] + 1 / rate)
    places = np.searchsorted(known, edges[None] - distinct[:, None] - 1e-9)[member]
    signals = np.arange(len(shifts))[:, None]
    total, count = np.diff(sums[places, signals], axis=1), np.diff(counts[places, signals], axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _counts(spikes: Spikes, times: Array, rate: float) -> Array:
    edges = np.append(times, times[-1] + 1 / rate)
    counts = np.stack([np.diff(np.searchsorted(own, edges - 1e-9)) for own in spikes.times]).astype(np.float64)
    counts[:, (edges[:-1] < spikes.span[0] - 1e-9) | (edges[1:] > spikes.span[1] + 1e-9)] = np.nan
    return counts


def _span(known: Array, first: float, end: float, margin: float) -> tuple[int, int]:
    """Return the range of samples that the times from `first` to `end` need."""
    low = max(int(np.searchsorted(known, first - margin, side="right")) - 1, 0)
    return low, min(int(np.searchsorted(known, end + margin)) + 1, len(known))
