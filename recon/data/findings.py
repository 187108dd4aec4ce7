"""Findings about a recording: what is damaged, suspicious or worth knowing, one sentence each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from recon.data.behavior_findings import behavior_findings
from recon.data.duplicates.find import leaks, same_content
from recon.data.duplicates.groups import trial_groups
from recon.data.id_findings import id_findings
from recon.data.layout import ABSENT, TIERS, TRAIN, VARIABLES, Array
from recon.data.missing_findings import missing_findings
from recon.data.sensorium import SensoriumRecording
from recon.data.survey import Survey
from recon.data.video_findings import mixed_scales, shared_ids
from recon.errors import InputError

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One finding about a recording: "error" (unusable), "warning" (usable, needs attention) or "note"."""

    level: Level
    text: str


PARTS: tuple[Callable[[SensoriumRecording, Survey], Sequence[tuple[Level, str]]], ...] = (
    id_findings,
    missing_findings,
    behavior_findings,
    shared_ids,
    mixed_scales,
)
"""Findings of one kind each."""


def findings(recording: SensoriumRecording, found: Survey) -> list[Finding]:
    """Return the findings of a survey, damaged files first."""
    return [
        *(Finding("error", text) for text in found.errors.values()),
        *_tier_findings(recording),
        *_split_findings(recording, found),
        *_response_findings(recording, found),
        *(Finding(level, text) for one in PARTS for level, text in one(recording, found)),
        *_content_findings(recording, found),
        *_file_findings(recording),
    ]


def neuron_moments(found: Survey) -> tuple[Array, Array]:
    """Return the mean and standard deviation of every neuron, each `(N,)`, over all trials with responses."""
    with_responses = [one for one in found.facts.values() if one.responses]
    frames = sum(one.frames for one in with_responses)
    mean: Array = np.sum([one.total for one in with_responses], axis=0) / frames
    square = np.sum([one.square for one in with_responses], axis=0) / frames
    return mean, np.sqrt(np.clip(square - mean**2, 0, None))


def repeat_sets(recording: SensoriumRecording, found: Survey) -> list[tuple[int, ...]]:
    """Return the sets of repeats: trials of one tier with responses, equal length and the same content at shift 0."""
    sets: dict[tuple[str, int, int], list[list[int]]] = {}
    for i, group in found.groups.items():
        if found.facts[i].responses:
            alike = sets.setdefault((recording.tiers[i], group, found.facts[i].frames), [])
            # A group also contains excerpts, which can have equal length but another first frame.
            own = next((one for one in alike if _same(found, one[0], i)), None)
            alike.append([i]) if own is None else own.append(i)
    return [tuple(trials) for alike in sets.values() for trials in alike if len(trials) > 1]


def _same(found: Survey, first: int, second: int) -> bool:
    return same_content(found.facts[first].signature, found.facts[second].signature)


def some_of(trials: Sequence[int]) -> str:
    """Return the number of trials and the first eight of them.

    >>> some_of([3, 4])
    '2 (3, 4)'
    """
    shown = ", ".join(map(str, trials[:8]))
    return f"{len(trials)} ({shown}{', …' if len(trials) > 8 else ''})" if trials else "none"


def has_statistics(recording: SensoriumRecording, variable: str) -> bool:
    """Return whether the recording has the training statistics of a variable."""
    return (recording.path / "meta/statistics" / variable / "all/std.npy").exists()


def _tier_findings(recording: SensoriumRecording) -> list[Finding]:
    unknown = sorted(set(recording.tiers) - set(TIERS))
    out = [Finding("warning", f"tier {tier!r} is not one of {', '.join(TIERS)}") for tier in unknown]
    if TRAIN not in recording.tiers:
        out.append(Finding("warning", "no trial has tier 'train': encoders and decoders cannot be fitted"))
    listed = {str(i) for i, tier in enumerate(recording.tiers) if tier != ABSENT}
    stray = sorted(file.name for file in (recording.path / "data/videos").glob("[0-9]*.npy") if file.stem not in listed)
    if stray:
        out.append(Finding("warning", f"{len(stray)} videos belong to no trial of tiers.npy (first: {stray[0]})"))
    return out


def _split_findings(recording: SensoriumRecording, found: Survey) -> list[Finding]:
    trials = list(found.groups)
    try:
        written = trial_groups(recording)
    except InputError as error:
        return [Finding("warning", str(error))]
    groups = [written[i] for i in trials] if written else list(found.groups.values())
    leaked = leaks([recording.tiers[i] for i in trials], groups, trials)
    if not leaked:
        return []
    pairs = ", ".join(f"{leak.trial} in {leak.tier} {leak.other}" for leak in leaked[:5])
    text = f"{len(leaked)} training videos also occur, exactly or nearly, in another tier ({pairs}): split by content"
    return [Finding("warning", text)]


def _response_findings(recording: SensoriumRecording, found: Survey) -> list[Finding]:
    withheld = [i for i, one in found.facts.items() if not one.responses]
    out = [Finding("note", f"responses are withheld in trials {some_of(withheld)}")] if withheld else []
    training = [i for i in withheld if recording.tiers[i] == TRAIN]
    if training:
        out.append(Finding("warning", f"training trials without responses: {some_of(training)}"))
    if len(withheld) == len(found.facts):
        return [*out, Finding("error", "no trial has responses")]
    constant = int((neuron_moments(found)[1] == 0).sum())
    if constant:
        out.append(Finding("warning", f"{constant} neurons are constant: their correlations are undefined"))
    negative = sum(one.negative for one in found.facts.values())
    if negative:
        out.append(Finding("note", f"{negative} responses are clearly negative: a Poisson fidelity needs them clipped"))
    return out


def _content_findings(recording: SensoriumRecording, found: Survey) -> list[Finding]:
    out = []
    high = max((one.high for one in found.facts.values()), default=0.0)
    low = min((one.low for one in found.facts.values()), default=0.0)
    if found.facts and (high <= 1 or high > 255 or low < 0):
        out.append(Finding("error", f"videos: expected grey levels 0–255, got {low:g} to {high:g}; rescale them"))
    missing = [v for v in VARIABLES if not has_statistics(recording, v)]
    if "responses" in missing:
        out.append(Finding("note", f"no statistics for {', '.join(missing)}"))
    return out


def _file_findings(recording: SensoriumRecording) -> list[Finding]:
    """Return the damage of files that are read only when something asks for them."""
    used = {variable: "std" for variable in VARIABLES if has_statistics(recording, variable)}
    readings: list[Callable[[], object]] = [
        lambda: recording.areas,
        lambda: recording.stimuli,
        lambda: recording.captions(0),
        *(partial(recording.statistic, variable, name, frames=1) for variable, name in used.items()),
    ]
    return [Finding("error", text) for text in map(_complaint, readings) if text]


def _complaint(reading: Callable[[], object]) -> str:
    try:
        reading()
    except InputError as error:
        return str(error)
    return ""
