"""Noise ceilings per neuron from repeated clips of a recording or of plain arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon.data.arrays import read_array
from recon.data.complete_repeats import FEWEST, joined_complete, named, sharing, sizes_of, span_of
from recon.data.duplicates.find import Progress
from recon.data.findings import repeat_sets
from recon.data.layout import Array
from recon.data.noise_ceiling import (
    alternating_halves,
    correlation_ceiling,
    explainable_variance,
    oracle_correlation,
    signal_power,
    spearman_brown,
    split_half,
)
from recon.data.sensorium import SensoriumRecording
from recon.data.survey import survey
from recon.errors import InputError

MEASURES = {
    "oracle": "correlation of every repeat with the mean of the others",
    "split_half": "correlation of the means of two random halves, averaged over draws",
    "split_half_corrected": "split_half extrapolated to all repeats (Spearman–Brown)",
    "alternating": "correlation of the means of even and odd repeats",
    "explainable_variance": "repeatable fraction of single-trial variance",
    "cc_max": "best correlation with the mean of the repeats (Schoppe et al. 2016)",
    "signal_power": "repeatable variance, in squared units of the responses",
}
TITLES = {
    "split_half": "halves",
    "split_half_corrected": "corrected",
    "explainable_variance": "explainable",
    "cc_max": "CCmax",
}
COLUMNS = ("unit_id", "area", "repeats", "frames", *MEASURES)
NEURONS = 512
"""Neurons per batch."""


@dataclass(frozen=True)
class Repeats:
    """Responses to repeated clips `[R,N,T]`, concatenated over clips, with unit ids and areas ("" if unknown).

    Each unit has its complete repeats, without NaN; what it has fewer than R repeats or T frames is NaN at the end.
    """

    responses: Tensor
    unit_ids: tuple[int | str, ...]
    areas: tuple[str, ...]

    @property
    def sizes(self) -> Tensor:
        """Complete repeats and frames of every unit, `[N,2]`."""
        return sizes_of(self.responses)


def recording_repeats(recording: SensoriumRecording, *, areas: str | None = None, progress: Progress = iter) -> Repeats:
    """Return the repeated clips of a recording; damaged trials and withheld responses are skipped.

    Repeats are trials of one tier whose videos agree frame by frame, exactly or nearly. Raises InputError if there are
    none.
    """
    sets = repeat_sets(recording, survey(recording, progress=progress))
    if not sets:
        raise InputError(
            f"{recording.path}: expected a video that was shown twice or more, with responses, got none; "
            "a noise ceiling needs repeats"
        )
    clips = [torch.stack([recording.trial(i).responses for i in trials]) for trials in sets]
    masked = set(recording.masked.masked.tolist())
    names = tuple(name for row, name in enumerate(recording.units.names) if row not in masked)
    ids = names or recording.unit_ids
    return _complete(Repeats(joined_complete(clips), ids, _areas(areas, len(ids))), str(recording.path))


def array_repeats(responses: Sequence[str], *, areas: str | None = None, unit_ids: str | None = None) -> Repeats:
    """Return repeats from one or more arrays (units, repeats, bins) of the same units, each FILE or FILE:NAME.

    NaN marks what was not shown: a unit's repeat counts if it is complete, in each array by itself.
    """
    arrays = [read_responses(one) for one in responses]
    counts = sorted({len(array) for array in arrays})
    if len(counts) > 1:
        raise InputError(f"responses: expected arrays of the same units, got {counts} units; name them one at a time")
    clips = [torch.from_numpy(array.astype(np.float32)).transpose(0, 1) for array in arrays]
    ids = range(counts[0]) if unit_ids is None else np.ravel(read_array(unit_ids)).tolist()
    if len(ids) != counts[0]:
        raise InputError(f"unit_ids: expected {counts[0]} ids, one per unit, got {len(ids)}; name another array")
    return _complete(Repeats(joined_complete(clips), tuple(ids), _areas(areas, counts[0])), "responses")


def read_responses(source: str) -> Array:
    """Return an array (units, repeats, bins) from FILE or FILE:NAME; NaN marks what was not shown."""
    array = read_array(source)
    if array.ndim != 3 or array.dtype.kind not in "iuf":
        raise InputError(
            f"{source}: expected (units, repeats, segments or bins) of numbers, got {array.shape} of {array.dtype}; "
            "transpose it or name another array"
        )
    infinite = np.flatnonzero(np.isinf(array).any((1, 2)))
    if len(infinite):
        raise InputError(
            f"{source}: expected finite responses, or NaN where nothing was shown, got infinity for the units "
            f"{named(infinite.tolist())} (counted from 0); repair or leave them out"
        )
    return array


def read_areas(source: str) -> tuple[str, ...]:
    """Return the area of every unit as text from FILE or FILE:NAME; MATLAB cell arrays are accepted."""
    return tuple(str(np.squeeze(area)) for area in np.ravel(read_array(source)))


def ceilings(repeats: Repeats, *, generator: torch.Generator, halves: int = 100) -> dict[str, Tensor]:
    """Return the noise ceilings `[N]` by name (`MEASURES`), each of a unit's complete repeats.

    NaN where undefined: silent units, no signal power, fewer than two complete repeats.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    found = {name: torch.full((len(repeats.unit_ids),), torch.nan, dtype=torch.float64) for name in MEASURES}
    for alike, size in sharing(repeats.sizes):
        count, frames = size.tolist()
        for units in torch.split(alike, NEURONS) if count >= FEWEST else ():
            part = repeats.responses[:count, units, :frames]
            for name, values in _measured(part, torch.Generator().manual_seed(seed), halves=halves).items():
                found[name][units] = values.to(found[name])
    return found


