"""Training pairs of caption decoders: windows of responses, and the caption embedding of their scene."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from recon.errors import InputError
from recon.errors.ranges import Count, Index
from recon.methods.text.captioner_source import Spoken
from recon.methods.text.generated_clips import FIRST, FRAMES, Raster, drawn_clips
from recon.methods.training_set import TrainingSet
from recon.priors.text import TextEncoder
from recon.problem.fidelities.base import Likelihood, SamplingLikelihood
from recon.simulate.render import FRAME_RATE
from recon.types import Caption

Seen = Callable[[Tensor], Tensor]
"""Maps responses `[B,n,T]` to the reader's input, one per window `[B,W,...]`."""
NOISE_TRIALS = 40
"""Number of training trials, evenly spaced, for fitting the noise of predicted responses."""


@dataclass(frozen=True)
class Windows:
    """Windows of `frames` frames, one every `every` frames, with each neuron's mean √response in each of `parts` parts.

    The window for frame t is centred at t + `delay`, because responses lag behind the movie.
    """

    frames: Count = 30
    every: Count = 10
    parts: Count = 1
    delay: Index = 4

    def __post_init__(self) -> None:
        if min(self.frames, self.every, self.parts) < 1 or self.frames % self.parts:
            raise InputError(
                f"windows: expected frames that {self.parts} parts divide, at least 1 of each, got {self}; correct it"
            )

    def centres(self, frames: int) -> Tensor:
        """Return the centre frames `[W]` of the windows.

        >>> Windows(30, 10).centres(36)
        tensor([ 5, 15, 25, 35])
        """
        return torch.arange(min(self.every // 2, frames - 1), frames, self.every)

    def features(self, responses: Tensor) -> Tensor:
        """Return `[B,W,parts·n]` of responses `[B,n,T]`; clips are padded by replication."""
        roots = responses.clamp_min(0).sqrt()
        half, part = self.frames // 2, self.frames // self.parts
        padded = functional.pad(roots, (half, half + self.delay + self.frames), mode="replicate")
        means = functional.avg_pool1d(padded, part, stride=1)
        starts = self.centres(responses.shape[-1]) + self.delay
        parts = [means[..., starts + number * part] for number in range(self.parts)]
        return torch.cat(parts, 1).transpose(1, 2)


@dataclass(frozen=True)
class Examples:
    """Features `[K,...]`, embeddings `[K,D]` of length 1, and the scene and trial index of each `[K]`."""

    features: Tensor
    embeddings: Tensor
    scene: Tensor
    trial: Tensor

    def standardised(self) -> tuple[Examples, dict[str, Tensor]]:
        """Return the examples with z-scored features, and the mean and deviation used."""
        mean, std = self.features.mean(0), self.features.std(0)
        std = std.clamp_min(0.01 * float(std.mean()))
        return replace(self, features=(self.features - mean) / std), {"mean": mean, "std": std}

    def joined(self, other: Examples) -> Examples:
        """Return these examples followed by others, with scenes and trials renumbered."""
        return Examples(
            torch.cat([self.features, other.features]),
            torch.cat([self.embeddings, other.embeddings]),
            torch.cat([self.scene, other.scene + int(self.scene.max()) + 1]),
            torch.cat([self.trial, other.trial + int(self.trial.max()) + 1]),
        )


def spoken_digest(training: TrainingSet, spoken: Spoken) -> str:
    """Return a short hash of the captions of the training trials."""
    said = [spoken(trial) for trial in training.recording.trials("train")]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:12]


class Heard(NamedTuple):
    """Responses `[n,T]` of a trial, and the captions of its scenes."""

    responses: Tensor
    said: Sequence[Caption]


def recorded(training: TrainingSet, spoken: Spoken) -> Iterator[Heard]:
    """Yield the training trials; raises InputError if none has captions."""
    silent = True
    for trial in training.trials():
        said = spoken(trial.index)
        silent = silent and not said
        yield Heard(training.responses(trial), said)
    if silent:
        raise InputError(
            f"captions: expected captions of training trials in {training.recording.path}, got none; use another text, "
            "or write meta/trials/captions.jsonl"
        )


def generated(training: TrainingSet, *, clips: int, noise: Likelihood) -> Iterator[Heard]:
    """Yield responses to generated movies, predicted by the encoders with sampled noise.

    Behavior is taken from training trials, to which the noise is also fitted. Raises InputError for a recording at
    another frame rate than generated movies, and for a noise model without sampling.
    """
    recording = training.recording
    if abs(recording.frame_rate - FRAME_RATE) > 0.5 or not isinstance(noise, SamplingLikelihood):
        raise InputError(
            f"generated: expected a recording at {FRAME_RATE:g} frames a second and noise that can be drawn, got "
            f"{recording.frame_rate:g} and {noise}; set generated to 0"
        )
    sources = [(trial, training.responses(trial)) for trial in training.evenly_spaced(NOISE_TRIALS)]
    frames = min(FRAMES, *(trial.movie.shape[1] for trial, _ in sources))
    predicted = torch.stack([training.rates(trial.movie, trial.behavior)[:, :frames] for trial, _ in sources])
    measured = torch.stack([responses[:, :frames] for _, responses in sources])
    fitted: SamplingLikelihood = noise.fit(predicted, measured, torch.ones_like(predicted, dtype=torch.bool))
    generator = torch.Generator().manual_seed(training.seed)
    source = drawn_clips(
        "train",
        clips,
        first=FIRST,
        frames=FRAMES,
        artefacts=training.artefacts,
        raster=Raster(recording.frame_size, recording.degrees_per_pixel),
        progress=training.progress,
    )
    for number, clip in enumerate(source):
        behavior = sources[number % len(sources)][0].behavior
        shown = clip.movie[None, :frames].float() / 255
        rates = training.rates(shown, None if behavior is None else behavior[:, :frames])
        yield Heard(fitted.sample(rates[None], generator)[0], clip.spoken)


def examples(heard: Iterable[Heard], windows: Windows, encoder: TextEncoder, *, seen: Seen) -> Examples:
    """Return the windows within captioned scenes, with features mapped by `seen`."""
    features, scenes, numbers, trials = [], list[Caption](), list[Tensor](), list[Tensor]()
    for trial, (responses, said) in enumerate(heard):
        number = scene_of(said, windows.centres(responses.shape[-1]))
        known = number >= 0
        features.append(seen(responses[None])[0][known])
        numbers.append(number[known] + len(scenes))
        trials.append(torch.full((int(known.sum()),), trial))
        scenes += said
    scene = torch.cat(numbers)
    return Examples(torch.cat(features), embedded(scenes, encoder)[scene], scene, torch.cat(trials))


def scene_of(said: Sequence[Caption], frames: Tensor) -> Tensor:
    """Return the index of the caption `[W]` at each frame `[W]`, −1 for none.

    >>> scene_of([Caption(0, 4, ("a",)), Caption(4, 8, ("b",))], torch.tensor([1, 5, 9]))
    tensor([ 0,  1, -1])
    """
    found = torch.full_like(frames, -1)
    for number, caption in enumerate(said):
        found[(caption.first <= frames) & (frames < caption.end)] = number
    return found


def embedded(said: Iterable[Caption], encoder: Callable[[Sequence[str]], Tensor]) -> Tensor:
    """Return the embedding `[S,D]` of each caption: the mean over its phrasings, normalised to length 1.

    `encoder` returns the embeddings of texts, such as a `TextEncoder`.
    """
    spoken = [caption.texts for caption in said]
    distinct = sorted({text for texts in spoken for text in texts})
    known = dict(zip(distinct, encoder(distinct), strict=True))
    means = [torch.stack([known[text] for text in texts]).mean(0) for texts in spoken]
    return functional.normalize(torch.stack(means), dim=1)


def over_time(said: Sequence[Caption], embeddings: Tensor, frames: int) -> Tensor:
    """Return the embedding of every frame `[T,D]`; NaN, meaning no text, in frames without a caption."""
    number = scene_of(said, torch.arange(frames))
    return torch.where(number[:, None] >= 0, embeddings[number], torch.nan)
