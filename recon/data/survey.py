"""One walk over all files of a recording: facts per trial, and a sentence for every file that is wrong."""

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
    """What a readable trial holds: valid frames, padding, range of the video, per neuron sums of the responses."""

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
    """Facts by trial, errors by trial, and the group of equal content of each readable trial."""

    facts: Mapping[int, TrialFacts]
    errors: Mapping[int, str]
    groups: Mapping[int, int]


def survey(recording: SensoriumRecording, *, progress: Progress = iter) -> Survey:
    """Read every trial once and never stop at a bad one."""
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
    """Return the facts of one trial; a damaged file is an InputError."""
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
        bool(responses.any()),
        responses.sum(1),
        (responses**2).sum(1),
        int((responses < -1e-3 * np.abs(responses).max()).sum()),
        signature(np.moveaxis(video, -1, 0)),
    )