def rows(repeats: Repeats, found: Mapping[str, Tensor]) -> Iterator[dict[str, Any]]:
    """Yield one row per neuron: unit id, area, number of repeats, number of frames, and every ceiling."""
    values = {name: value.tolist() for name, value in found.items()}
    sizes = repeats.sizes.tolist()
    for i, (unit, area) in enumerate(zip(repeats.unit_ids, repeats.areas, strict=True)):
        count, frames = sizes[i]
        about = {"unit_id": unit, "area": area, "repeats": count, "frames": frames}
        yield about | {name: value[i] for name, value in values.items()}


def screen(repeats: Repeats, found: Mapping[str, Tensor]) -> str:
    """Return a one-screen table: median and quartiles of each ceiling over units, by area."""
    used = repeats.sizes[:, 0] >= FEWEST
    counts, frames = repeats.sizes[used].T
    shown = [name for name in MEASURES if name != "signal_power"]
    titles = [TITLES.get(name, name) for name in shown]
    names = sorted(set(repeats.areas)) if any(repeats.areas) else []
    table = [["area", "units", *titles]]
    for area in (*names, "all"):
        chosen = torch.tensor([area in ("all", own) for own in repeats.areas]) & used
        cells = [_quartiles(found[name][chosen]) for name in shown]
        table.append([area or "(none)", str(int(chosen.sum())), *cells])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    complete = "complete repeats" if bool(repeats.responses.isnan().any()) else "repeats"
    lines = [f"{len(counts)} units, {span_of(counts)} {complete} of {span_of(frames)} frames: median (quartiles)"]
    lines += ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
    undefined = {title: int(found[name][used].isnan().sum()) for title, name in zip(titles, shown, strict=True)}
    missing = ", ".join(f"{number} of {title}" for title, number in undefined.items() if number)
    if missing:
        lines.append(f"undefined and left out: {missing} (silent units, no signal power)")
    without = [unit for unit, own in zip(repeats.unit_ids, used.tolist(), strict=True) if not own]
    if without:
        lines.append(f"fewer than {FEWEST} complete repeats, left out: {len(without)} units ({named(without)})")
    return "\n".join(lines)


def _complete(repeats: Repeats, source: str) -> Repeats:
    if not bool((repeats.sizes[:, 0] >= FEWEST).any()):
        raise InputError(
            f"{source}: expected units with {FEWEST} or more complete repeats (without NaN), got none of "
            f"{len(repeats.unit_ids)}; fill the gaps, or cut the bins that were not shown"
        )
    return repeats


def _measured(responses: Tensor, generator: torch.Generator, *, halves: int) -> dict[str, Tensor]:
    half = split_half(responses, generator=generator, halves=halves)
    return {
        "oracle": oracle_correlation([responses]),
        "split_half": half,
        "split_half_corrected": spearman_brown(half),
        "alternating": alternating_halves(responses),
        "explainable_variance": explainable_variance(responses),
        "cc_max": correlation_ceiling(responses),
        "signal_power": signal_power(responses),
    }


def _areas(source: str | None, count: int) -> tuple[str, ...]:
    areas = ("",) * count if source is None else read_areas(source)
    if len(areas) != count:
        raise InputError(f"areas: expected {count} areas, one per unit, got {len(areas)}; name another array")
    return areas


def _quartiles(values: Tensor) -> str:
    defined = values[~values.isnan()]
    if not len(defined):
        return "undefined"
    low, middle, high = torch.quantile(defined, torch.tensor([0.25, 0.5, 0.75], dtype=defined.dtype)).tolist()
    return f"{middle:.2f} ({low:.2f} {high:.2f})"
