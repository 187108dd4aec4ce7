"""Likelihoods: frozen records, called with rates, responses and a mask, fitted to training trials."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import torch
from einops import rearrange
from torch import Tensor

from recon.errors import InputError


@dataclass(frozen=True)
class Likelihood(ABC):
    """A negative log likelihood of responses given rates, up to terms independent of the rates.

    `by_frame`: whether it is a sum over frames, so that the gradient of a movie is that of its parts.
    """

    by_frame: ClassVar[bool]

    @abstractmethod
    def __call__(self, rates: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
        """Return energies `[B]` of rates and responses `[B,N,K]`, summed over entries where `mask` `[B,N,K]` holds."""

    @abstractmethod
    def fit(self, rates: Tensor, responses: Tensor, mask: Tensor) -> Self:
        """Return a copy fitted to training trials `[B,N,K]`, where `rates` are the encoder's for the true movies."""

    def to(self, device: torch.device | str) -> Self:
        """Return the likelihood with its tensors on a device."""
        values: dict[str, Any] = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return replace(self, **{name: v.to(device) for name, v in values.items() if isinstance(v, Tensor)})


@runtime_checkable
class SamplingLikelihood(Protocol):
    """A likelihood that can sample responses."""

    def sample(self, rates: Tensor, generator: torch.Generator) -> Tensor:
        """Return responses drawn for rates, both `[B,N,K]`, entries independent."""
        ...


def counted(values: Tensor, mask: Tensor, neutral: float) -> Tensor:
    """Return values with `neutral` outside the mask, so that invalid entries reach no gradient."""
    return torch.where(mask, values, torch.full_like(values, neutral))


def fitted(parameter: Tensor | None, like: Tensor) -> Tensor:
    """Return a per-neuron parameter `[N,…]` with type and device of rates `[B,N,K]`; an unfitted one is refused."""
    if parameter is None:
        raise InputError("fidelity: expected fitted parameters, got none; call fit(rates, responses, mask) first")
    if len(parameter) != like.shape[1]:
        raise InputError(
            f"fidelity: expected {len(parameter)} neurons as in its training data, got {like.shape[1]}; "
            "fit it again on this recording"
        )
    return parameter.to(like)


def by_neuron(values: Tensor, samples: int) -> Tensor:
    """Return each neuron's bins over all trials, evenly subsampled to at most M = `samples`: `[N,M]` from `[B,N,K]`."""
    together = rearrange(values.detach(), "b n t -> n (b t)")
    return together[:, :: max(1, math.ceil(together.shape[1] / samples))].contiguous()
