"""Full Gaussian readout of neuralpredictors: positions sampled in training, a sparse matrix when frozen."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

MOST_PADDING = 4
"""Largest ratio of padded to occupied rows of a placewise readout; above it the sparse matrix is faster."""


def learnt(*parts: Tensor) -> bool:
    """Return whether gradients are recorded for any of the tensors."""
    return torch.is_grad_enabled() and any(part.requires_grad for part in parts)


def gaussian_readout(in_shape: tuple[int, int, int], neurons: int, *, init_sigma: float = 0.2) -> nn.Module:
    """Return neuralpredictors' FullGaussian2d without advancing torch's global generator.

    It allocates memory even on the meta device, where its parameters are therefore described by their shapes alone.
    """
    if torch.get_default_device().type == "meta":
        sizes = {"_mu": (1, neurons, 1, 2), "sigma": (1, neurons, 2, 2), "bias": (neurons,)}
        described = nn.ParameterDict({"_features": nn.Parameter(torch.empty(1, in_shape[0], 1, neurons))})
        described.update({name: nn.Parameter(torch.empty(size)) for name, size in sizes.items()})
        return described
    from neuralpredictors.layers.readouts import FullGaussian2d

    with torch.random.fork_rng(devices=[]):
        readout: nn.Module = FullGaussian2d(
            in_shape, neurons, bias=True, init_mu_range=0.8, init_sigma=init_sigma, mean_activity=torch.zeros(neurons)
        )
    return readout


def sampled_positions(readout: Any, generator: torch.Generator) -> Tensor:
    """Return positions `[N,2]` sampled around the means, μ + Σ·noise, once per batch (Lurz et al. 2021)."""
    mean = readout.mu[0, :, 0]
    noise = torch.randn(mean.shape, generator=generator).to(mean)
    grid: Tensor = mean + torch.einsum("ncd,nd->nc", readout.sigma[0], noise)
    return grid.clamp(-1, 1)


@dataclass(frozen=True)
class Matrix:
    """Sparse readout matrix S `[N,K]`: differentiable `values` `[N·E]`, and S and Sᵀ as constant CSR tensors."""

    values: Tensor
    forward: Tensor
    transposed: Tensor


def readout_matrix(readout: Any, positions: Tensor) -> Matrix:
    """Return the sparse matrix of a readout at positions `[N,2]` (x, y in −1 … 1, corners aligned).

    Row n holds bilinear weights × feature weights for channels-last features; the bias is not included.
    """
    channels, height, width = readout.in_shape
    values, place = _corners(readout, positions)
    columns = place[:, :, None] * channels + torch.arange(channels, device=place.device)
    return sparse_matrix(values.flatten(1), columns.flatten(1), height * width * channels)


def _corners(readout: Any, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights `[N,corners,C]` and grid indices `[N,corners]` of the features around positions `[N,2]`."""
    _, height, width = readout.in_shape
    x, y = ((positions.clamp(-1, 1) + 1) / 2 * positions.new_tensor([width - 1, height - 1])).unbind(1)
    left, top = (at.detach().floor().clamp(max=max(side - 2, 0)) for at, side in ((x, width), (y, height)))
    corners = [
        ((1 - (y - top - down).abs()) * (1 - (x - left - right).abs()), (top + down) * width + left + right)
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1))
        if down < height and right < width
    ]
    weight = torch.stack([corner[0] for corner in corners], 1)
    place = torch.stack([corner[1] for corner in corners], 1).long()
    return weight[:, :, None] * readout.features[0, :, 0].T[:, None], place


@dataclass(frozen=True)
class PlacewiseReadout:
    """A frozen readout grouped by grid position: P positions with up to S rows each, one row per neuron and corner.

    `weights` `[P,S,C]`; `slots` `[N,corners]` are each neuron's rows among P·S; `owners` `[P·S]` is each row's neuron
    (N: unused).
    """

    weights: Tensor
    slots: Tensor
    owners: Tensor


@torch.no_grad()
def readout_places(readout: Any, positions: Tensor) -> PlacewiseReadout | Matrix:
    """Return a frozen readout for `PlacedReadout`, or a sparse matrix if most rows would be padding."""
    values, place = _corners(readout, positions)
    _, height, width = readout.in_shape
    neurons, pairs = len(place), place.flatten()
    counts = torch.bincount(pairs, minlength=height * width)
    deepest = int(counts.max())
    if deepest * height * width > MOST_PADDING * len(pairs):
        return readout_matrix(readout, positions)
    order = pairs.argsort(stable=True)
    row = torch.empty_like(pairs)
    row[order] = torch.arange(len(pairs), device=pairs.device) - (counts.cumsum(0) - counts)[pairs[order]]
    weights = values.new_zeros(height * width, deepest, values.shape[2])
    weights[pairs, row] = values.flatten(0, 1)
    slots = pairs * deepest + row
    owners = torch.full((height * width * deepest,), neurons, device=pairs.device)
    owners[slots] = torch.arange(neurons, device=pairs.device).repeat_interleave(place.shape[1])
    return PlacewiseReadout(weights, slots.reshape(place.shape), owners)


