"""The full Gaussian readout of neuralpredictors: sampled for training, as one sparse matrix when frozen."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


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
    """A readout at fixed positions: `values` `[N·4·C]` at (`rows`, `columns`) of S `[N, h·w·C]`, and S, Sᵀ as CSR."""

    values: Tensor
    rows: Tensor
    columns: Tensor
    forward: Tensor
    transposed: Tensor


def readout_matrix(readout: Any, positions: Tensor) -> Matrix:
    """Return the sparse matrix of a readout at positions `[N,2]` (x, y in −1 … 1, corners aligned).

    Row n holds bilinear corner weights × feature weights for features with channels last; the bias stays outside.
    """
    channels, height, width = readout.in_shape
    x, y = ((positions.clamp(-1, 1) + 1) / 2 * positions.new_tensor([width - 1, height - 1])).unbind(1)
    left, top = (at.detach().floor().clamp(max=max(side - 2, 0)) for at, side in ((x, width), (y, height)))
    corners = [
        ((1 - (y - top - down).abs()) * (1 - (x - left - right).abs()), (top + down) * width + left + right)
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1))
        if down < height and right < width
    ]
    weight = torch.stack([corner[0] for corner in corners], 1)
    place = torch.stack([corner[1] for corner in corners], 1).long()
    values = (weight[:, :, None] * readout.features[0, :, 0].T[:, None]).flatten()
    columns = (place[:, :, None] * channels + torch.arange(channels, device=place.device)).flatten()
    rows = torch.arange(len(place), device=place.device).repeat_interleave(len(corners) * channels)
    size = (len(place), height * width * channels)
    return Matrix(values, rows, columns, *_both_ways(rows, columns, values.detach(), size))


def _both_ways(rows: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    pointer = torch.arange(size[0] + 1, device=rows.device) * (len(rows) // size[0])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse")
        forward = torch.sparse_csr_tensor(pointer, columns, values, size, check_invariants=False)
        order = columns.argsort(stable=True)
        count = torch.bincount(columns, minlength=size[1])
        start = functional.pad(count.cumsum(0), (1, 0))
        flipped = (size[1], size[0])
        return forward, torch.sparse_csr_tensor(start, rows[order], values[order], flipped, check_invariants=False)


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
