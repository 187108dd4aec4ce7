"""Summary and check of a recording: its contents and its problems, one screen each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import torch

from recon.data.duplicates.find import Progress, leaks, same_content
from recon.data.duplicates.groups import trial_groups
from recon.data.layout import ABSENT, TIERS, TRAIN, VARIABLES, Array
from recon.data.noise_ceiling import oracle_correlation
from recon.data.sensorium import SensoriumRecording
from recon.data.survey import Survey, survey
from recon.errors import InputError

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One finding about a recording: "error" (unusable), "warning" (usable, needs attention) or "note"."""

    level: Level
    text: str


Foresight = Callable[[SensoriumRecording, Survey], Sequence[str]]
"""Returns what methods will miss in a recording, by its survey."""


@dataclass(frozen=True)
class Report:
    """Findings of a check, facts as plain values, and what is foreseen; `str(report)` gives one line for each."""

    name: str
    findings: tuple[Finding, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    foreseen: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True if no finding is an error."""
        return all(finding.level != "error" for finding in self.findings)

    def plain(self) -> dict[str, Any]:
        """Return the report as a JSON-serialisable mapping."""
        found = [{"level": finding.level, "text": finding.text} for finding in self.findings]
        facts, foreseen = dict(self.facts), list(self.foreseen)
        return {"recording": self.name, "usable": self.ok, "findings": found, "facts": facts, "foreseen": foreseen}

    def __str__(self) -> str:
        lines = [f"{finding.level:8s}{finding.text}" for finding in self.findings]
        lines += [f"{'note':8s}{text}" for text in self.foreseen]
        return "\n".join([f"{self.name}: {'usable' if self.ok else 'has errors'}", *lines])


def check(recording: SensoriumRecording, *, progress: Progress = iter, also: Sequence[Foresight] = ()) -> Report:
    """Read every file of a recording and report all problems; a damaged file does not stop the check.

    `also`: what the caller foresees that methods will miss.
    """
    found = survey(recording, progress=progress)
    foreseen = tuple(text for one in also for text in one(recording, found))
    return Report(recording.name, tuple(findings(recording, found)), facts(recording, found), foreseen)


def facts(recording: SensoriumRecording, found: Survey) -> dict[str, Any]:
    """Return plain values: neurons, trials by tier, stimulus and length (frames), repeat sets, withheld trials."""
    lengths = Counter(one.frames for one in found.facts.values())
    return {
        "neurons": len(recording.unit_ids),
        "trials": dict(Counter(recording.tiers)),
        "stimuli": dict(_kinds(recording)),
        "lengths": {str(frames): lengths[frames] for frames in sorted(lengths)},
        "repeats": [list(trials) for trials in repeat_sets(recording, found)],
        "withheld": [i for i, one in found.facts.items() if not one.responses],
    }


def findings(recording: SensoriumRecording, found: Survey) -> list[Finding]:
    """Return the findings of a survey, damaged files first."""
    return [
        *(Finding("error", text) for text in found.errors.values()),
        *_tier_findings(recording),
        *_split_findings(recording, found),
        *_response_findings(recording, found),
        *_content_findings(recording, found),
        *_file_findings(recording),
    ]


def info(recording: SensoriumRecording, *, progress: Progress = iter) -> str:
    """Return a one-screen summary: neurons, frames, tiers, repeats, statistics, oracle correlation and findings."""
    found = survey(recording, progress=progress)
    rows = [
        ("recording", f"{recording.name}  ({recording.fingerprint()})"),
        ("neurons", f"{len(recording.unit_ids)}{_planes(recording)}"),
        ("frames", _frames(recording)),
        ("trials", _counts(recording.tiers)),
        ("stimuli", ", ".join(f"{count} {kind}" for kind, count in _kinds(recording).items()) or "unknown"),
        ("lengths", _lengths(found)),
        ("repeats", _repeats(found)),
        ("withheld", _some([i for i, one in found.facts.items() if not one.responses])),
        ("padded ends", _some([i for i, one in found.facts.items() if one.padded])),
        ("no behavior", _some([i for i, one in found.facts.items() if not one.behavior])),
        ("statistics", ", ".join(v for v in VARIABLES if _has_statistics(recording, v)) or "none"),
        ("responses", _response_summary(found)),
        ("oracle r", _oracle(recording, found)),
    ]
    lines = [f"{label:12s}{text}" for label, text in rows]
    problems = [f"{one.level}: {one.text}" for one in findings(recording, found)]
    more = [f"… and {len(problems) - 10} more: see `recon data check`"] if len(problems) > 10 else []
    return "\n".join([*lines, "", *(problems[:10] or ["no problems found"]), *more])


def neuron_moments(found: Survey) -> tuple[Array, Array]:
    """Return the mean and standard deviation of every neuron, each `(N,)`, over all trials with responses."""
    with_responses = [one for one in found.facts.values() if one.responses]
    frames = sum(one.frames for one in with_responses)
    mean: Array = np.sum([one.total for one in with_responses], axis=0) / frames
    square = np.sum([one.square for one in with_responses], axis=0) / frames
    return mean, np.sqrt(np.clip(square - mean**2, 0, None))


def _kinds(recording: SensoriumRecording) -> Counter[str]:
    return Counter(kind for kind in recording.stimuli if kind)


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
    out = [Finding("note", f"responses are withheld in trials {_some(withheld)}")] if withheld else []
    training = [i for i in withheld if recording.tiers[i] == TRAIN]
    if training:
        out.append(Finding("warning", f"training trials without responses: {_some(training)}"))
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
    partial = [i for i, one in found.facts.items() if not one.behavior]
    if 0 < len(partial) < len(found.facts):
        out.append(Finding("warning", f"behavior or pupil_center is missing in some trials: {_some(partial)}"))
    missing = [v for v in VARIABLES if not _has_statistics(recording, v)]
    if "responses" in missing:
        out.append(Finding("note", f"no statistics for {', '.join(missing)}"))
    return out


def _file_findings(recording: SensoriumRecording) -> list[Finding]:
    """Return the damage of files that are read only when something asks for them."""
    used = {variable: "std" for variable in VARIABLES if _has_statistics(recording, variable)}
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


def _has_statistics(recording: SensoriumRecording, variable: str) -> bool:
    return (recording.path / "meta/statistics" / variable / "all/std.npy").exists()


def _planes(recording: SensoriumRecording) -> str:
    times = recording.acquisition
    return "" if times is None else f", imaged at {times.rate:g} Hz in {len(times.phase)} planes"


def _frames(recording: SensoriumRecording) -> str:
    height, width = recording.frame_size
    angle = f"{height * recording.degrees_per_pixel:.0f}×{width * recording.degrees_per_pixel:.0f}°"
    return f"{height}×{width} pixels ({angle}) at {recording.frame_rate:g} Hz"


def _counts(tiers: Sequence[str]) -> str:
    return ", ".join(f"{count} {tier}" for tier, count in Counter(tiers).items())


def _lengths(found: Survey) -> str:
    lengths = Counter(one.frames for one in found.facts.values())
    common = ", ".join(f"{count} × {length}" for length, count in lengths.most_common(4))
    total = sum(one.frames for one in found.facts.values())
    return f"{common}{', …' if len(lengths) > 4 else ''} frames; {total} in total"


def _repeats(found: Survey) -> str:
    sizes = [size for size in Counter(found.groups.values()).values() if size > 1]
    shown = f"{len(sizes)} videos shown {min(sizes)}–{max(sizes)} times" if sizes else "none"
    return f"{shown}; {len(set(found.groups.values()))} different videos"


def _some(trials: Sequence[int]) -> str:
    shown = ", ".join(map(str, trials[:8]))
    return f"{len(trials)} ({shown}{', …' if len(trials) > 8 else ''})" if trials else "none"


def _response_summary(found: Survey) -> str:
    if not any(one.responses for one in found.facts.values()):
        return "none"
    mean, deviation = neuron_moments(found)
    return f"mean {mean.mean():.3g}, std {deviation.mean():.3g} per neuron; {int((deviation == 0).sum())} constant"


def _oracle(recording: SensoriumRecording, found: Survey) -> str:
    clips = [torch.stack([recording.trial(i).responses for i in trials]) for trials in repeat_sets(recording, found)]
    if not clips:
        return "unknown: no repeats with responses"
    values = oracle_correlation(clips)
    return f"{values.nanmean():.3f} (leave-one-out over {len(clips)} repeated clips, mean over neurons)"


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
