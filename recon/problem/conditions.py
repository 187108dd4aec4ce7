"""From trials to problems: which clips, which neurons, and what a method is given under each condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from recon.data.folds import fold_trials
from recon.data.sensorium import SensoriumRecording
from recon.encoders.base import Encoder, device_of
from recon.metrics.correlation import pearson
from recon.problem.problem import Observation, Problem
from recon.problem.windows import windowed_rates
from recon.study.settings import Clips, Condition, Words
from recon.types import Acquisition, Caption, Fidelity, Measurement, Trial, stack

Presentation = tuple[Tensor, Tensor | None]
"""Responses `[B,N,T]` and behavior `[B,4,T]` that belong together."""

ALIKE = 0.5
"""Clips whose mean frames correlate by this much are not each other's null."""


@dataclass(frozen=True)
class Clip:
    """The presentation of a video that is reconstructed, and the trials that repeat it."""

    trial: Trial
    repeats: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Clips of equal length of one recording, which are optimised together."""

    recording: SensoriumRecording
    clips: tuple[Clip, ...]
    strangers: tuple[Trial, ...]
    """For each clip the trial of another video that looks different: whose measurement the null condition gives."""

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """The trials that are reconstructed, in order."""
        return tuple(clip.trial for clip in self.clips)

    @cached_property
    def movie(self) -> Tensor:
        """The movies that were shown `[B,C,T,H,W]`; never given to a method."""
        return stack(self.trials)[0]

    @property
    def frames(self) -> int:
        """Length of the clips in frames."""
        return int(self.movie.shape[2])

    @property
    def recorded(self) -> Presentation:
        """What was recorded in the trials themselves."""
        _, responses, behavior = stack(self.trials)
        return responses, behavior

    @cached_property
    def repeated(self) -> tuple[Presentation, ...]:
        """The further presentations of the clips, as many as every clip has."""
        count = min(len(clip.repeats) for clip in self.clips)
        trials = [[self._cut(clip.repeats[i]) for clip in self.clips] for i in range(count)]
        return tuple(stack(presentation)[1:] for presentation in trials)

    def _cut(self, index: int) -> Trial:
        trial = self.recording.trial(index)
        if trial.movie.shape[1] != self.frames:
            raise ValueError(
                f"trial {index}: expected {self.frames} frames as in the other presentations of {trial.video_id}, "
                f"got {trial.movie.shape[1]}; use condition recorded"
            )
        return trial


def choose_clips(recording: SensoriumRecording, clips: Clips) -> tuple[Clip, ...]:
    """Return one trial per distinct video of a tier, the first presentation, with the trials that repeat it.

    Where a fold or trials are named, those, each with the other ones of its tier and video.
    """
    if clips.trials:
        return tuple(_named(recording, index) for index in clips.trials)
    if clips.fold is not None:
        found = [index for index in fold_trials(recording, clips.fold) if recording.has_responses(index)]
        _enough(recording, clips, found, f"trials with responses in fold {clips.fold}")
        return tuple(_named(recording, index) for index in found[clips.skip :][: clips.count])
    shown: dict[str, list[int]] = {}
    for index in recording.trials(clips.tier):
        if recording.has_responses(index) and clips.stimulus in ("", recording.stimuli[index]):
            shown.setdefault(recording.video_ids[index], []).append(index)
    kind = f" that show {clips.stimulus}" if clips.stimulus else ""
    _enough(recording, clips, shown, f"videos with responses in tier {clips.tier}{kind}")
    chosen = list(shown.values())[clips.skip :][: clips.count]
    return tuple(Clip(recording.trial(first), tuple(others)) for first, *others in chosen)


def validation_clips(recording: SensoriumRecording, *, most: int = 20) -> tuple[Clip, ...]:
    """Return the first presentations of at most `most` videos of tier "oracle", the validation clips."""
    videos = {recording.video_ids[i] for i in recording.trials("oracle") if recording.has_responses(i)}
    return choose_clips(recording, Clips("oracle", min(len(videos), most))) if videos else ()


def _enough(recording: SensoriumRecording, clips: Clips, found: Sized, what: str) -> None:
    if len(found) < clips.skip + clips.count:
        tiers = sorted(set(recording.tiers) - {"none"})
        after = f" after {clips.skip} that are skipped" if clips.skip else ""
        kinds = sorted(set(recording.stimuli) - {""}) if clips.stimulus else []
        raise ValueError(
            f"clips: expected {clips.count} {what}{after}, got {len(found)} in "
            f"{recording.path}; lower clips.count or take another tier of {', '.join(tiers)}"
            + (f", or stimulus of {', '.join(kinds) or 'none that is known'}" if clips.stimulus else "")
        )


def _named(recording: SensoriumRecording, index: int) -> Clip:
    if not 0 <= index < len(recording.tiers) or not recording.has_responses(index):
        raise ValueError(
            f"clips.trials: expected trials with responses, of 0–{len(recording.tiers) - 1} in {recording.path}, "
            f"got {index}; see `recon data info`"
        )
    alike = recording.trials(recording.tiers[index])
    others = [i for i in alike if i != index and recording.video_ids[i] == recording.video_ids[index]]
    return Clip(recording.trial(index), tuple(i for i in others if recording.has_responses(i)))


def batches(recording: SensoriumRecording, clips: Sequence[Clip], *, size: int) -> list[Batch]:
    """Return the clips in batches of at most `size` clips of equal length."""
    by_length: dict[int, list[Clip]] = {}
    for clip in clips:
        by_length.setdefault(clip.trial.movie.shape[1], []).append(clip)
    return [
        Batch(
            recording,
            tuple(alike[first : first + size]),
            tuple(_stranger(alike, i) for i in range(first, min(first + size, len(alike)))),
        )
        for alike in by_length.values()
        for first in range(0, len(alike), size)
    ]


def _stranger(clips: Sequence[Clip], index: int) -> Trial:
    """Return the next clip's trial that does not look like clip `index`, else the one that looks least like it.

    Two cuts from one film of a fixed camera share most of their pixels: the null must not know the scene.
    """
    others = [clips[(index + step) % len(clips)].trial for step in range(1, len(clips))]
    own = clips[index].trial
    alike = {other.index: likeness(own.movie, other.movie) for other in others}
    nearest = next((other for other in others if alike[other.index] < ALIKE), None)
    return nearest or min(others, key=lambda other: alike[other.index], default=own)


def likeness(movie: Tensor, other: Tensor) -> float:
    """Return the correlation of the mean frames of two movies `[C,T,H,W]`; 0 where one of them is constant."""
    value = float(pearson(movie.mean((0, 1)).flatten(), other.mean((0, 1)).flatten()))
    return value if value == value else 0.0


def presentations(batch: Batch, condition: Condition, encoder: Encoder, *, window: int = 0) -> list[Presentation]:
    """Return what a method is given under a condition; one presentation, or one per repeat."""
    if condition == "recorded":
        return [batch.recorded]
    if condition == "wrong_clip":
        return [_of_strangers(batch)]
    if condition == "predicted":
        behavior = batch.recorded[1]
        return [(clip_rates(encoder, batch.movie, behavior, window=window), behavior)]
    if condition == "noise_free":
        return [(_noise_free(batch), batch.recorded[1])]
    if not batch.repeated:
        raise ValueError(f"condition {condition}: expected clips shown at least twice, got once; use recorded")
    every = [batch.recorded, *batch.repeated]
    return every if condition == "repeats_joint" else [_average(every)]


def pose(
    batch: Batch,
    condition: Condition,
    encoders: Sequence[Encoder],
    *,
    fidelity: Fidelity,
    sets: Mapping[str, Tensor],
    acquisition: Acquisition | None,
    device: torch.device,
    window: int = 0,
    silent: Tensor | None = None,
    pixels: Tensor | None = None,
    others: Sequence[Observation] = (),
    words: Words = "none",
) -> Problem:
    """Return the problem of a batch under a condition: one observation per presentation and encoder.

    Responses of the *report* neurons, and of the `silent` ones `[N]`, are zero; the former are not fitted. Where
    `pixels` `[H,W]` is false the movie stays grey. `words` are told of the clips. `others` are observations of animals
    that saw the same clips.
    """
    unseen = sets["report"] if silent is None else sets["report"] | silent
    observations = [
        Observation(encoder, seen.to(device), 1 / len(encoders))
        for encoder in encoders
        for seen in measured(batch, condition, encoder, sets, unseen=unseen, acquisition=acquisition, window=window)
    ]
    shown = None if pixels is None else pixels.to(device)
    return Problem(fidelity, (*observations, *others), window, pixels=shown, captions=spoken(batch, words))


def spoken(batch: Batch, words: Words) -> tuple[tuple[Caption, ...], ...]:
    """Return what a method is told of each clip: nothing, its captions, or those of its stranger."""
    if words == "none":
        return ()
    trials = batch.trials if words == "true" else batch.strangers
    said = tuple(batch.recording.spoken(trial.index) for trial in trials)
    if not all(said):
        raise ValueError(
            f"words {words}: expected captions of every clip in {batch.recording.path}, got none for some; take words "
            "none, or write meta/trials/captions.jsonl"
        )
    return said


def measured(
    batch: Batch,
    condition: Condition,
    encoder: Encoder,
    sets: Mapping[str, Tensor],
    *,
    unseen: Tensor,
    acquisition: Acquisition | None,
    window: int = 0,
) -> Iterator[Measurement]:
    """Yield the measurements of a batch under a condition, in the units of the encoder; `unseen` `[N]` are zero."""
    scale = response_scale(batch.recording, encoder)
    for responses, behavior in presentations(batch, condition, encoder, window=window):
        known = responses if condition == "predicted" else responses / scale
        counted = torch.ones(len(known), known.shape[-1], dtype=torch.bool)
        yield Measurement(known * ~unseen[:, None], behavior, sets["fit"], sets["selection"], counted, acquisition)


def response_scale(recording: SensoriumRecording, encoder: Encoder) -> Tensor:
    """Return `[N,1]`, by which recorded responses are divided before they are compared with an encoder's rates."""
    if encoder.spec.response_transform == "raw":
        return torch.ones(len(recording.unit_ids), 1)
    if encoder.spec.response_transform != "divided by std":
        raise ValueError(
            f"encoder: expected response_transform raw or divided by std, got {encoder.spec.response_transform!r}; "
            "train it on one of these"
        )
    std = torch.from_numpy(recording.statistic("responses", "std", frames=1).astype(np.float32))
    return std.clamp_min(0.01 * float(std.mean()))


