"""Captions from decoded pictures: a movie decoded by ridge regression, and a network that captions it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from recon.encoders.runtime.precision import autocast
from recon.errors import InputError
from recon.errors.ranges import Count, Folds, NonNegative, Some
from recon.methods.linear.lags import Lags, Scaling, measure_scaling, training_pairs
from recon.methods.linear.regression import regressed
from recon.methods.text.examples import Windows
from recon.methods.training_set import TrainingSet

GROUPS = 4


@dataclass(frozen=True)
class Pictures:
    """A small movie decoded by ridge regression: cells of `cell`×`cell` pixels, means of `every` frames.

    Responses enter through `lags`. The penalty is selected among `penalties` by cross-validation over `folds` of the
    training trials.
    """

    lags: Lags = field(default_factory=lambda: Lags(0, 9, 4))
    penalties: Annotated[tuple[NonNegative, ...], Some] = (0.1, 0.3, 1.0)
    folds: Folds = 3
    cell: Count = 2
    every: Count = 3

    def __post_init__(self) -> None:
        if min(self.cell, self.every) < 1:
            raise InputError(f"pictures: expected cell and every of at least 1, got {self}; correct them")

    def learn(self, training: TrainingSet) -> dict[str, Tensor]:
        """Return `weights`, `mean` and scaling of the movie decoder, in units of the training movies' deviation."""
        scaling = measure_scaling(training, root=True)
        levels = list[tuple[float, float]]()

        def pairs() -> Iterator[tuple[Tensor, Tensor]]:
            for features, frames in training_pairs(training, lags=self.lags, scaling=scaling):
                small = self._shrunk(frames.reshape(-1, *training.recording.frame_size))
                levels.append((float(small.mean()), float(small.square().mean())))
                yield features, small.flatten(1)

        learnt = regressed(pairs(), self.penalties, folds=self.folds)
        mean, square = (sum(values) / len(levels) for values in zip(*levels, strict=True))
        deviation = max(square - mean**2, 1e-6) ** 0.5
        size = self._shrunk(torch.zeros(1, *training.recording.frame_size)).shape[1:]
        return {
            "weights": learnt["weights"] / deviation,
            "mean": ((learnt["mean"] - mean) / deviation).reshape(size),
            "scale_mean": scaling.mean,
            "scale_std": scaling.std,
        }

    def viewer(self, learnt: Mapping[str, Tensor], windows: Windows) -> Callable[[Tensor], Tensor]:
        """Return a function from responses `[B,n,T]` to windows `[B,W,L,h,w]` of the movie, padded by replication.

        Raises InputError if the window length is no multiple of `every` frames.
        """
        if windows.frames % self.every:
            raise InputError(
                f"pictures: expected windows of a multiple of {self.every} frames, got {windows.frames}; change either"
            )
        scaling = Scaling(learnt["scale_mean"], learnt["scale_std"], root=True)

        def show(responses: Tensor) -> Tensor:
            read = [self.lags.apply(scaling.apply(sample)) @ learnt["weights"] for sample in responses]
            movie = rearrange(torch.stack(read) + learnt["mean"].flatten(), "b t p -> b p t")
            half = windows.frames // 2
            padded = functional.pad(movie, (half, windows.frames - half), mode="replicate")
            averaged = functional.avg_pool1d(padded, self.every, stride=1)
            centres = windows.centres(responses.shape[-1])
            frames = centres[:, None] + torch.arange(0, windows.frames, self.every)
            found = averaged[..., frames.to(averaged.device)]
            return rearrange(found, "b (h w) window l -> b window l h w", h=len(learnt["mean"]))

        return show

    def _shrunk(self, frames: Tensor) -> Tensor:
        return functional.avg_pool2d(frames[:, None], min(self.cell, *frames.shape[1:]))[:, 0]


class PictureReader(nn.Module):
    """Windows `[K,L,h,w]` → embeddings `[K,D]`: convolutions, mean and maximum pooling, two linear layers."""

    def __init__(self, width: int, hidden: int, space: int, precision: Literal["float32", "bfloat16"]) -> None:
        super().__init__()
        self.precision = precision
        self.convolutions = nn.ModuleList(
            [
                nn.Conv3d(1, width, (3, 5, 5), stride=(1, 2, 2), padding=(1, 2, 2)),
                nn.Conv3d(width, 2 * width, 3, padding=1),
                nn.Conv3d(2 * width, 4 * width, 3, stride=2, padding=1),
            ]
        )
        self.norms = nn.ModuleList(nn.GroupNorm(GROUPS, width * factor) for factor in (1, 2, 4))
        self.layers = nn.Sequential(nn.Linear(8 * width, hidden), nn.SiLU(), nn.Linear(hidden, space))

    def forward(self, pictures: Tensor, dropout: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return the embeddings; `dropout` is applied to the pooled features in training."""
        found = pictures[:, None].float()
        with autocast(pictures.device, self.precision):
            for convolution, norm in zip(self.convolutions, self.norms, strict=True):
                found = functional.silu(norm(convolution(found)))
        found = found.float()
        pooled = torch.cat([found.mean((2, 3, 4)), found.amax((3, 4)).mean(2)], 1)
        read: Tensor = self.layers(pooled if dropout is None else dropout(pooled))
        return read
