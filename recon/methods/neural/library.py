"""Bayesian library decoder: average of the training clips most likely given the responses (Nishimoto et al. 2011)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from recon.errors import InputError
from recon.errors.ranges import Count, NonNegative
from recon.methods.artefacts import load_artefact
from recon.methods.base import only_iterate, responses_of
from recon.methods.facts import Sees, Strength
from recon.methods.neural.chunks import as_bytes
from recon.methods.requirements import Needs
from recon.methods.training_set import TrainingSet
from recon.problem.problem import Problem
from recon.types import Iterate, State


@dataclass(frozen=True)
class Library:
    """Posterior over pieces of training movies given responses, averaged over its `best` pieces.

    p(piece | y) ∝ p(y | encoder's rates for the piece), with Poisson likelihood and uniform prior. Pieces of `window`
    frames start at every `stride`-th frame of every training trial, as do the windows of the clip. Overlapping windows
    are blended with triangular weights. The best pieces are weighted by p^beta; `beta` 0, as published, weights them
    equally.
    """

    title: ClassVar[str] = "Bayesian library decoder"
    strength: ClassVar[Strength | None] = None
    sees: ClassVar[Sees] = Sees(
        responses=True, learnt=("training movies", "rates of the encoder for training movies at mean behavior")
    )
    separable: ClassVar[bool] = True

    window: Count = 16
    stride: Count = 2
    best: Count = 100
    beta: NonNegative = 0.0
    artefact: Path | None = None

    def __post_init__(self) -> None:
        if min(self.window, self.stride, self.best) < 1 or self.beta < 0:
            raise InputError(
                f"library: expected window, stride and best of at least 1 and beta of at least 0, got {self.window}, "
                f"{self.stride}, {self.best}, {self.beta:g}; correct them"
            )

    @property
    def needs(self) -> Needs:
        """Training trials with pieces of the window's length."""
        return Needs(trials=1, frames=self.window)

    def fit(self, training: TrainingSet) -> Library:
        """Collect all training movies and the encoders' rates for them, at mean behavior."""
        uses = ("neurons", "encoders")
        path = training.artefact(
            "library", "movies and rates", lambda checkpoint: collect(training), code=[__name__], uses=uses
        )
        return replace(self, artefact=path)

    @torch.no_grad()
    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the averaged movie once."""
        if state:
            return
        learnt = load_artefact(self.artefact, method="library")
        window = min(self.window, problem.shape[2])
        places = pieces_of(learnt["lengths"], window, self.stride)
        responses = responses_of(problem, learnt["neurons"]).cpu()
        rates = floored(learnt["rates"].float())
        known = (rates.log(), rates.sum(0))
        clips = [self._averaged(sample, known, learnt["frames"], places=places, window=window) for sample in responses]
        movie = torch.stack(clips).reshape(problem.shape).to(problem.device)
        yield only_iterate(problem, movie)

    def _averaged(
        self, responses: Tensor, known: tuple[Tensor, Tensor], frames: Tensor, *, places: Tensor, window: int
    ) -> Tensor:
        """Return the frames `[T,P]` in [0,1] of one clip, from responses `[n,T]`."""
        starts = window_starts(responses.shape[1], window, self.stride)
        scores = log_likelihood(known, responses, places, starts, window=window)
        values, chosen = scores.topk(min(self.best, len(places)), dim=0)
        pieces = Pieces(frames, places[chosen], torch.softmax(self.beta * values, 0))
        return blended(pieces, starts, frames=responses.shape[1], window=window)


@dataclass(frozen=True)
class Pieces:
    """A library's frames `[T,P]` (0–255), and per window the starts and weights of its pieces `[K,W]`."""

    frames: Tensor
    places: Tensor
    weights: Tensor


def blended(pieces: Pieces, starts: Tensor, *, frames: int, window: int) -> Tensor:
    """Return a clip `[frames,P]` in [0,1]: weighted means of pieces per window, blended with triangular weights."""
    total = torch.zeros(frames, pieces.frames.shape[1])
    cover, blend = torch.zeros(frames, 1), triangle(window)[:, None]
    for number, start in enumerate(starts.tolist()):
        shown = pieces.frames[pieces.places[:, number, None] + torch.arange(window)].float() / 255
        total[start : start + window] += blend * torch.einsum("k,kwp->wp", pieces.weights[:, number], shown)
        cover[start : start + window] += blend
    return total / cover


def collect(training: TrainingSet) -> dict[str, Tensor]:
    """Return frames `[T,P]` (0–255), rates `[n,T]` averaged over the encoders, and the trials' lengths."""
    training.required_encoders("library")
    still, frames, rates = training.mean_behavior(), [], []
    for trial in training.trials():
        length = trial.movie.shape[1]
        frames.append(as_bytes(trial.movie[0]).flatten(1))
        rates.append(training.rates(trial.movie, None if still is None else still[:, None].expand(-1, length)).half())
    lengths = torch.tensor([len(part) for part in frames])
    return {"frames": torch.cat(frames), "rates": torch.cat(rates, 1), "lengths": lengths, "neurons": training.neurons}


def floored(rates: Tensor) -> Tensor:
    """Return rates floored at 0.1 % of their mean, so that a spike of one silent neuron cannot exclude a piece."""
    return rates.clamp_min(1e-3 * float(rates.mean()))


def log_likelihood(
    known: tuple[Tensor, Tensor], responses: Tensor, places: Tensor, starts: Tensor, *, window: int
) -> Tensor:
    """Return Σ y·log r − r `[K,W]` of responses `[n,T]` in windows at `starts` `[W]`, for rates at `places` `[K]`.

    `known` are the library's log rates `[n,T]` and rates summed over neurons `[T]`. This is the Poisson log-likelihood
    up to a constant per window.
    """
    logarithms, sums = known
    frame_by_frame = logarithms.T @ responses.clamp_min(0) - sums[:, None]
    scores = torch.zeros(len(places), len(starts))
    for step in range(window):
        scores += frame_by_frame[places + step][:, starts + step]
    return scores


def pieces_of(lengths: Tensor, window: int, stride: int) -> Tensor:
    """Return the starts of pieces of `window` frames in the concatenated trials; no piece crosses trials.

    >>> pieces_of(torch.tensor([5, 4]), 3, 2)
    tensor([0, 2, 5])
    """
    firsts = (lengths.cumsum(0) - lengths).tolist()
    starts = [
        torch.arange(first, first + length - window + 1, stride)
        for first, length in zip(firsts, lengths.tolist(), strict=True)
        if length >= window
    ]
    if not starts:
        longest = int(lengths.max())
        raise InputError(f"library: expected training trials of at least {window} frames, got {longest}; lower window")
    return torch.cat(starts)


def window_starts(frames: int, window: int, stride: int) -> Tensor:
    """Return the first frames of windows over a clip; the last window ends with the clip.

    >>> window_starts(10, 4, 3)
    tensor([0, 3, 6])
    >>> window_starts(11, 4, 3)
    tensor([0, 3, 6, 7])
    """
    starts = list(range(0, frames - window + 1, stride))
    return torch.tensor(starts if starts[-1] == frames - window else [*starts, frames - window])


def triangle(window: int) -> Tensor:
    """Return triangular weights `[window]`, highest in the middle and above 0 at the ends.

    >>> triangle(4)
    tensor([1., 2., 2., 1.])
    """
    index = torch.arange(window)
    return torch.minimum(index + 1, window - index).float()
