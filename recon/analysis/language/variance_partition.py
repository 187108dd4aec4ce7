"""Variance partitioning between captions and low-level features, with intervals over clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

DRAWS = 2000
"""Bootstrap samples of clips."""
AT_ONCE = 100


@dataclass(frozen=True)
class Partition:
    """Signed r² on held-out clips `[N]`, and unique parts in bootstrap samples of clips `[M,N]`.

    `text` and `low` are the single models, `both` the joint model. Unique to text: both − low; unique to low-level
    features: both − text; shared: text + low − both (Borcard et al. 1992; Lescroart & Gallant 2019).
    """

    text: Tensor
    low: Tensor
    both: Tensor
    unique_text_drawn: Tensor
    unique_low_drawn: Tensor

    @property
    def unique_text(self) -> Tensor:
        """Variance explained by text beyond low-level features `[N]`."""
        return self.both - self.low

    @property
    def unique_low(self) -> Tensor:
        """Variance explained by low-level features beyond text `[N]`."""
        return self.both - self.text

    @property
    def shared(self) -> Tensor:
        """Variance explained by either `[N]`."""
        return self.text + self.low - self.both


def partition(
    text: Tensor, low: Tensor, both: Tensor, responses: Tensor, *, generator: np.random.Generator
) -> Partition:
    """Partition the variance of responses `[K,B,N]` to K held-out clips by three predictions `[K,B,N]`."""
    clips = len(responses)
    once = torch.ones(1, clips, dtype=torch.float64)
    drawn = torch.from_numpy(generator.multinomial(clips, np.full(clips, 1 / clips), DRAWS)).double()
    at, resampled = ([explained(one, responses, weights) for one in (text, low, both)] for weights in (once, drawn))
    return Partition(at[0][0], at[1][0], at[2][0], resampled[2] - resampled[1], resampled[2] - resampled[0])


def explained(predicted: Tensor, responses: Tensor, weights: Tensor) -> Tensor:
    """Return r·|r| `[M,N]` over clips `[K,B,N]` weighted by `weights` `[M,K]`; NaN where constant.

    The sign keeps the expectation under chance at 0; r² alone is biased upwards by noise.
    """
    return torch.cat(list(_explained(predicted.double(), responses.double(), weights)))


def _explained(predicted: Tensor, responses: Tensor, weights: Tensor) -> Iterator[Tensor]:
    x, y = (series - series.mean((0, 1)) for series in (predicted, responses))
    parts = torch.stack([x.sum(1), y.sum(1), (x * x).sum(1), (y * y).sum(1), (x * y).sum(1)])
    for some in torch.split(weights, AT_ONCE):
        samples = some.sum(1, keepdim=True) * x.shape[1]
        sx, sy, sxx, syy, sxy = torch.einsum("mk,skn->smn", some, parts) / samples
        power = (sxx - sx**2) * (syy - sy**2)
        constant = power <= 1e-20 * parts[2].sum(0) * parts[3].sum(0) / (len(x) * x.shape[1]) ** 2
        r = torch.where(constant | (power <= 0), torch.nan, (sxy - sx * sy) / power.clamp_min(1e-300).sqrt())
        yield r * r.abs()
