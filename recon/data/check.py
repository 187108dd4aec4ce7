"""Summary and check of a recording: its contents and its problems, one screen each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from recon.data.decisions import WIDTH, decisions, shown
from recon.data.duplicates.find import Progress
from recon.data.findings import Finding, findings, has_statistics, neuron_moments, repeat_sets, some_of
from recon.data.layout import VARIABLES
from recon.data.noise_ceiling import oracle_correlation
from recon.data.sensorium import SensoriumRecording
from recon.data.survey import Survey, survey

Foresight = Callable[[SensoriumRecording, Survey], Sequence[str]]
"""Returns what methods will miss in a recording, by its survey."""


@dataclass(frozen=True)
class Inspected:
    """What an inspection of a recording adds to its check: findings, facts, and decisions by topic."""

    findings: tuple[Finding, ...]
    facts: Mapping[str, Any]
    decided: Mapping[str, str]


Inspection = Callable[[SensoriumRecording, Survey], Inspected]


@dataclass(frozen=True)
class Report:
    """Findings of a check, facts as plain values, what is foreseen, and what was decided by topic.

    `str(report)` gives one line for each decision, finding and shortcoming.
    """

    name: str
    findings: tuple[Finding, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    foreseen: tuple[str, ...] = ()
    decided: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """True if no finding is an error."""
        return all(finding.level != "error" for finding in self.findings)

    def plain(self) -> dict[str, Any]:
        """Return the report as a JSON-serialisable mapping."""
        found = [{"level": finding.level, "text": finding.text} for finding in self.findings]
        facts, foreseen = dict(self.facts), list(self.foreseen)
        about = {"recording": self.name, "usable": self.ok, "decided": dict(self.decided)}
        return {**about, "findings": found, "facts": facts, "foreseen": foreseen}

    def __str__(self) -> str:
        lines = shown(self.decided)
        lines += [f"{finding.level:{WIDTH}s}{finding.text}" for finding in self.findings]
        lines += [f"{'note':{WIDTH}s}{text}" for text in self.foreseen]
        return "\n".join([f"{self.name}: {'usable' if self.ok else 'has errors'}", *lines])


def check(
    recording: SensoriumRecording,
    *,
    progress: Progress = iter,
    also: Sequence[Foresight] = (),
    inspections: Sequence[Inspection] = (),
) -> Report:
    """Read every file of a recording and report all problems; a damaged file does not stop the check.

    `also`: what the caller foresees that methods will miss. `inspections` add findings, facts and decisions.
    """
    found = survey(recording, progress=progress)
    foreseen = tuple(text for one in also for text in one(recording, found))
    added = [one(recording, found) for one in inspections]
    decided = decisions(recording, found)
    for topic, text in ((topic, text) for one in added for topic, text in one.decided.items()):
        decided[topic] = f"{decided[topic]}; {text}" if topic in decided else text
    problems = (*findings(recording, found), *(problem for one in added for problem in one.findings))
    known = facts(recording, found) | {name: value for one in added for name, value in one.facts.items()}
    return Report(recording.name, problems, known, foreseen, decided)


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
        ("withheld", some_of([i for i, one in found.facts.items() if not one.responses])),
        ("padded ends", some_of([i for i, one in found.facts.items() if one.padded])),
        ("no behavior", some_of([i for i, one in found.facts.items() if not one.behavior])),
        ("statistics", ", ".join(v for v in VARIABLES if has_statistics(recording, v)) or "none"),
        ("responses", _response_summary(found)),
        ("oracle r", _oracle(recording, found)),
    ]
    lines = [f"{label:12s}{text}" for label, text in rows]
    problems = [f"{one.level}: {one.text}" for one in findings(recording, found)]
    more = [f"… and {len(problems) - 10} more: see `recon data check`"] if len(problems) > 10 else []
    return "\n".join([*lines, "", *(problems[:10] or ["no problems found"]), *more])


def _kinds(recording: SensoriumRecording) -> Counter[str]:
    return Counter(kind for kind in recording.stimuli if kind)


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
