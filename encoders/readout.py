"""The full Gaussian readout of neuralpredictors: sampled for training, as one sparse matrix when frozen."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def gaussian_readout(in_shape: tuple[int, int, int], neurons: int, *, init_sigma: float = 0.2) -> nn.Module:
    """Return neuralpredictors' FullGaussian2d; the global generator is left as it was."""
    from neuralpredictors.layers.readouts import FullGaussian2d

    with torch.random.fork_rng(devices=[]):
        readout: nn.Module = FullGaussian2d(in_shape, neurons, bias=True, init_mu_range=0.8, init_sigma=init_sigma)
    return readout


def sampled_readout(
    readout: Any, features: Tensor, generator: torch.Generator, shift: Tensor | None = None
) -> Tensor:
    """Return drives `[M,N]` at positions drawn afresh per frame, μ + Σ·noise, as in training (Lurz et al. 2021).

    The same as `readout(features)` in training mode, except that the noise comes from a given generator.
    """
    frames, neurons = len(features), readout.outdims
    noise = torch.randn(frames, neurons, 2, generator=generator).to(features)
    grid = torch.einsum("ncd,bnd->bnc", readout.sigma[0], noise) + readout.mu[0, :, 0]
    grid = grid.clamp(-1, 1) if shift is None else grid.clamp(-1, 1) + shift[:, None]
    at = functional.grid_sample(features, grid[:, :, None], align_corners=True)[..., 0]
    return torch.einsum("bcn,cn->bn", at, readout.features[0, :, 0]) + readout.bias


@torch.no_grad()
def readout_matrix(readout: Any) -> Tensor:
    """Return the readout at its mean positions as a sparse matrix `[N, h·w·C]` (features channels-last).

    Row n holds bilinear corner weights × feature weights: 4·C entries; the bias stays outside.
    """
    channels, height, width = readout.in_shape
    position = (readout.mu[0, :, 0].clamp(-1, 1) + 1) / 2
    x, y = position[:, 0] * (width - 1), position[:, 1] * (height - 1)
    left, top = x.floor().clamp(max=max(width - 2, 0)), y.floor().clamp(max=max(height - 2, 0))
    rows, columns, values = [], [], []
    for down in (0, 1):
        for right in (0, 1):
            weight = (1 - (y - top - down).abs()).clamp_min(0) * (1 - (x - left - right).abs()).clamp_min(0)
            place = (top + down).clamp(max=height - 1) * width + (left + right).clamp(max=width - 1)
            columns.append(place.long()[:, None] * channels + torch.arange(channels, device=place.device))
            values.append(weight[:, None] * readout.features[0, :, 0].T)
            rows.append(torch.arange(len(weight), device=place.device)[:, None].expand(-1, channels))
    index = torch.stack([torch.cat(rows).flatten(), torch.cat(columns).flatten()])
    size = (readout.outdims, height * width * channels)
    return torch.sparse_coo_tensor(index, torch.cat(values).flatten(), size, check_invariants=False).coalesce()


class SparseReadout(torch.autograd.Function):
    """drives `[M,N]` = features `[M,h·w·C]` Sᵀ, with its gradient gS written out; S and Sᵀ are CSR and constant.

    Forward multiplies a row-major copy, backward a column-major view: each is the faster one for its shape.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        """Multiply with S."""
        ctx.save_for_backward(transposed)
        return (matrix @ features.T.contiguous()).T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Multiply with Sᵀ."""
        (transposed,) = ctx.saved_tensors
        return (transposed @ gradients[0].contiguous().T).T, None, None