class PlacedReadout(torch.autograd.Function):
    """Drives `[M,N]` for features `[M,P,C]`: a small dense product per position, then a sum over a neuron's corners.

    On a CPU this takes half the time of the sparse products. Weights are constant.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, places: PlacewiseReadout) -> Tensor:
        """Return the drives of all neurons, in the precision of the weights."""
        ctx.places = places
        with torch.autocast(features.device.type, enabled=False):
            exact = features.to(places.weights.dtype)
            rows = torch.bmm(places.weights, exact.permute(1, 2, 0)).flatten(0, 1)
        neurons, corners = places.slots.shape
        return rows[places.slots.flatten()].reshape(neurons, corners, -1).sum(1).T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient with respect to the features."""
        places: PlacewiseReadout = ctx.places
        owned = functional.pad(gradients[0].T, (0, 0, 0, 1))[places.owners]
        rows = owned.reshape(*places.weights.shape[:2], -1)
        return torch.bmm(rows.transpose(1, 2), places.weights).transpose(0, 1), None


def sparse_matrix(values: Tensor, columns: Tensor, width: int) -> Matrix:
    """Return the matrix `[N,width]` with `values` `[N,E]` at `columns` `[N,E]`, increasing along each row."""
    neurons, entries = values.shape
    pointer = torch.arange(neurons + 1, device=columns.device) * entries
    constant, places = values.detach().flatten(), columns.flatten()
    order = places.argsort(stable=True)
    start = functional.pad(torch.bincount(places, minlength=width).cumsum(0), (1, 0))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse")
        forward = torch.sparse_csr_tensor(pointer, places, constant, (neurons, width), check_invariants=False)
        transposed = torch.sparse_csr_tensor(
            start, order // entries, constant[order], (width, neurons), check_invariants=False
        )
    return Matrix(values.flatten(), forward, transposed)


Kept = TypeVar("Kept")


class Keeper(Generic[Kept]):
    """Cache of a matrix, valid while its source tensors are unchanged; disabled while they are learnt."""

    def __init__(self) -> None:
        self._kept: tuple[Any, Kept] | None = None

    def __call__(self, build: Callable[[], Kept], parts: tuple[Tensor, ...], *, learning: bool) -> Kept:
        """Return the matrix of `parts`, rebuilt if they have changed."""
        if learning or learnt(*parts):
            return build()
        key = tuple((part.data_ptr(), part._version, part.dtype, part.device) for part in parts)
        if self._kept is None or self._kept[0] != key:
            with torch.no_grad():
                self._kept = (key, build())
        return self._kept[1]

    def __deepcopy__(self, memo: dict[int, Any]) -> Keeper[Kept]:
        """Return an empty cache, so that copies of an encoder do not share one."""
        return Keeper()


class SparseReadout(torch.autograd.Function):
    """Drives `[M,N]` = features `[M,h·w·C]` Sᵀ for a `Matrix` S, with explicit gradients gS and gᵀ·features.

    Copying between row- and column-major is faster than products of mixed order.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, values: Tensor, matrix: Matrix) -> Tensor:
        """Return features · Sᵀ in the precision of S; `values` are those of the matrix, passed for their gradient."""
        ctx.matrix, exact = matrix, features.to(matrix.values.dtype)
        ctx.save_for_backward(exact if values.requires_grad else None)
        with torch.autocast(features.device.type, enabled=False):
            return (matrix.forward @ exact.T.contiguous()).T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None]:
        """Return gradient · S, and the gradient of the values at the nonzero entries of S."""
        matrix, gradient = ctx.matrix, gradients[0].contiguous()
        (features,) = ctx.saved_tensors
        values = None if features is None else _products(matrix.forward, gradient, features)
        return (matrix.transposed @ gradient.T.contiguous()).T.contiguous(), values, None


def _products(pattern: Tensor, gradient: Tensor, features: Tensor) -> Tensor:
    """Return Σ_m gradient `[M,N]` · features `[M,K]` at the nonzero entries of a CSR pattern `[N,K]`."""
    product = torch.sparse.sampled_addmm(pattern, gradient.T, features, beta=0.0)
    values: Tensor = product.values()
    return values