def common_scale(recording: SensoriumRecording, encoders: Sequence[Encoder]) -> Tensor:
    """Return `[N,1]`, by which responses are divided for all encoders of a row; raises ValueError where they differ."""
    scales = [response_scale(recording, encoder) for encoder in encoders]
    if any(not torch.equal(scale, scales[0]) for scale in scales):
        kinds = sorted({encoder.spec.response_transform for encoder in encoders})
        raise ValueError(f"encoders: expected one response_transform in a row, got {kinds}; use a row for each")
    return scales[0]


@torch.no_grad()
def clip_rates(encoder: Encoder, movie: Tensor, behavior: Tensor | None, *, window: int = 0) -> Tensor:
    """Return rates `[B,N,T]` on the CPU, clip by clip, so that memory does not grow with the batch."""
    device = device_of(encoder)
    rates = []
    for index in range(len(movie)):
        seen = None if behavior is None else behavior[index : index + 1].to(device)
        rates.append(windowed_rates(encoder, movie[index : index + 1].to(device), seen, window).cpu())
    return torch.cat(rates)


def _noise_free(batch: Batch) -> Tensor:
    rates = [trial.rates for trial in batch.trials if trial.rates is not None]
    if len(rates) < len(batch.trials):
        raise ValueError("condition noise_free: expected a simulation with rates, got a recording; use recorded")
    return torch.stack(rates)


def _of_strangers(batch: Batch) -> Presentation:
    if batch.strangers[0].index == batch.trials[0].index:
        raise ValueError("condition wrong_clip: expected at least 2 clips of equal length, got 1; raise clips.count")
    return stack(batch.strangers)[1:]


def _average(every: Sequence[Presentation]) -> Presentation:
    responses = torch.stack([responses for responses, _ in every]).mean(0)
    behaviors = [behavior for _, behavior in every if behavior is not None]
    return responses, torch.stack(behaviors).mean(0) if behaviors else None
