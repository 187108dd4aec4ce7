"""Fluctuations that neurons share and no stimulus explains: measured on repeats, and drawn anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

COMPONENTS = 4
BIN = 10
"""Frames that are averaged before shared fluctuations are measured: they are slow, private noise is not."""
ROUNDS = 10
"""Rounds of the principal-factor estimate of the variance that each neuron shares."""


@dataclass(frozen=True)
class Fluctuations:
    """Log gains Σ loadings·f: `loadings` `[N,K]`, and the correlation `keep` `[K]` of f from a frame to the next."""

    loadings: Tensor
    keep: Tensor

    def drawn(self, batch: int, frames: int, generator: torch.Generator) -> Tensor:
        """Draw gains `[B,N,T]` of mean 1: exp(Σ loadings·f − ½Σ loadings²), f Ornstein–Uhlenbeck of variance 1."""
        steps = torch.randn(frames, batch, len(self.keep), generator=generator)
        path, fresh = [steps[0]], (1 - self.keep**2).sqrt()
        for step in steps[1:]:
            path.append(self.keep * path[-1] + fresh * step)
        log_gain = torch.einsum("nk,tbk->bnt", self.loadings, torch.stack(path))
        return (log_gain - self.loadings.square().sum(1)[:, None] / 2).exp()


def measured(repeats: Iterable[Tensor], *, components: int = COMPONENTS) -> Fluctuations:
    """Estimate shared fluctuations from repeats `[R,N,T]` of clips, R of at least 2.

    Residuals about the mean over repeats, in bins and in units of each neuron's mean response, have the covariance
    loadings·loadingsᵀ plus private noise on the diagonal, which the principal-factor method leaves out.
    """
    parts = list(repeats)
    mean = torch.stack([part.mean((0, 2)) for part in parts]).mean(0).clamp_min(1e-6)
    residuals = [residual / mean[:, None] for part in parts for residual in _residuals(part)]
    flat = torch.cat(residuals, 1).double()
    loadings = _factors(flat @ flat.T / flat.shape[1], min(components, len(mean) // 3))
    return Fluctuations(loadings.float(), _persistence(residuals, loadings).float())


def _residuals(repeats: Tensor) -> Iterator[Tensor]:
    """Yield the binned residuals `[N,T/BIN]` of each repeat, with the variance that R − 1 repeats leave out."""
    count, frames = len(repeats), repeats.shape[2]
    binned = functional.avg_pool1d(repeats, min(BIN, frames))
    yield from (binned - binned.mean(0)) * (count / (count - 1)) ** 0.5


def _factors(covariance: Tensor, components: int) -> Tensor:
    """Return the loadings `[N,K]` of the principal factors of a covariance `[N,N]`; K may be less than asked."""
    shared = torch.zeros(len(covariance), dtype=covariance.dtype)
    loadings = torch.zeros(len(covariance), 0, dtype=covariance.dtype)
    for _ in range(ROUNDS):
        reduced = covariance - torch.diag(covariance.diagonal() - shared)
        values, vectors = torch.linalg.eigh(reduced)
        kept = (values[-components:] > 0).nonzero().flatten() + len(values) - components
        loadings = vectors[:, kept] * values[kept].sqrt()
        shared = loadings.square().sum(1).minimum(covariance.diagonal())
    return loadings


def _persistence(residuals: list[Tensor], loadings: Tensor) -> Tensor:
    """Return the correlation `[K]` of each factor over one frame: lag 2 over lag 1, free of private noise."""
    scores = [torch.linalg.lstsq(loadings, one.double()).solution for one in residuals]
    first, second = (sum((one[:, lag:] * one[:, :-lag]).sum(1) for one in scores) for lag in (1, 2))
    per_bin = torch.as_tensor(second) / torch.as_tensor(first).clamp_min(1e-9)
    return per_bin.clamp(0.01, 0.99) ** (1 / BIN)
