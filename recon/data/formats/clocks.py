"""Resampling of streams with their own clocks at the frames of a movie; unknown values are NaN."""

from __future__ import annotations

import numpy as np

from recon.data.formats.session import ShownStimulus, Spikes, Stream
from recon.data.layout import Array

GAP = 2.5
"""Minimum length of a gap between samples, in median sampling intervals."""
FASTER = 1.5
"""Streams with at least this many samples per frame are averaged over frames; others are interpolated."""


def frame_times(shown: ShownStimulus, rate: float) -> Array:
    """Return the onset times `(T,)` in seconds of a presentation's frames, resampled at `rate` Hz."""
    begins: Array = shown.onsets[0] + np.arange(int((shown.end - shown.onsets[0]) * rate + 1e-6)) / rate
    return begins


def frames_on(shown: ShownStimulus, times: Array, rate: float) -> Array:
    """Return the presented frame `(T,)` that is on screen at the middle of each output frame with onset `times`.

    Sampling at the middle keeps clock jitter from doubling or skipping a frame.
    """
    found: Array = np.searchsorted(shown.onsets, times + 0.5 / rate, side="right") - 1
    return np.clip(found, 0, len(shown.onsets) - 1)


def long_frames(shown: ShownStimulus) -> int:
    """Return the number of frames on screen for more than 1.5 median intervals, a sign of dropped frames.

    >>> long_frames(ShownStimulus(np.array([0.0, 1.0, 2.0, 4.0]), 5.0, lambda numbers: numbers))
    1
    """
    steps = np.diff(shown.onsets)
    return int((steps > 1.5 * np.median(steps)).sum()) if len(steps) else 0


def responses_at(responses: Stream | Spikes, times: Array, rate: float) -> Array:
    """Return responses `(N,T)` in frames with onsets `times`: spike counts, or means of fast streams.

    Slower streams are interpolated linearly at frame onsets, as in the Sensorium recordings. NaN outside the stream and
    in gaps between samples.
    """
    if isinstance(responses, Spikes):
        return _counts(responses, times, rate)
    usual = float(np.median(np.diff(responses.times)))
    if usual * rate * FASTER <= 1:
        return _means(responses, times, rate)
    return interpolated(responses, times, longest=GAP * usual)


def interpolated(stream: Stream, times: Array, *, longest: float) -> Array:
    """Return the signals `(n,T)` at `times` by linear interpolation between samples at most `longest` seconds apart.

    NaN samples count as missing. Signals with equal shifts share their interpolation weights.
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
    share = places - lower  # 0 or 1 exactly at a sample, which is valid even beside a gap
    share[(share > 0) & (share < 1) & (known[lower + 1] - known[lower] > longest)] = np.nan
    index, share = lower[member], share[member]
    signals = np.arange(len(shifts))[:, None]
    below, above = values[index, signals], values[index + 1, signals]
    signal: Array = below + share * (above - below)
    return signal


def _around_gaps(known: Array, values: Array, times: Array, shifts: Array, longest: float) -> Array:
    """Interpolate signal by signal, each between its own non-NaN samples."""
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
    """Return the mean of the samples in each frame; NaN for frames without samples."""
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
    """Return the range [low, high) of the samples needed for times from `first` to `end`, `margin` s included."""
    low = max(int(np.searchsorted(known, first - margin, side="right")) - 1, 0)
    return low, min(int(np.searchsorted(known, end + margin)) + 1, len(known))
