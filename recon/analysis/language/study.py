"""`recon language CONFIG`: encoding of held-out clips from captions, per captioner and neuron."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recon import config
from recon.analysis.language import outputs
from recon.analysis.language.features import principal
from recon.analysis.language.inputs import LanguageStudy, Material, Spoken, gather, text_series
from recon.analysis.language.low_level import LOW_LEVEL, low_level_series
from recon.analysis.language.prediction import Predicted, predict, predict_jointly
from recon.analysis.language.retrieval import Read, read_words
from recon.analysis.language.variance_partition import Partition, partition
from recon.analysis.language.words import (
    Mentioned,
    Preferences,
    concepts_of,
    preferences,
    presence,
    vocabulary,
    words_of,
)
from recon.errors import InputError
from recon.files import check_ours, claim, write_json
from recon.study.benchmark import Say
from recon.study.shared import make_recording

STUDY = "language study"
"""Kind of a study's folder."""
WORD_PERMUTATIONS = 200
"""Maximum number of permutations for words; each refits all neurons."""


def study_language(tree: Mapping[str, Any], *, say: Say = lambda line: None, progress: bool = False) -> Path:
    """Run the study of a configuration; return captioners.csv, one of the tables in the run's folder."""
    chosen = config.record(LanguageStudy, tree, where="language")
    check_ours(chosen.run, STUDY)
    if chosen.simulate is not None:
        make_recording(chosen.recording, chosen.simulate, progress=progress)
    material = gather(chosen)
    claim(chosen.run, STUDY)
    low_level = low_level_series(material.recording, material.trials, chosen.bin, chosen.artefacts, progress=progress)
    spoken = {name: text_series(chosen, material, name) for name in material.said}
    series = {name: one.series for name, one in spoken.items()}
    series[LOW_LEVEL] = principal(low_level, material.learning.trials, chosen.components, alike=True)
    found: dict[str, Predicted] = {}
    for name, one in series.items():
        learning, permutations = material.learning, chosen.permutations
        found[name] = predict(one, learning, material.clips, permutations=permutations, seed=chosen.seed)
        say(f"{name}: mean r {float(found[name].r.nanmean()):.3f}")
    path = outputs.write_predictions(chosen, material, found)
    outputs.write_relations(chosen, {name: found[name] for name in material.said})
    favourite = chosen.words or max(material.said, key=lambda name: float(found[name].r.nanmean()))
    words = told_words(chosen, material, favourite)
    about = outputs.write_maps(chosen, material, found[favourite], spoken[favourite], words)
    write_json(chosen.run / "summary.json", outputs.summary(material, favourite) | about)
    say(f"words of {favourite}: done")
    if chosen.concepts:
        say(told_concepts(chosen, material, favourite))
    reads = {name: captions_read(chosen, material, name, spoken[name]) for name in material.said}
    outputs.write_readings(chosen, material, reads)
    say("caption retrieval: done")
    parts: dict[str, Partition] = {}
    for name in material.said:
        both = predict_jointly(series[name], series[LOW_LEVEL], material.learning, material.clips)
        alone = found[name].clips, found[LOW_LEVEL].clips
        generator = np.random.default_rng(chosen.seed)
        parts[name] = partition(*alone, both, torch.stack(material.clips.means), generator=generator)
        outputs.write_partitions(chosen, material, parts)
        say(f"variance partition of {name}: done")
    return path


def told_concepts(chosen: LanguageStudy, material: Material, captioner: str) -> str:
    """Write preferences for concepts if the captioner mentions any often enough; return a progress line."""
    mentioned = concepts_of(chosen.concepts)
    if not said_words(material, captioner, mentioned):
        return f"concepts: skipped, none in enough clips of {captioner}"
    outputs.write_concepts(chosen, material, told_words(chosen, material, captioner, mentioned=mentioned))
    return f"concepts of {captioner}: done"


def said_words(material: Material, captioner: str, mentioned: Mentioned = words_of) -> dict[str, int]:
    """Return the words (or concepts) of a captioner with enough training contents with and without them."""
    said = material.said[captioner]
    learnt = (one for trial in material.learning.trials for one in said.get(trial, ()))
    return vocabulary(learnt, material.content, mentioned=mentioned)


def told_words(
    chosen: LanguageStudy, material: Material, captioner: str, *, mentioned: Mentioned = words_of
) -> Preferences:
    """Return the preferences of all neurons for a captioner's words (or concepts), over the training trials."""
    said, learning, recording = material.said[captioner], material.learning, material.recording
    words = said_words(material, captioner, mentioned)
    if not words:
        raise InputError(f"words: expected words of {captioner} that are said of some clips, got none; write captions")
    time: dict[str, int] = {"size": chosen.bin, "delays": chosen.delays}
    parts = [
        presence(said.get(t, ()), list(words), frames=recording.length(t), mentioned=mentioned, **time)
        for t in learning.trials
    ]
    responses = torch.split(learning.responses, [len(part) for part in parts])
    return preferences(
        parts,
        responses,
        words,
        penalties=learning.penalties,
        folds=learning.folds,
        permutations=min(chosen.permutations, WORD_PERMUTATIONS),
        generator=np.random.default_rng(chosen.seed),
    )


def captions_read(chosen: LanguageStudy, material: Material, captioner: str, spoken: Spoken) -> Read:
    """Return the captions of a captioner retrieved from responses to held-out clips."""
    said, learning = material.said[captioner], material.learning
    return read_words(spoken.series, said, spoken.texts, learning, material.clips, size=chosen.bin)
