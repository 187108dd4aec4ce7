"""Channels over time for import: responses, behavior and pupil positions, aligned with the trials of the movies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from recon.data.arrays import ArraySource, Stored, open_stored, with_axes
from recon.data.behavior_rows import known_or_zero
from recon.data.formats.movies import Several, each
from recon.data.layout import LARGEST, Array, largest, not_finite
from recon.errors import InputError

ORDERS = ("nt", "tn")


@dataclass(frozen=True)
class TrialAlignment:
    """What channels must fit: `frames` of every trial, and `starts` in one continuous array, if given.

    `axes` ("nt", "tn" or "" for the axis of fitting length), `trim`: lengths may differ by one frame. `others`: lengths
    of the other axes of the movie, one of which may be its time.
    """

    frames: tuple[int, ...]
    starts: tuple[int, ...] = ()
    axes: str = ""
    trim: bool = False
    others: tuple[int, ...] = ()


@dataclass(frozen=True)
class TrialChannels:
    """Channels of all trials: trial i is found in array `places[i][0]`, its trial `places[i][1]`, from `places[i][2]`.

    `lengths`: frames available for every trial, at most one more or less than those of the movie.
    """

    name: str
    sources: tuple[ArraySource, ...]
    places: tuple[tuple[int, int, int], ...]
    lengths: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of channels."""
        return self.sources[0].size("n")

    def read(self, trial: int, span: tuple[int, int]) -> Array:
        """Return frames [first, end) of a trial, `(N,T)`."""
        array, row, begin = self.places[trial]
        return self.sources[array].read(row, (begin + span[0], begin + span[1]), "nt")


def open_channels(name: str, value: Several, alignment: TrialAlignment, stack: ExitStack) -> TrialChannels:
    """Open channels: a list of `(N,T)`, one for each trial; `(R,N,T)`; or `(N,T)`, all trials one after the other.

    The time axis may be the first; it is named by the alignment or found by its length.
    """
    if alignment.axes not in ("", *ORDERS):
        raise InputError(
            f"{name}: expected axes 'nt' or 'tn', got {alignment.axes!r}; leave out the trial axis, it is first"
        )
    stored = [open_stored(part, stack) for part in each(value)]
    if len(stored) == len(alignment.frames) and all(len(one.shape) == 2 for one in stored) and not alignment.starts:
        return _listed(name, stored, alignment)
    if len(stored) != 1:
        raise InputError(
            f"{name}: expected one array, or {len(alignment.frames)} of two axes, one for each trial, got "
            f"{len(stored)} of shapes {[tuple(one.shape) for one in stored[:4]]}; join or split them"
        )
    axes = len(stored[0].shape)
    if axes not in (2, 3):
        raise InputError(
            f"{name}: expected channels over time (N,T), or (R,N,T) in trials, got shape {tuple(stored[0].shape)}; "
            "give a single channel the shape (1,T)"
        )
    return _stacked(name, stored[0], alignment) if axes == 3 else _continuous(name, stored[0], alignment)


def agreed(
    frames: Sequence[int], channels: Mapping[str, TrialChannels], *, trim: bool
) -> tuple[tuple[int, ...], list[str]]:
    """Return the frames that all sources of a trial have, and a sentence for every source that is trimmed."""
    lengths = {"movie": tuple(frames), **{name: one.lengths for name, one in channels.items()}}
    common = tuple(min(trial) for trial in zip(*lengths.values(), strict=True))
    longest = tuple(max(trial) for trial in zip(*lengths.values(), strict=True))
    wrong = next((i for i, (low, high) in enumerate(zip(common, longest, strict=True)) if high - low > trim), None)
    if wrong is not None:
        found = ", ".join(f"{own[wrong]} of {name}" for name, own in lengths.items())
        raise InputError(
            f"trial {wrong}: expected lengths that differ by at most {int(trim)} frame, got {found}; align them first"
        )
    notes = [f"{name}: {_trimmed(own, common)}" for name, own in lengths.items() if own != common]
    return common, notes


def check_values(channels: TrialChannels, frames: Sequence[int], *, gaps: bool = False) -> dict[int, tuple[int, ...]]:
    """Read everything once; raises InputError for NaN (but in behavior), infinity and impossible magnitudes.

    With `gaps`, channels may be NaN where others are not; their numbers are returned by trial.
    """
    holed = dict[int, tuple[int, ...]]()
    for trial, count in enumerate(frames):
        values = channels.read(trial, (0, count))
        if values.dtype.kind not in "fiub":
            raise InputError(f"{channels.name}: expected numbers, got {values.dtype}; convert them")
        values = known_or_zero(channels.name, values)
        wrong = not_finite(values)
        if gaps and len(wrong):
            missing = np.isnan(values)
            wrong = np.flatnonzero(np.isinf(values).any(0) | missing.all(0))
            holed[trial] = tuple(np.flatnonzero(missing.any(1)).tolist())
        if len(wrong):
            raise InputError(
                f"{channels.name}: expected finite values, got NaN or infinity in trial {trial} at frame {wrong[0]}; "
                "fill the gaps, or leave this trial out"
            )
        found = largest(np.nan_to_num(values.astype(np.float64)))
        if found > LARGEST:
            raise InputError(
                f"{channels.name}: expected values within ±{LARGEST:g}, got {found:g} in trial {trial}; "
                "repair the array or rescale it"
            )
    return holed


