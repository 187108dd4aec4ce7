"""Noise ceilings from repeats of a clip, responses `[R,N,T]`; undefined values are NaN."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor

from recon.correlation import normalised, pearson, varies
from recon.errors import InputError


def oracle_correlation(clips: Sequence[Tensor]) -> Tensor:
    """Return `[N]` leave-one-out correlations of each repeat with the mean of the others, over all clips `[R,N,T]`.

    Clips are concatenated in time before correlating, as in the Sensorium competitions.
    """
    pairs = [_leave_one_out(clip.double()) for clip in clips]
    return pearson(torch.cat([one for one, _ in pairs], -1), torch.cat([rest for _, rest in pairs], -1))


def split_half(responses: Tensor, *, generator: torch.Generator, halves: int = 100) -> Tensor:
    """Return `[N]` split-half correlations: means of two random halves of the repeats, averaged over `halves` draws.

    If the number of repeats is odd, each draw leaves out a random one.
    """
    repeats = _repeats(responses)
    ranks = torch.rand(halves, repeats, generator=generator).argsort(1)
    first, second = ranks < repeats // 2, (ranks >= repeats // 2) & (ranks < 2 * (repeats // 2))
    return _halves_correlation(responses, first, second).mean(-1)


def alternating_halves(responses: Tensor) -> Tensor:
    """Return `[N]` correlations of the mean of repeats 0, 2, 4 … with the mean of repeats 1, 3, 5 … in temporal order.

    Slow drift affects both halves alike, so this exceeds the mean over random halves where animals tire.
    """
    places = torch.arange(_repeats(responses))[None]
    return _halves_correlation(responses, places % 2 == 0, places % 2 == 1)[:, 0]


def spearman_brown(reliability: Tensor) -> Tensor:
    """Return the reliability of all repeats from the correlation r of two halves: 2 r / (1 + |r|).

    Spearman (1910) and Brown (1910) for r ≥ 0; extended as an odd function, so that noise stays symmetric around 0.

    >>> spearman_brown(torch.tensor([0.5, -0.5])).round(decimals=3).tolist()
    [0.6669999957084656, -0.6669999957084656]
    """
    return 2 * reliability / (1 + reliability.abs())


def joined_repeats(clips: Sequence[Tensor]) -> Tensor:
    """Concatenate clips `[R_c,N,T_c]` in time to repeats of one long clip `[R,N,T]`.

    Clips with fewer than R repeats are dropped; of the others, the first R repeats are used. R maximises R · T.
    """
    for clip in clips:
        _repeats(clip)
    kept = {count: [clip for clip in clips if len(clip) >= count] for count in {len(clip) for clip in clips}}
    most = max(kept, key=lambda count: (count * sum(clip.shape[-1] for clip in kept[count]), count))
    return torch.cat([clip[:most] for clip in kept[most]], -1)


def signal_power(responses: Tensor) -> Tensor:
    """Return `[N]` SP = (Var Σ_r y_r − Σ_r Var y_r) / (R (R − 1)) (Sahani & Linden 2003; Schoppe et al. 2016)."""
    repeats = _repeats(responses)
    total = responses.double().sum(0).var(-1, correction=0)
    alone = responses.double().var(-1, correction=0).sum(0)
    return (total - alone) / (repeats * (repeats - 1))


def noise_power(responses: Tensor) -> Tensor:
    """Return `[N]` NP = mean_r Var y_r − SP (Sahani & Linden 2003)."""
    return responses.double().var(-1, correction=0).mean(0) - signal_power(responses)


def explainable_variance(responses: Tensor) -> Tensor:
    """Return `[N]` the repeatable fraction of single-trial variance, SP / (SP + NP); NaN for silent neurons."""
    total, power = responses.double().var(-1, correction=0).mean(0), responses.double().square().mean((0, -1))
    return signal_power(responses) / torch.where(varies(total, power), total, torch.nan)


def correlation_ceiling(responses: Tensor) -> Tensor:
    """Return `[N]` CCmax = √(SP / Var ȳ): ceiling of the correlation with the mean response (Schoppe et al. 2016)."""
    power, variation = signal_power(responses), responses.double().mean(0).var(-1, correction=0)
    return torch.where(power > 0, power / variation, torch.nan).sqrt()


def normalised_correlation(responses: Tensor, prediction: Tensor) -> Tensor:
    """Return `[N]` CCnorm = Cov(ŷ, ȳ) / √(Var ŷ · SP) of a prediction `[N,T]` (Schoppe et al. 2016)."""
    mean, prediction = responses.double().mean(0), prediction.double()
    deviation = prediction - prediction.mean(-1, keepdim=True)
    variance = prediction.var(-1, correction=0)
    scale = (variance * signal_power(responses)).clamp(min=0).sqrt()
    defined = varies(variance, prediction.square().mean(-1)) & (scale > 0)
    return (deviation * mean).mean(-1) / torch.where(defined, scale, torch.nan)


def _leave_one_out(clip: Tensor) -> tuple[Tensor, Tensor]:
    """Return each repeat and the mean of the others, both `[N, R·T]`."""
    rest = (clip.sum(0) - clip) / (_repeats(clip) - 1)
    return rearrange(clip, "r n t -> n (r t)"), rearrange(rest, "r n t -> n (r t)")


def _halves_correlation(responses: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return `[N,S]` correlations between sums of repeats; `first` and `second` `[S,R]` select S pairs of halves.

    The covariances of the sums follow from the covariance `[N,R,R]` of the repeats, computed once.
    """
    repeats = responses.double().transpose(0, 1)
    mean = repeats.mean(-1)
    centred = repeats - mean[..., None]
    covariance = centred @ centred.transpose(1, 2)
    one, other = first.double(), second.double()
    between = torch.einsum("sr,nrq,sq->ns", one, covariance, other)
    squares = [torch.einsum("sr,nrq,sq->ns", chosen, covariance, chosen) for chosen in (one, other)]
    constant = [repeats.shape[-1] * (mean @ chosen.T).square() for chosen in (one, other)]
    powers = squares[0] + constant[0], squares[1] + constant[1]
    return normalised(between, (squares[0], squares[1]), powers)


def _repeats(responses: Tensor) -> int:
    if responses.ndim != 3 or len(responses) < 2:
        raise InputError(f"repeats: expected responses [R,N,T] with R ≥ 2, got {tuple(responses.shape)}; stack repeats")
    return len(responses)
