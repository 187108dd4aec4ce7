"""Generalised linear model of ganglion cells: a few separable space–time filters per cell and a soft rectification."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional

from recon.encoders.base import Encoder, Spec
from recon.errors import InputError
from recon.errors.ranges import Count, Positive

FLOOR = 1e-6
"""Lowest rate (responses per frame); keeps the Poisson likelihood finite."""


@dataclass(frozen=True)
class GlmSettings:
    """`lags` frames of history and `rank` separable filters per cell; `mean` and `std` normalise the movie."""

    lags: Count = 20
    rank: Count = 1
    mean: float = 0.5
    std: Positive = 0.125

    def __post_init__(self) -> None:
        if self.lags < 1 or self.rank < 1:
            raise InputError(f"glm: expected lags and rank of at least 1, got {self.lags} and {self.rank}; raise them")
        if not self.std > 0:
            raise InputError(f"glm: expected a std above 0, got {self.std}; take that of the training movies")


class Glm(Encoder):
    """Rates of linear–nonlinear cells without spike history (Chichilnisky 2001; Pillow et al. 2008), causal in time.

        u(n,t) = bias(n) + Σ_r Σ_l time(n,r,l) Σ_p space(n,r,p)·(movie(t−l,p) − mean)/std
        rate(n,t) = gain(n)·log(1 + exp u(n,t))

    `space` `[N,R,H,W]`, `time` `[N,R,L]` (lag 0 first). The history before frame 0 is padded with the mean.
    """

    Settings = GlmSettings

    def __init__(self, spec: Spec, settings: GlmSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or GlmSettings()
        if spec.channels != 1:
            raise InputError(f"channels: expected 1 (grey), got {spec.channels}; convert the movie to grey first")
        self.spec = replace(spec, context=(self.settings.lags - 1, 0), behavior=())
        neurons, rank = len(spec.neuron_ids), self.settings.rank
        self.space = nn.Parameter(torch.zeros(neurons, rank, *spec.frame_size))
        self.time = nn.Parameter(torch.zeros(neurons, rank, self.settings.lags))
        self.bias = nn.Parameter(torch.zeros(neurons))
        self.gain = nn.Parameter(torch.ones(neurons))

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return rates `[B,N,T]` for a movie `[B,1,T,H,W]`; behavior is ignored."""
        normal = (movie[:, 0] - self.settings.mean) / self.settings.std
        drive = separable_drive(normal, self.space, self.time) + self.bias[:, None]
        return self.gain[:, None] * functional.softplus(drive) + FLOOR


def separable_drive(movie: Tensor, space: Tensor, time: Tensor) -> Tensor:
    """Return the drive `[B,N,T]` of a movie `[B,T,H,W]` filtered by `space` `[N,R,H,W]` and causal `time` `[N,R,L]`.

    Space comes first: one matrix product leaves N·R time series, each convolved cheaply.

    >>> impulse = torch.zeros(1, 4, 1, 1).index_fill(1, torch.tensor([1]), 1.0)
    >>> separable_drive(impulse, torch.ones(1, 1, 1, 1), torch.tensor([[[0.0, 2.0, 1.0]]])).tolist()
    [[[0.0, 0.0, 2.0, 1.0]]]
    """
    neurons, rank, lags = time.shape
    series = rearrange(movie.flatten(2) @ rearrange(space, "n r h w -> (h w) (n r)"), "b t nr -> b nr t")
    kernels = rearrange(time.flip(-1), "n r lag -> (n r) 1 lag")
    filtered = functional.conv1d(functional.pad(series, (lags - 1, 0)), kernels, groups=neurons * rank)
    return reduce(filtered, "b (n r) t -> b n t", "sum", r=rank)