def _listed(name: str, stored: Sequence[Stored], alignment: TrialAlignment) -> TrialChannels:
    order = _order(name, [one.shape for one in stored], alignment.frames, alignment)
    sources = tuple(with_axes(name, one, order) for one in stored)
    counts = {source.size("n") for source in sources}
    if len(counts) > 1:
        raise InputError(f"{name}: expected the same channels in every trial, got {sorted(counts)}; complete them")
    places = tuple((number, 0, 0) for number in range(len(sources)))
    return TrialChannels(name, sources, places, tuple(source.size("t") for source in sources))


def _stacked(name: str, stored: Stored, alignment: TrialAlignment) -> TrialChannels:
    count = len(alignment.frames)
    if stored.shape[0] != count or alignment.starts:
        wanted = "one continuous array (N,T) beside starts" if alignment.starts else f"{count} trials as the movie has"
        raise InputError(f"{name}: expected {wanted}, got shape {tuple(stored.shape)}; put the trial axis first")
    source = with_axes(name, stored, "r" + _order(name, [stored.shape[1:]] * count, alignment.frames, alignment))
    return TrialChannels(name, (source,), tuple((0, row, 0) for row in range(count)), (source.size("t"),) * count)


def _continuous(name: str, stored: Stored, alignment: TrialAlignment) -> TrialChannels:
    if alignment.starts:
        return _cut(name, stored, alignment)
    source = with_axes(name, stored, _order(name, [stored.shape], [sum(alignment.frames)], alignment))
    starts = np.cumsum([0, *alignment.frames[:-1]]).tolist()
    lengths = (*alignment.frames[:-1], source.size("t") - starts[-1])
    return TrialChannels(name, (source,), tuple((0, 0, start) for start in starts), lengths)


def _cut(name: str, stored: Stored, alignment: TrialAlignment) -> TrialChannels:
    """Return trials at their starts in one continuous array, which has at least as many frames as they need."""
    needed = max(start + frames for start, frames in zip(alignment.starts, alignment.frames, strict=True))
    orders = [alignment.axes] if alignment.axes else list(ORDERS)
    fitting = [order for order in orders if stored.shape[order.index("t")] >= needed - alignment.trim]
    if len(fitting) != 1:
        found = "none" if not fitting else "two"
        raise InputError(
            f"{name}: expected one axis of at least {needed} frames, where the last trial ends, got {found} in shape "
            f"{tuple(stored.shape)}; correct the starts, or name the axes (response_axes)"
        )
    source = with_axes(name, stored, fitting[0])
    lengths = tuple(
        min(frames, source.size("t") - start) for start, frames in zip(alignment.starts, alignment.frames, strict=True)
    )
    return TrialChannels(name, (source,), tuple((0, 0, start) for start in alignment.starts), lengths)


def _order(name: str, shapes: Sequence[Sequence[int]], frames: Sequence[int], alignment: TrialAlignment) -> str:
    """Return "nt" or "tn", in which every shape has its number of frames; with `trim`, to one frame if none fits."""
    for allowed in range(1 + alignment.trim):
        orders = [alignment.axes] if alignment.axes else ORDERS
        fitting = [order for order in orders if _misfit(order, shapes, frames) <= allowed]
        if len(fitting) == 2:
            raise InputError(
                f"{name}: expected one axis of {frames[0]} frames, got two in shape {tuple(shapes[0])}; name it "
                "(response_axes)"
            )
        if fitting:
            return fitting[0]
    wanted = f"{frames[0]} frames" if len(set(frames)) == 1 else f"{min(frames)}–{max(frames)} frames"
    several = f"{len(shapes)} trials of " if len(shapes) > 1 else ""
    raise InputError(
        f"{name}: expected {several}{wanted} as the movie has, got {_some(shapes)}; "
        f"{_remedy(shapes, frames, alignment)}"
    )


def _misfit(order: str, shapes: Sequence[Sequence[int]], frames: Sequence[int]) -> int:
    time = order.index("t")
    return max(abs(int(shape[time]) - count) for shape, count in zip(shapes, frames, strict=True))


def _remedy(shapes: Sequence[Sequence[int]], frames: Sequence[int], alignment: TrialAlignment) -> str:
    nearest = min(_misfit(order, shapes, frames) for order in ORDERS)
    if nearest == 1 and not alignment.trim:
        return "cut both alike, or let trim cut the one frame (trim)"
    mistaken = [n for shape in shapes for n in shape if n in alignment.others and n > max(frames)]
    if mistaken:
        return f"if the movie's axis of {mistaken[0]} is time, name its axes (axes), for example hwt"
    return "cut both alike; trim cuts one frame only" if alignment.trim else "cut both alike"


def _some(shapes: Sequence[Sequence[int]]) -> str:
    distinct = list(dict.fromkeys(tuple(map(int, shape)) for shape in shapes))
    return ", ".join(map(str, distinct[:3])) + (", …" if len(distinct) > 3 else "")


def _trimmed(own: Sequence[int], common: Sequence[int]) -> str:
    changed = [i for i, (before, after) in enumerate(zip(own, common, strict=True)) if before != after]
    if len(own) == 1:
        return f"1 frame is cut off the end ({own[0]} → {common[0]})"
    return f"1 frame is cut off the end of {len(changed)} of {len(own)} trials"
