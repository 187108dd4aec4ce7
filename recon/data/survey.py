"""Survey of a recording: one pass over all files, with facts or an error for every trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recon.data.duplicates.find import Progress, Signature, duplicate_groups, signature
from recon.data.layout import ABSENT, Array, data_file, load_array
from recon.data.sensorium import SensoriumRecording
from recon.errors import InputError


@dataclass(frozen=True)
class TrialFacts:
    """Facts of a readable trial: valid and padded frames, video range, response sums `(N,)`, video signature."""

    frames: int
    padded: int
    low: float
    high: float
    behavior: bool
    responses: bool
    total: Array
    square: Array
    negative: int
    signature: Signature


@dataclass(frozen=True)
class Survey:
    """Facts, errors and content groups by trial index; only readable trials have facts and a group."""

    facts: Mapping[int, TrialFacts]
    errors: Mapping[int, str]
    groups: Mapping[int, int]


def survey(recording: SensoriumRecording, *, progress: Progress = iter) -> Survey:
    """Read every trial once; errors are collected, not raised."""
    facts: dict[int, TrialFacts] = {}
    errors: dict[int, str] = {}
    for index in progress([i for i, tier in enumerate(recording.tiers) if tier != ABSENT]):
        try:
            facts[index] = trial_facts(recording, index)
        except InputError as error:
            errors[index] = str(error)
    labels = duplicate_groups([one.signature for one in facts.values()])
    return Survey(facts, errors, dict(zip(facts, labels, strict=True)))


def trial_facts(recording: SensoriumRecording, index: int) -> TrialFacts:
    """Return the facts of one trial; raises InputError for a damaged file."""
    arrays = recording.arrays(index)
    video = arrays["videos"]
    responses = np.asarray(arrays.get("responses", np.zeros((len(recording.unit_ids), 1))), dtype=np.float64)
    stored = load_array(data_file(recording.path, "videos", index), mapped=True).shape[-1]
    return TrialFacts(
        video.shape[-1],
        stored - video.shape[-1],
        float(video.min()),
        float(video.max()),
        "behavior" in arrays and "pupil_center" in arrays,
        "responses" in arrays and recording.has_responses(index),
        responses.sum(1),
        (responses**2).sum(1),
        int((responses < -1e-3 * np.abs(responses).max()).sum()),
        signature(np.moveaxis(video, -1, 0)),
    )
