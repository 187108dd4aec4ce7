"""Identification of captions: which of many captions describes the scene that evoked the responses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from recon import config
from recon.analysis.identification.scores import IDENTIFICATION, SCORED, scores
from recon.data.neuron_sets import neuron_sets
from recon.data.open import open_recording
from recon.data.sensorium import SensoriumRecording
from recon.data.training_facts import TrainingFacts
from recon.encoders.base import resolve_device
from recon.encoders.runtime.precision import products
from recon.errors import InputError
from recon.errors.ranges import Count, Seed, Some, Whole
from recon.files import check_ours, claim, write_table
from recon.methods.requirements import Supply, unmet
from recon.methods.text.decoder import Decoded
from recon.methods.text.examples import embedded
from recon.methods.training_set import TrainingSet
from recon.metrics.identification import cosine_similarity
from recon.priors.text import TextEncoder
from recon.problem.clips import Clips, choose_clips
from recon.study.benchmark import Say
from recon.study.encoders import Arithmetic, ready_encoder
from recon.study.settings import Named, Neurons
from recon.study.shared import make_recording
from recon.study.validation import Problems
from recon.types import Caption

COLUMNS = ("recording", "tier", "approach", "task", "segments", "clips", *SCORED)


@dataclass(frozen=True)
class CaptionIdentification:
    """Configuration: caption decoders by name, tested on every scene of single trials of held-out clips.

    The query is the decoded embedding, averaged over a scene of at least `least` frames. The candidates are the
    embedded captions of all scenes. The mean embedding of the training captions is subtracted from both. `sizes`:
    candidates per set (0: all).
    """

    run: Path
    recording: Path
    captions: Mapping[str, Decoded]
    encoders: Mapping[str, Named] = field(default_factory=dict)
    simulate: Named | None = None
    clips: Clips = field(default_factory=Clips)
    neurons: Neurons = field(default_factory=Neurons)
    sizes: Annotated[tuple[Whole, ...], Some] = (2, 10, 50, 100, 0)
    least: Count = 30
    seed: Seed = 0
    device: str = "auto"
    artefacts: Path = Path("runs/artefacts")


@products("float32")
def identify_captions(tree: Mapping[str, Any], *, say: Say = lambda line: None, progress: bool = False) -> Path:
    """Fit the caption decoders of a configuration, identify the captions of its clips and return identification.csv."""
    chosen = config.record(CaptionIdentification, tree, where="identify")
    check_ours(chosen.run, IDENTIFICATION)
    if chosen.simulate is not None:
        make_recording(chosen.recording, chosen.simulate, progress=progress)
    recording = open_recording(chosen.recording)
    training = _training(chosen, recording, progress=progress)
    _check(chosen.captions, recording, training)
    scenes = list(spoken_scenes(recording, chosen))
    rows: list[dict[str, Any]] = []
    claim(chosen.run, IDENTIFICATION)
    for name, decoder in chosen.captions.items():
        rows += list(_rows(name, decoder.fit(training), scenes, training, chosen))
        write_table(chosen.run / "identification.csv", rows, COLUMNS)
        say(f"captions, {name}: done")
    return chosen.run / "identification.csv"


def _check(decoders: Mapping[str, Decoded], recording: SensoriumRecording, training: TrainingSet) -> None:
    """Raise InputError that lists what the decoders miss, before any is fitted."""
    facts, problems = TrainingFacts(recording).read(), Problems()
    supply = Supply(
        str(recording.path),
        facts.lengths,
        training.frames,
        recording.frame_rate,
        withheld=facts.withheld,
        captions=facts.captioned,
    )
    for name, decoder in decoders.items():
        problems.found += [f"captions.{name}: {text}" for text in unmet(decoder, supply)]
        problems.tried(partial(decoder.check_weights, training), about=f"captions.{name}: ")
    problems.refuse("identify")


def spoken_scenes(recording: SensoriumRecording, chosen: CaptionIdentification) -> Iterator[tuple[int, Caption]]:
    """Yield (trial, caption) of every scene of at least `least` frames; raises InputError for fewer than two scenes."""
    found = 0
    for clip in choose_clips(recording, chosen.clips):
        for caption in recording.spoken(clip.trial.index):
            if caption.end - caption.first >= chosen.least:
                found += 1
                yield clip.trial.index, caption
    if found < 2:
        raise InputError(
            f"captions: expected at least 2 scenes with captions of {chosen.least} frames or more in "
            f"{recording.path}, got {found}; take more clips or lower least"
        )


@torch.no_grad()
def similarities(
    decoder: Decoded, scenes: list[tuple[int, Caption]], training: TrainingSet, encoder: TextEncoder
) -> Tensor:
    """Return cosine similarities `[S,S]` of the decoded embedding of each scene and the first caption of each scene."""
    embeddings: dict[int, Tensor] = {}
    decoded = []
    for index, caption in scenes:
        if index not in embeddings:
            embeddings[index] = decoder(training.responses(training.recording.trial(index))[None])[0]
        decoded.append(embeddings[index][caption.first : caption.end].mean(0))
    first = [caption._replace(texts=caption.texts[:1]) for _, caption in scenes]
    average = decoder.average()
    return cosine_similarity(torch.stack(decoded) - average, embedded(first, encoder) - average)


def _rows(
    name: str, decoder: Decoded, scenes: list[tuple[int, Caption]], training: TrainingSet, chosen: CaptionIdentification
) -> Iterator[dict[str, Any]]:
    table = similarities(decoder, scenes, training, TextEncoder(decoder.encoder))
    about: dict[str, Any] = {"recording": training.recording.name, "tier": chosen.clips.tier}
    about |= {"approach": f"captions: {name}", "task": "decoding", "segments": len(table)}
    about |= {"clips": len({index for index, _ in scenes})}
    for size in dict.fromkeys(size or len(table) for size in chosen.sizes):
        if 2 <= size <= len(table):
            yield about | scores([table], size, together=1)


def _training(chosen: CaptionIdentification, recording: SensoriumRecording, *, progress: bool) -> TrainingSet:
    arithmetic = Arithmetic(resolve_device(chosen.device))
    encoders = (
        ready_encoder(tree, recording, arithmetic, where=f"encoders.{name}") for name, tree in chosen.encoders.items()
    )
    shares = chosen.neurons
    sets = neuron_sets(recording.unit_ids, selection=shares.selection, report=shares.report, seed=shares.seed)
    return TrainingSet(
        recording,
        sets["fit"],
        chosen.artefacts,
        0,
        encoders=tuple(encoders),
        seed=chosen.seed,
        device=arithmetic.device,
        progress=progress,
    )
