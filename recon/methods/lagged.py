"""Lagged responses: the design matrix of linear decoders, and its moments over the training trials."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from recon.types import Recording


@dataclass(frozen=True)
class Lags:
    """Responses from `first` to `last` frames after a movie frame, seen through `bases` raised-cosine bumps."""

    first: int = -1
    last: int = 14
    bases: int = 5

    def kernels(self) -> Tensor:
        """Return the bumps `[bases, last-first+1]`; they overlap by half and each sums to 1.

        >>> Lags(0, 4, 3).kernels().sum(1)
        tensor([1., 1., 1.])
        """
        frames = torch.arange(self.first, self.last + 1, dtype=torch.float32)
        if self.bases >= len(frames):
            return torch.eye(len(frames))
        centres = torch.linspace(self.first, self.last, self.bases)
        width = (self.last - self.first) / max(self.bases - 1, 1)
        phase = ((frames[None] - centres[:, None]) / width).clamp(-1, 1) * math.pi
        bumps = 0.5 * (1 + phase.cos())
        return bumps / bumps.sum(1, keepdim=True)

    def apply(self, responses: Tensor) -> Tensor:
        """Return features `[T, N·bases]` of responses `[N,T]`; beyond the ends responses count as zero."""
        kernels = self.kernels().to(responses)
        before, after = max(-self.first, 0), max(self.last, 0)
        padded = functional.pad(responses, (before, after))[:, None]
        lagged = functional.conv1d(padded[..., self.first + before :], kernels[:, None])
        return lagged[..., : responses.shape[1]].permute(2, 0, 1).flatten(1)


@dataclass(frozen=True)
class Scaling:
    """Per-neuron mean and standard deviation of transformed training responses; `root` takes square roots first."""

    mean: Tensor
    std: Tensor
    root: bool

    def apply(self, responses: Tensor) -> Tensor:
        """Return standardised responses `[N,T]`."""
        values = responses.clamp_min(0).sqrt() if self.root else responses
        return (values - self.mean[:, None]) / self.std[:, None]


def measure_scaling(recording: Recording, *, neurons: Tensor, root: bool) -> Scaling:
    """Measure the standardisation over training trials; the std is floored at 1 % of the mean std (FIELD)."""
    count, total, square = 0, torch.zeros(1), torch.zeros(1)
    for index in recording.trials("train"):
        values = recording.trial(index).responses[neurons].double()
        values = values.clamp_min(0).sqrt() if root else values
        count, total, square = count + values.shape[1], total + values.sum(1), square + (values**2).sum(1)
    if count == 0:
        raise ValueError("training: expected trials of tier 'train', got none; import or simulate some")
    mean = total / count
    std = (square / count - mean**2).clamp_min(0).sqrt()
    return Scaling(mean.float(), std.clamp_min(0.01 * float(std.mean())).float(), root)


def training_pairs(
    recording: Recording, *, neurons: Tensor, lags: Lags, scaling: Scaling
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield features `[T, N·bases]` and frames `[T, H·W]` of each training trial."""
    for index in recording.trials("train"):
        trial = recording.trial(index)
        yield lags.apply(scaling.apply(trial.responses[neurons])), trial.movie[0].flatten(1)


def artefact_path(artefacts: Path, recording: Recording, *, neurons: Tensor, settings: dict[str, object]) -> Path:
    """Return where an artefact lives: named by the hash of the recording, the neurons and the settings."""
    what = json.dumps([recording.fingerprint(), neurons.nonzero().flatten().tolist(), settings], default=str)
    return artefacts / f"{settings['name']}-{hashlib.sha256(what.encode()).hexdigest()[:16]}.safetensors"


def save_artefact(tensors: dict[str, Tensor], path: Path) -> None:
    """Write an artefact aside and rename it, so that a half-written one is never read."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".partial")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, str(aside))
    aside.replace(path)


def load_artefact(path: Path | None, *, method: str) -> dict[str, Tensor]:
    """Read what a method learnt; a clear error when it was never fitted."""
    if path is None or not path.exists():
        raise ValueError(f"{method}: expected a fitted artefact, got {path}; call fit(recording, …) first")
    from safetensors.torch import load_file

    tensors: dict[str, Tensor] = load_file(str(path))
    return tensors
