"""Divergence, sample by sample: one that is no longer finite stops, the others of its batch continue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from recon.types import Iterate, Uncertainty

Diverged = dict[int, str]
"""Sample → the reason why it stopped and a remedy."""


def hold_diverged(iterate: Iterate, last: Iterate | None, diverged: Diverged, *, step: int) -> Iterate:
    """Return the iterate with every diverged sample at its last finite movie and terms; add new ones to `diverged`.

    Once diverged, a sample is held: its later values are ignored. Without a finite iterate its movie is grey and its
    terms are undefined (NaN).
    """
    for sample, name in _not_finite(iterate).items():
        diverged.setdefault(sample, f"{name} is not finite at iterate {step}; lower the step or raise the prior")
    if not diverged:
        return iterate
    held = torch.zeros(len(iterate.movie), dtype=torch.bool, device=iterate.movie.device)
    held[list(diverged)] = True
    before = last or Iterate(torch.full_like(iterate.movie, 0.5), {})
    return replace(
        iterate,
        movie=_held(held, before.movie, iterate.movie),
        terms={name: _held(held, before.terms.get(name), value) for name, value in iterate.terms.items()},
        uncertainty=_held_uncertainty(held, before.uncertainty, iterate.uncertainty),
    )


def ending(count: int, status: str, message: str, diverged: Mapping[int, str]) -> tuple[tuple[str, ...], ...]:
    """Return the statuses and the messages of `count` samples of a run that ended with a status and a message."""
    statuses = tuple("diverged" if sample in diverged else status for sample in range(count))
    return statuses, tuple(diverged.get(sample, message) for sample in range(count))


def summary(count: int, status: str, message: str, diverged: Mapping[int, str]) -> tuple[str, str]:
    """Return one status and one message for a batch of `count` samples: "diverged" only where all of them have.

    >>> summary(3, "finished", "", {1: "movie is not finite at iterate 2"})
    ('finished', '1 of 3 samples diverged: movie is not finite at iterate 2')
    """
    if not diverged:
        return status, message
    reasons = "; ".join(dict.fromkeys(diverged.values()))
    if len(diverged) == count:
        return "diverged", reasons
    return status, "; ".join(filter(None, [message, f"{len(diverged)} of {count} samples diverged: {reasons}"]))


def _not_finite(iterate: Iterate) -> dict[int, str]:
    """Return the samples with a value that is not finite, each with the name of the first such value."""
    found: dict[int, str] = {}
    for name, value in {"movie": iterate.movie, **iterate.terms}.items():
        finite = torch.isfinite(value)
        if not bool(finite.all()):
            for sample in (~finite.flatten(1).all(1) if finite.dim() > 1 else ~finite).nonzero().flatten().tolist():
                found.setdefault(sample, name)
    return found


def _held(held: Tensor, before: Tensor | None, now: Tensor) -> Tensor:
    before = torch.full_like(now, torch.nan) if before is None else before
    return torch.where(held.reshape(-1, *[1] * (now.dim() - 1)), before, now)


def _held_uncertainty(held: Tensor, before: Uncertainty | None, now: Uncertainty | None) -> Uncertainty | None:
    known = None if before is None else before.deviation
    return None if now is None else now._replace(deviation=_held(held, known, now.deviation))
