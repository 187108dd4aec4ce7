"""Inputs of a language study: configuration, captions, responses, and embeddings over time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recon.analysis.language.clips import HeldOutClips, held_out, responses_in_bins
from recon.analysis.language.features import Components, binned, embeddings, spoken
from recon.analysis.language.prediction import RegressionData
from recon.analysis.language.ridge import PENALTIES
from recon.analysis.language.rows import StudyNeurons
from recon.analysis.language.words import concepts_of
from recon.data.caption_tables import Said
from recon.data.noise_ceiling import correlation_ceiling, joined_repeats
from recon.data.open import open_recording
from recon.data.sensorium import SensoriumRecording
from recon.errors import InputError
from recon.errors.ranges import Count, Folds, Positive, Seed, Some
from recon.methods.text.captioner_source import captions_by
from recon.study.settings import Named


@dataclass(frozen=True)
class LanguageStudy:
    """Configuration: captions of a recording, by captioner, as predictors of single-neuron responses.

    `captions` is a table (`recon.data.caption_tables`) or "graded": five captioners of known quality for a simulated
    recording. Texts are embedded by the encoder `text`. Responses and embeddings are averaged over `bin` frames; a
    response may depend on the captions of its bin and of the `delays` − 1 bins before. Embeddings and low-level
    features are reduced to `components` principal components. Ridge is fitted to trials of the tier `learnt`, with
    `penalties` chosen by cross-validation over `folds` of different content, and tested on the clips of the tiers
    `asked`, averaged over repeats. `words`: captioner for the analysis of words ("": the best one). `concepts`: groups
    of words by name, analysed likewise. `labels`: .npy file of the recording with one label per neuron (layers, cell
    types); without it neurons are grouped by cortical area. `pictures`: a benchmark with a row named after each
    captioner, whose scores are correlated with encoding.
    """

    run: Path
    recording: Path
    captions: str
    simulate: Named | None = None
    text: str = "minilm"
    bin: Count = 8
    delays: Count = 4
    components: Count = 128
    learnt: str = "train"
    asked: tuple[str, ...] = ("oracle", "live_test_main")
    penalties: Annotated[tuple[Positive, ...], Some] = PENALTIES
    folds: Folds = 5
    permutations: Count = 1000
    words: str = ""
    concepts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    labels: str = ""
    pictures: str = ""
    seed: Seed = 0
    artefacts: Path = Path("runs/artefacts")

    def __post_init__(self) -> None:
        if min(self.bin, self.delays, self.permutations, self.components) < 1:
            raise InputError(
                f"language: expected bin, delays, components and permutations of at least 1, got {self.bin}, "
                f"{self.delays}, {self.components} and {self.permutations}; correct them"
            )


@dataclass(frozen=True)
class Material:
    """Data of a study: captions by captioner and trial, training responses, held-out clips and neurons."""

    recording: SensoriumRecording
    said: dict[str, dict[int, list[Said]]]
    learning: RegressionData
    clips: HeldOutClips
    population: StudyNeurons

    @property
    def trials(self) -> tuple[int, ...]:
        """Trials whose stimuli are used: the training trials, and one trial per held-out clip."""
        return (*self.learning.trials, *self.clips.trials)

    def content(self, one: Said) -> str:
        """Return the content that a caption describes: the source of its scene if known, else the trial's content."""
        scenes = (scene for scene in self.recording.scenes(one.trial) if scene["first"] <= one.first < scene["end"])
        source = next((scene.get("source") for scene in scenes), None)
        return str(source or self.recording.video_ids[one.trial])


def gather(chosen: LanguageStudy) -> Material:
    """Read the data of a study: the recording, captions by captioner and trial, and binned responses."""
    recording = open_recording(chosen.recording)
    captions = captions_by(recording, chosen.captions)
    if chosen.words and chosen.words not in captions:
        raise InputError(f"words: expected one of {', '.join(captions)}, got {chosen.words}; name a captioner")
    _check_concepts(chosen.concepts, {one.text for said in captions.values() for one in said})
    clips = held_out(recording, learnt=chosen.learnt, asked=chosen.asked, size=chosen.bin)
    trials = recording.trials(chosen.learnt)
    responses = [responses_in_bins(recording, trial, chosen.bin) for trial in trials]
    number = {content: place for place, content in enumerate(dict.fromkeys(recording.video_ids))}
    contents = [number[recording.video_ids[t]] for t, part in zip(trials, responses, strict=True) for _ in part]
    learning = RegressionData(
        trials, torch.cat(responses), tuple(contents), chosen.delays, penalties=chosen.penalties, folds=chosen.folds
    )
    population = StudyNeurons(
        recording.unit_ids, _labels(recording, chosen.labels), _ceiling(clips, len(recording.unit_ids))
    )
    return Material(recording, {name: _by_trial(said) for name, said in captions.items()}, learning, clips, population)


def _check_concepts(concepts: Mapping[str, Sequence[str]], texts: Collection[str]) -> None:
    mentioned = concepts_of(concepts)
    absent = set(concepts).difference(*map(mentioned, texts)) if concepts else ()
    if absent:
        raise InputError(f"concepts: expected words of captions, got none of {', '.join(sorted(absent))}; correct them")


def _labels(recording: SensoriumRecording, file: str) -> tuple[str, ...]:
    if not file:
        return tuple(recording.areas or ("",) * len(recording.unit_ids))
    path = recording.path / file
    try:
        labels = [str(label) for label in np.load(path, allow_pickle=False).tolist()]
    except (OSError, ValueError) as error:
        raise InputError(f"labels: expected an .npy file of labels at {path}, got {error}; correct the path") from error
    if len(labels) != len(recording.unit_ids):
        raise InputError(f"labels: expected one for each of {len(recording.unit_ids)} neurons, got {len(labels)}")
    return tuple(labels)


def _ceiling(clips: HeldOutClips, neurons: int) -> Tensor:
    repeated = [repeats for repeats in clips.responses if len(repeats) > 1]
    if not repeated:
        return torch.full((neurons,), torch.nan, dtype=torch.float64)
    return correlation_ceiling(joined_repeats(repeated))


def _by_trial(said: Sequence[Said]) -> dict[int, list[Said]]:
    found: dict[int, list[Said]] = {}
    for one in said:
        found.setdefault(one.trial, []).append(one)
    return found


class Spoken(NamedTuple):
    """Principal components of a captioner's embeddings: per trial in bins `[B,P]`, and per text `[P]`."""

    series: dict[int, Tensor]
    texts: dict[str, Tensor]


def text_series(chosen: LanguageStudy, material: Material, captioner: str) -> Spoken:
    """Return principal components of the embedded captions of a captioner, per trial and per text."""
    said = material.said[captioner]
    known = embeddings([one.text for some in said.values() for one in some], chosen.text, chosen.artefacts)
    over_time = {
        trial: binned(spoken(said.get(trial, ()), known, frames=material.recording.length(trial)), chosen.bin)
        for trial in material.trials
    }
    learnt = torch.cat([over_time[trial] for trial in material.learning.trials])
    components = Components.of(learnt, chosen.components, alike=False)
    series = {trial: components(one) for trial, one in over_time.items()}
    return Spoken(series, {text: components(one) for text, one in known.items()})
