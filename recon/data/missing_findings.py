"""Findings of a check about missing responses: masked neurons, silent trials, withheld tiers."""

from __future__ import annotations

from typing import Literal

from recon.data.missing import NAMED
from recon.data.sensorium import SensoriumRecording
from recon.data.survey import Survey

Level = Literal["error", "warning", "note"]
FEW = 0.1
"""A trial is named as one to leave out if its neurons with NaN have NaN in at most this share of the trials."""


def missing_findings(recording: SensoriumRecording, found: Survey) -> list[tuple[Level, str]]:
    """Return level and text of every finding about neurons with NaN, trials of zeros, and withheld tiers."""
    return [*_masked(recording), *_withheld(recording), *_silent(recording, found)]


def _masked(recording: SensoriumRecording) -> list[tuple[Level, str]]:
    masked = recording.masked
    if not masked.rows:
        return []
    count = len(masked.masked)
    noun = "1 neuron is" if count == 1 else f"{count} neurons are"
    text = f"{noun} masked, left out of every trial: {masked.named(recording.all_unit_ids)}"
    most = FEW * masked.trials
    rare = sorted(trial for trial, rows in masked.rows.items() if max(map(masked.trials_of, rows)) <= most)
    remedy = f"; to keep those missing in few trials, leave out trials {_some(rare)} (tier 'none')" if rare else ""
    return [("warning", text + remedy)]


def _withheld(recording: SensoriumRecording) -> list[tuple[Level, str]]:
    tiers = ", ".join(recording.withheld_tiers)
    if not tiers:
        return []
    text = f"every response of {tiers} is zero: taken as withheld by the publisher, as this recording was not made here"
    return [("note", f'{text}; if they are counts, write {{"zeros": "counts"}} to meta/recording.json')]


def _silent(recording: SensoriumRecording, found: Survey) -> list[tuple[Level, str]]:
    quiet = [i for i, one in found.facts.items() if one.responses and not one.square.any()]
    return [("note", f"no neuron responds in trials {_some(quiet)}: zeros are counts there")] if quiet else []


def _some(trials: list[int]) -> str:
    return f"{len(trials)} ({', '.join(map(str, trials[:NAMED]))}{', …' if len(trials) > NAMED else ''})"
