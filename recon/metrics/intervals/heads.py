"""Conditional quantiles of the error given features of the estimate, by pinball loss (Koenker & Bassett 1978)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recon.metrics.intervals.settings import CalibrationSettings

TAILS = (0.05, 0.5, 0.95)
"""Quantiles of the error: the ends of a 90 % interval and its centre."""
NARROWEST = 1e-3
"""Shortest arm, in units of the movie's range; a grey level is 0.004."""
FAR = 5.0
"""Features are cut at this many standard deviations."""
BATCH, RATE, DECAY, LOOKS = 8192, 3e-3, 1e-4, 10
"""Pixels of a training step, learning rate, weight decay, and how often the held-out clips are looked at."""
FEWEST = 3
"""Fewest clips that tell whether the features help."""


class Arms(NamedTuple):
    """Centre of an interval relative to the estimate, and its length below and above the centre, all `[…]`."""

    centre: Tensor
    below: Tensor
    above: Tensor

    def scores(self, error: Tensor) -> Tensor:
        """Return the smallest factor by which the arms must be stretched to reach an error (truth − estimate)."""
        off = error - self.centre
        return torch.maximum(-off / self.below, off / self.above)


class QuantileHeads(nn.Module):
    """A small network: features `[P,F]` → arms `[P]`. Before training they are those of all errors together."""

    mean: Tensor
    scale: Tensor

    def __init__(self, count: int, hidden: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("scale", torch.ones(count))
        self.body = nn.Sequential(nn.Linear(count, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.out = nn.Linear(hidden, 3)

    def forward(self, features: Tensor) -> Arms:
        """Return the arms `[P]` at features `[P,F]`."""
        standard = ((features - self.mean) / self.scale).clamp(-FAR, FAR)
        centre, below, above = self.out(self.body(standard)).unbind(-1)
        return Arms(centre, below.exp().clamp_min(NARROWEST), above.exp().clamp_min(NARROWEST))

    def start(self, features: Tensor, errors: Tensor, generator: torch.Generator) -> None:
        """Set the scales of features, draw the weights, and set the outputs to the quantiles of all errors."""
        self.mean.copy_(features.mean(0))
        self.scale.copy_(features.std(0).clamp_min(1e-6))
        for layer in (module for module in self.body if isinstance(module, nn.Linear)):
            nn.init.xavier_normal_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
        low, middle, high = torch.quantile(errors, torch.tensor(TAILS, dtype=errors.dtype)).tolist()
        arms = torch.tensor([middle - low, high - middle]).clamp_min(NARROWEST).log().tolist()
        nn.init.zeros_(self.out.weight)
        with torch.no_grad():
            self.out.bias.copy_(torch.tensor([middle, *arms]))


def pinball(arms: Arms, error: Tensor) -> Tensor:
    """Return the pinball loss `[P]` of the three quantiles; the centre learns from its own quantile only."""
    centre = arms.centre.detach()
    quantiles = (centre - arms.below, arms.centre, centre + arms.above)
    return torch.stack([_loss(error - found, tail) for found, tail in zip(quantiles, TAILS, strict=True)]).sum(0)


def _loss(off: Tensor, tail: float) -> Tensor:
    return torch.maximum(tail * off, (tail - 1) * off)


def fit_heads(
    features: list[Tensor], errors: list[Tensor], settings: CalibrationSettings, generator: torch.Generator
) -> QuantileHeads:
    """Return heads fitted to features `[P,F]` and errors `[P]` of each clip.

    A third of the clips is held out: training stops at the lowest loss on them, and the features are used only if they
    lower it by more than its standard error over these clips; else the arms are the same everywhere.
    """
    held = len(errors) // 3
    train_features, train_errors = torch.cat(features[held:]), torch.cat(errors[held:])
    heads = QuantileHeads(train_features.shape[1], settings.hidden)
    heads.start(train_features, train_errors, generator)
    plain = _copied(heads)
    if held < FEWEST:
        return heads
    constant = best = _held_out(heads, features[:held], errors[:held])
    kept = plain
    optimiser = torch.optim.AdamW(heads.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    for step in range(1, settings.steps + 1):
        chosen = torch.randint(len(train_errors), (min(BATCH, len(train_errors)),), generator=generator)
        optimiser.zero_grad()
        loss = pinball(heads(train_features[chosen]), train_errors[chosen]).mean()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
        if step % max(settings.steps // LOOKS, 1) == 0:
            found = _held_out(heads, features[:held], errors[:held])
            if found.mean() < best.mean():
                best, kept = found, _copied(heads)
    heads.load_state_dict(kept if _lower(best, constant) else plain)
    return heads


def _copied(heads: QuantileHeads) -> Mapping[str, Tensor]:
    return {name: value.clone() for name, value in heads.state_dict().items()}


@torch.no_grad()
def _held_out(heads: QuantileHeads, features: list[Tensor], errors: list[Tensor]) -> Tensor:
    return torch.stack([pinball(heads(one), error).mean() for one, error in zip(features, errors, strict=True)])


def _lower(found: Tensor, constant: Tensor) -> bool:
    gain = constant - found
    return bool(gain.mean() > gain.std() / len(gain) ** 0.5)
