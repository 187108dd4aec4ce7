"""Correlations of rates with responses, both `[B,N,T]`: per clip, pooled over clips, and between repeats."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from recon.correlation import mean_defined, pearson
from recon.errors import InputError


def response_correlation(
    rates: Tensor, responses: Tensor, neurons: Tensor | None = None, frames: Tensor | None = None
) -> Tensor:
    """Return the mean over neurons of Pearson's r over time, per clip `[B]`.

    `neurons` `[N]` and `frames` `[T]` or `[B,T]` are bool masks. Neurons that are constant in a clip are excluded; a
    clip with constant neurons only is NaN.
    """
    weight = _weight(rates, responses, neurons=neurons, frames=frames)
    return mean_defined(pearson(rates, responses, weight)).float()


def pooled_response_correlation(
    rates: Tensor, responses: Tensor, neurons: Tensor | None = None, frames: Tensor | None = None
) -> Tensor:
    """Return the mean over neurons `[]` of Pearson's r over the concatenated clips (Sensorium's single-trial r)."""
    weight = _weight(rates, responses, neurons=neurons, frames=frames)
    joined = (rearrange(value, "b n t -> n (b t)") for value in (rates, responses, weight))
    return mean_defined(pearson(*joined)).float()


def judge_correlation(
    judge_rates: Tensor, reference: Tensor, neurons: Tensor | None = None, frames: Tensor | None = None
) -> Tensor:
    """Return `response_correlation` `[B]` between a judge's rates for a reconstruction and held-out activity.

    `reference` `[B,N,T]` is the mean of other repeats (`other_repeats`) or a simulation's noise-free rates. The judge
    is an encoder of another architecture that was not used for the reconstruction.
    """
    return response_correlation(judge_rates, reference, neurons, frames)


def other_repeats(responses: Tensor) -> Tensor:
    """Return the leave-one-out means `[R,N,T]` of R repeats of a clip; NaN for a single repeat.

    >>> other_repeats(torch.tensor([1.0, 2.0, 6.0]).reshape(3, 1, 1)).flatten()
    tensor([4.0000, 3.5000, 1.5000])
    """
    if len(responses) < 2:
        return torch.full_like(responses, torch.nan)
    return (responses.sum(0, keepdim=True) - responses) / (len(responses) - 1)


def oracle_correlation(responses: Tensor, neurons: Tensor | None = None, frames: Tensor | None = None) -> Tensor:
    """Return the noise ceiling `[]` of one clip: mean correlation of repeats `[R,N,T]` with the mean of the others."""
    return mean_defined(response_correlation(responses, other_repeats(responses), neurons, frames))


def _weight(rates: Tensor, responses: Tensor, *, neurons: Tensor | None, frames: Tensor | None) -> Tensor:
    if rates.shape != responses.shape or rates.ndim != 3:
        raise InputError(
            f"responses: expected rates and responses of equal shape [B,N,T], got {tuple(rates.shape)} and "
            f"{tuple(responses.shape)}; bring both to the same neurons and frames"
        )
    weight = torch.ones_like(rates, dtype=torch.bool)
    if neurons is not None:
        weight = weight & neurons.to(rates.device)[:, None]
    if frames is not None:
        weight = weight & (frames[None, None] if frames.ndim == 1 else frames[:, None]).to(rates.device)
    return weight
