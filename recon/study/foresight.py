"""What methods, scores and ablations will miss in a recording, said before anything is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from recon import config
from recon.data.findings import repeat_sets
from recon.data.layout import TEST, TRAIN, VALIDATION
from recon.data.sensorium import SensoriumRecording
from recon.data.survey import Survey
from recon.methods.requirements import Supply, unmet
from recon.study.settings import Frames

TEXTLESS = "text decoders cannot be trained, and ablations leave out their text rows"
FEWEST_SCORED = 2
"""Scored frames that a correlation over time takes."""


def foreseen(recording: SensoriumRecording, found: Survey) -> list[str]:
    """Return one sentence for everything that is missing for a method, a score or an ablation."""
    lengths = {tier: responding(recording, found, tier) for tier in (TRAIN, VALIDATION, TEST)}
    general = [*_tiers(lengths), *_scored(lengths[TEST]), *_repeats(recording, found), *_captions(recording, found)]
    return [*general, *_methods(supplied(recording, lengths))]


def supplied(recording: SensoriumRecording, lengths: Mapping[str, Sequence[int]]) -> Supply:
    """Return what a recording offers to methods; captions, and what a row gives, are taken to be there."""
    clips = Counter(lengths[TEST] or lengths[VALIDATION] or lengths[TRAIN])
    return Supply(
        recording.name,
        tuple(lengths[TRAIN]),
        clips.most_common(1)[0][0] if clips else 0,
        recording.frame_rate,
        validation=tuple(lengths[VALIDATION]),
        captions=True,
        words=True,
    )


def _methods(supply: Supply) -> list[str]:
    """Return a sentence for every requirement of packaged methods that is not met, after the names of the methods."""
    missing: dict[str, list[str]] = {}
    for file in sorted((config.CONFIGS / "methods").glob("*.yaml")):
        for text in dict.fromkeys(unmet(config.build("method", config.load(file)), supply)):
            missing.setdefault(text, []).append(file.stem)
    return [f"{', '.join(names)}: {text}" for text, names in missing.items()]


def responding(recording: SensoriumRecording, found: Survey, tier: str) -> list[int]:
    """Return the lengths in frames of the trials of a tier that have responses."""
    trials = [i for i in recording.trials(tier) if i in found.facts]
    return [found.facts[i].frames for i in trials if found.facts[i].responses]


def _tiers(lengths: dict[str, list[int]]) -> list[str]:
    out = []
    if not lengths[VALIDATION]:
        out.append(f"no validation clips (tier '{VALIDATION}'): training an encoder and tuning a method need them")
    if len(lengths[TEST]) < 2:
        count = len(lengths[TEST]) or "no"
        out.append(f"{count} test clip (tier '{TEST}'): the null takes the activity of another clip")
    return out


def _scored(lengths: Sequence[int]) -> list[str]:
    """Return a sentence if the default frames at both ends, which are not scored, leave nothing of a test clip."""
    frames = Frames()
    least = frames.warmup + frames.tail + FEWEST_SCORED
    short = [length for length in lengths if length < least]
    if not short:
        return []
    which = "all test clips" if len(short) == len(lengths) else f"{len(short)} of {len(lengths)} test clips"
    return [
        f"{which} are shorter than {least} frames ({_span(short)}): the first {frames.warmup} and the last "
        f"{frames.tail} are not scored by default; set frames.warmup and frames.tail lower"
    ]


def _repeats(recording: SensoriumRecording, found: Survey) -> list[str]:
    repeated = [trials for trials in repeat_sets(recording, found) if recording.tiers[trials[0]] == TEST]
    if repeated:
        return []
    return ["no test clip was shown twice: no noise ceiling, and no rows that average or join repeats"]


def _captions(recording: SensoriumRecording, found: Survey) -> list[str]:
    spoken = Counter(recording.tiers[i] for i in found.facts if recording.captions(i) or recording.scenes(i))
    if not spoken:
        return [f"no captions (meta/trials/captions.jsonl): {TEXTLESS}"]
    return [f"no captions of {tier} trials: {TEXTLESS}" for tier in (TRAIN, TEST) if not spoken[tier]]


def _span(values: Sequence[int]) -> str:
    return str(min(values)) if min(values) == max(values) else f"{min(values)}–{max(values)}"
