"""Read-in layer: each neuron adds a feature vector at its receptive field."""

from __future__ import annotations

from typing import Generic, TypeVar

import torch
from einops import rearrange
from torch import Tensor, nn

from recon.methods.linear.lags import Lags

NONLINEARITIES = 2
"""Number of nonlinearities per response: square root and saturation."""


class Transform(nn.Module):
    """Responses `[B,n,T]` → standardised √y and y/(y + median of the positive responses), `[B,2,n,T]`.

    Deconvolved responses are rare events of unreliable amplitude; both nonlinearities compress large events.
    """

    saturation: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, neurons: int) -> None:
        super().__init__()
        self.register_buffer("saturation", torch.ones(neurons))
        self.register_buffer("mean", torch.zeros(NONLINEARITIES, neurons))
        self.register_buffer("std", torch.ones(NONLINEARITIES, neurons))

    @torch.no_grad()
    def measure(self, responses: Tensor) -> None:
        """Set the statistics from training responses `[n,T]`; a constant neuron maps to zero."""
        positive = responses.clamp_min(0)
        overall = positive[positive > 0].median() if bool((positive > 0).any()) else torch.ones(())
        medians = [row[row > 0].median() if bool((row > 0).any()) else overall for row in positive]
        self.saturation.copy_(torch.stack(medians))
        values = self._raw(responses[None])[0]
        self.mean.copy_(values.mean(2))
        deviation = values.std(2)
        self.std.copy_(torch.where(deviation > 1e-3 * deviation.mean(), deviation, torch.inf))

    def forward(self, responses: Tensor) -> Tensor:
        """Return the standardised values."""
        return (self._raw(responses) - self.mean[..., None]) / self.std[..., None]

    def _raw(self, responses: Tensor) -> Tensor:
        positive = responses.clamp_min(0)
        return torch.stack([positive.sqrt(), positive / (positive + self.saturation[:, None])], 1)


class GridWeights(nn.Module):
    """Gaussian weights over grid cells, with learnt centre (row, column) and width per neuron, in cells."""

    def __init__(self, neurons: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.centre = nn.Parameter(torch.tensor([side / 2 for side in grid]).expand(neurons, 2).clone())
        self.log_width = nn.Parameter(torch.zeros(neurons))

    def forward(self) -> Tensor:
        """Return the weight of each neuron in each cell `[n,h·w]`; weights of a neuron sum to 1."""
        rows, columns = (torch.arange(side, device=self.centre.device, dtype=self.centre.dtype) for side in self.grid)
        width = self.log_width.exp()[:, None]
        down = torch.exp(-0.5 * ((rows - self.centre[:, :1]) / width) ** 2)
        across = torch.exp(-0.5 * ((columns - self.centre[:, 1:]) / width) ** 2)
        deviation = rearrange(down[:, :, None] * across[:, None], "n h w -> n (h w)")
        return deviation / deviation.sum(1, keepdim=True).clamp_min(1e-6)


class Maps(nn.Module):
    """A fixed image per neuron, such as its most exciting input, scaled by its response."""

    pictures: Tensor

    def __init__(self, neurons: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("pictures", torch.zeros(neurons, grid[0] * grid[1]))

    def forward(self) -> Tensor:
        """Return the images `[n,h·w]`."""
        return self.pictures


Painter = TypeVar("Painter", GridWeights, Maps)


class ReadIn(nn.Module, Generic[Painter]):
    """Responses `[B,n,T]` → features `[B,T',C,h,w]` on a grid, every `stride`-th frame.

    Transformed responses pass temporal filters shared by all neurons, initialised as the bumps of `lags`. Each neuron
    has a vector per filter and nonlinearity, added with the spatial weights of `painter`. `kept_share` is the fraction
    of neurons kept under dropout: without dropout responses are scaled by it (weight scaling; Srivastava et al. 2014),
    so that features keep the size they had in training.
    """

    kept_share: float = 1.0

    def __init__(self, neurons: int, channels: int, painter: Painter, *, lags: Lags, stride: int) -> None:
        super().__init__()
        kernels = lags.kernels()
        self.lags, self.stride = lags, stride
        self.painter: Painter = painter
        self.transform = Transform(neurons)
        self.filters = nn.Parameter(kernels.clone())
        features = NONLINEARITIES * len(kernels)
        self.vectors = nn.Parameter(torch.zeros(neurons, features, channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    @torch.no_grad()
    def initialise(self, responses: Tensor, generator: torch.Generator) -> None:
        """Measure the statistics of responses `[n,T]` and draw the neurons' vectors."""
        self.transform.measure(responses)
        self.vectors.normal_(0, 0.3 * self.vectors.shape[1] ** -0.5, generator=generator)

    def forward(self, responses: Tensor, grid: tuple[int, int], kept: Tensor | None = None) -> Tensor:
        """Return the features; neurons where `kept` `[B,n]` is False are silenced."""
        values = self.transform(responses)
        values = values * (self.kept_share if kept is None else kept[:, None, :, None])
        series = rearrange(values, "b kind n t -> (b kind n) t")
        filtered = self.lags.filtered(series, self.filters, stride=self.stride)
        by_neuron = rearrange(
            filtered, "(b kind n) lag t -> n (b t) (kind lag)", b=len(values), kind=values.shape[1], n=values.shape[2]
        )
        painted = rearrange(by_neuron @ self.vectors, "n bt c -> n (bt c)")
        cells = self.painter().T @ painted
        moved = rearrange(cells, "(h w) (b t c) -> b t c h w", h=grid[0], b=len(values), c=self.vectors.shape[2])
        features: Tensor = moved + self.bias[:, None, None]
        return features
