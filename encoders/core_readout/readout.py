"""The full Gaussian readout of neuralpredictors: sampled for training, as one sparse matrix when frozen."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

MOST_PADDING = 4
"""Rows of a readout by places for every row that some neuron has; with more of them the sparse matrix is faster."""


def learnt(*parts: Tensor) -> bool:
    """Say whether gradients of some of the parts are being recorded."""
    return torch.is_grad_enabled() and any(part.requires_grad for part in parts)


def gaussian_readout(in_shape: tuple[int, int, int], neurons: int, *, init_sigma: float = 0.2) -> nn.Module:
    """Return neuralpredictors' FullGaussian2d; the global generator is left as it was."""
    from neuralpredictors.layers.readouts import FullGaussian2d

    with torch.random.fork_rng(devices=[]):
        readout: nn.Module = FullGaussian2d(
            in_shape, neurons, bias=True, init_mu_range=0.8, init_sigma=init_sigma, mean_activity=torch.zeros(neurons)
        )
    return readout


def sampled_positions(readout: Any, generator: torch.Generator) -> Tensor:
    """Return positions `[N,2]` drawn around the means, μ + Σ·noise, one draw for a whole batch (Lurz et al. 2021)."""
    mean = readout.mu[0, :, 0]
    noise = torch.randn(mean.shape, generator=generator).to(mean)
    grid: Tensor = mean + torch.einsum("ncd,nd->nc", readout.sigma[0], noise)
    return grid.clamp(-1, 1)


@dataclass(frozen=True)
class Matrix:
    """A readout at fixed places: the `values` `[N·E]` of S `[N,K]` with their graph, and S and Sᵀ as constant CSR."""

    values: Tensor
    forward: Tensor
    transposed: Tensor


def readout_matrix(readout: Any, positions: Tensor) -> Matrix:
    """Return the sparse matrix of a readout at positions `[N,2]` (x, y in −1 … 1, corners aligned).

    Row n holds bilinear corner weights × feature weights for features with channels last; the bias stays outside.
    """
    channels, height, width = readout.in_shape
    values, place = _corners(readout, positions)
    columns = place[:, :, None] * channels + torch.arange(channels, device=place.device)
    return sparse_matrix(values.flatten(1), columns.flatten(1), height * width * channels)


def _corners(readout: Any, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights `[N,corners,C]` and places `[N,corners]` of the features around positions `[N,2]`."""
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
    """A frozen readout place by place: each of P places has up to S rows, a corner of a neuron each.

    `weights` `[P,S,C]`; `slots` `[N,corners]` say which of the P·S rows are a neuron's, `owners` `[P·S]` whose a row is
    (N: nobody's).
    """

    weights: Tensor
    slots: Tensor
    owners: Tensor


@torch.no_grad()
def readout_places(readout: Any, positions: Tensor) -> PlacewiseReadout | Matrix:
    """Return a frozen readout for `PlacedReadout`, or as a matrix where most rows would be nobody's."""
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
    """drives `[M,N]` of features `[M,P,C]`: at every place a small dense product, then each neuron adds its corners.

    On a CPU this takes half the time of the sparse products. Weights are constant.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, places: PlacewiseReadout) -> Tensor:
        """Read all neurons."""
        ctx.places = places
        rows = torch.bmm(places.weights, features.permute(1, 2, 0)).flatten(0, 1)
        neurons, corners = places.slots.shape
        return rows[places.slots.flatten()].reshape(neurons, corners, -1).sum(1).T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Give every row its neuron's gradient."""
        places: PlacewiseReadout = ctx.places
        owned = functional.pad(gradients[0].T, (0, 0, 0, 1))[places.owners]
        rows = owned.reshape(*places.weights.shape[:2], -1)
        return torch.bmm(rows.transpose(1, 2), places.weights).transpose(0, 1), None


def sparse_matrix(values: Tensor, columns: Tensor, width: int) -> Matrix:
    """Return the matrix `[N,width]` with `values` `[N,E]` at `columns` `[N,E]`, rising along each row."""
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
    """Keeps a matrix as long as the tensors that it is made of stay the same; while they are learnt it keeps none."""

    def __init__(self) -> None:
        self._kept: tuple[Any, Kept] | None = None

    def __call__(self, build: Callable[[], Kept], parts: tuple[Tensor, ...], *, learning: bool) -> Kept:
        """Return the matrix of `parts`, built anew where that is needed."""
        if learning or learnt(*parts):
            return build()
        key = tuple((part.data_ptr(), part._version, part.dtype, part.device) for part in parts)
        if self._kept is None or self._kept[0] != key:
            with torch.no_grad():
                self._kept = (key, build())
        return self._kept[1]

    def __deepcopy__(self, memo: dict[int, Any]) -> Keeper[Kept]:
        """Copies of an encoder keep their own."""
        return Keeper()


class SparseReadout(torch.autograd.Function):
    """drives `[M,N]` = features `[M,h·w·C]` Sᵀ for a `Matrix` S, with the gradients gS and gᵀ·features written out.

    Copies between row- and column-major are faster than products of mixed order.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, values: Tensor, matrix: Matrix) -> Tensor:
        """Multiply with S; `values` are those of the matrix, for their gradient."""
        ctx.matrix = matrix
        ctx.save_for_backward(features if values.requires_grad else None)
        return (matrix.forward @ features.T.contiguous()).T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None]:
        """Multiply with Sᵀ; gradients of the values are products of columns, taken only where S has entries."""
        matrix, gradient = ctx.matrix, gradients[0].contiguous()
        (features,) = ctx.saved_tensors
        values = None if features is None else _products(matrix.forward, gradient, features)
        return (matrix.transposed @ gradient.T.contiguous()).T.contiguous(), values, None


def _products(pattern: Tensor, gradient: Tensor, features: Tensor) -> Tensor:
    """Return Σ_m gradient `[M,N]` · features `[M,K]` at the entries of a CSR pattern `[N,K]`."""
    product = torch.sparse.sampled_addmm(pattern, gradient.T, features, beta=0.0)
    values: Tensor = product.values()
    return values
