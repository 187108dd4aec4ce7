"""Ridge regression from lagged responses to frames (Stanley, Li & Dan 1999; Warland, Reinagel & Meister 1997)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from recon.methods.base import mean_responses
from recon.methods.lagged import (
    Lags,
    Scaling,
    artefact_path,
    load_artefact,
    measure_scaling,
    save_artefact,
    training_pairs,
)
from recon.problem import Problem
from recon.types import Iterate, Recording, State


@dataclass(frozen=True)
class Moments:
    """Sums over frames: features × features, features × pixels, pixels, features, and the number of frames."""

    gram: Tensor
    cross: Tensor
    pixels: Tensor
    features: Tensor
    count: int

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.gram + other.gram,
            self.cross + other.cross,
            self.pixels + other.pixels,
            self.features + other.features,
            self.count + other.count,
        )

    def __sub__(self, other: Moments) -> Moments:
        return self + Moments(-other.gram, -other.cross, -other.pixels, -other.features, -other.count)

    def centred(self) -> tuple[Tensor, Tensor]:
        """Return the covariances features × features and features × pixels."""
        gram = self.gram / self.count - torch.outer(self.features, self.features) / self.count**2
        cross = self.cross / self.count - torch.outer(self.features, self.pixels) / self.count**2
        return gram, cross


@dataclass(frozen=True)
class Ridge:
    """movie(t) = m + Σ y(t+lag)·W(lag), W minimising squared error + penalty·‖W‖².

    The penalty (in units of the features' variance per training frame) is the best of `penalties` in `folds`-fold
    cross-validation over training trials; `root` decodes from square roots of the responses.
    """

    lags: Lags = field(default_factory=Lags)
    penalties: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    folds: int = 3
    root: bool = True
    artefact: Path | None = None

    def fit(self, recording: Recording, *, neurons: Tensor, artefacts: Path, frames: int) -> Ridge:
        """Choose the penalty by cross-validation and solve once with all training trials."""
        settings = {"name": "ridge", **asdict(replace(self, artefact=None))}
        path = artefact_path(artefacts, recording, neurons=neurons, settings=settings)
        if not path.exists():
            scaling = measure_scaling(recording, neurons=neurons, root=self.root)
            pairs = training_pairs(recording, neurons=neurons, lags=self.lags, scaling=scaling)
            folds = fold_moments(pairs, self.folds)
            errors = cross_validate(folds, self.penalties)
            penalty = self.penalties[int(errors.argmin())]
            total = _sum(folds)
            weights, mean = solve(total, penalty, out=total.cross.shape[1])
            learnt = {"weights": weights, "mean": mean, "errors": errors, "penalty": torch.tensor(penalty)}
            learnt |= {"scale_mean": scaling.mean, "scale_std": scaling.std, "neurons": neurons}
            save_artefact(learnt, path)
        return replace(self, artefact=path)

    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the decoded movie once."""
        if state:
            return
        learnt = load_artefact(self.artefact, method="ridge")
        movie = decode(mean_responses(problem), learnt, lags=self.lags, root=self.root, shape=problem.shape)
        yield Iterate(movie, {"misfit": problem.energy(movie)}, {"done": torch.ones(1)})


def fold_moments(pairs: Iterable[tuple[Tensor, Tensor]], folds: int) -> list[Moments]:
    """Return the moments of each fold; trials are dealt to the folds in turn and multiplied in blocks of eight."""
    moments: list[Moments | None] = [None] * folds
    waiting: list[list[tuple[Tensor, Tensor]]] = [[] for _ in moments]
    for index, pair in enumerate(pairs):
        fold = index % folds
        waiting[fold].append(pair)
        if len(waiting[fold]) == 8:
            moments[fold] = _merge(moments[fold], waiting[fold])
            waiting[fold] = []
    merged = [_merge(done, rest) for done, rest in zip(moments, waiting, strict=True) if rest or done is not None]
    if len(merged) < 2:
        raise ValueError(f"ridge: expected at least 2 training trials, got {len(merged)}; cut more trials")
    return merged


def _merge(done: Moments | None, pairs: list[tuple[Tensor, Tensor]]) -> Moments:
    if not pairs:
        if done is None:
            raise ValueError("ridge: expected training trials in every fold, got none; use fewer folds")
        return done
    features, pixels = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    new = Moments(features.T @ features, features.T @ pixels, pixels.sum(0), features.sum(0), len(features))
    return new if done is None else done + new


def _sum(folds: list[Moments]) -> Moments:
    total = folds[0]
    for fold in folds[1:]:
        total = total + fold
    return total


def solve(moments: Moments, penalty: float, *, out: int) -> tuple[Tensor, Tensor]:
    """Return weights `[features, out]` for the first `out` pixels, and the mean `[out]` that goes with them."""
    gram, cross = moments.centred()
    ridge = gram + penalty * torch.eye(len(gram), dtype=gram.dtype)
    weights = torch.cholesky_solve(cross[:, :out], torch.linalg.cholesky(ridge))
    mean = moments.pixels[:out] / moments.count - (moments.features / moments.count) @ weights
    return weights, mean


def cross_validate(folds: list[Moments], penalties: tuple[float, ...], *, targets: int = 64) -> Tensor:
    """Return the squared error per penalty, summed over left-out folds, on `targets` random mixtures of pixels.

    Mixtures of all pixels with fixed random signs cost the solution of 64 right-hand sides instead of thousands.
    """
    pixels = folds[0].cross.shape[1]
    signs = torch.randint(0, 2, (pixels, targets), generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    mixed = [replace(f, cross=f.cross @ signs, pixels=f.pixels @ signs) for f in folds]
    total = _sum(mixed)
    errors = torch.zeros(len(penalties))
    for fold in mixed:
        for index, penalty in enumerate(penalties):
            weights, _ = solve(total - fold, penalty, out=targets)
            gram, cross = fold.centred()
            errors[index] += float(((gram @ weights) * weights).sum() - 2 * (cross * weights).sum())
    return errors


def decode(responses: Tensor, learnt: dict[str, Tensor], *, lags: Lags, root: bool, shape: tuple[int, ...]) -> Tensor:
    """Return the movie `[B,C,T,H,W]`, clipped to [0,1], that linear weights read from responses `[B,N,T]`."""
    neurons = learnt["neurons"].bool()
    if responses.shape[1] != len(neurons):
        raise ValueError(f"decoder: expected {len(neurons)} neurons, got {responses.shape[1]}; fit it again")
    scaling = Scaling(learnt["scale_mean"], learnt["scale_std"], root)
    chosen = responses.cpu()[:, neurons]
    frames = [lags.apply(scaling.apply(sample)) @ learnt["weights"] + learnt["mean"] for sample in chosen]
    return torch.stack(frames).clamp(0, 1).reshape(shape).to(responses.device)
