"""Point readout at fixed positions, as one sparse matrix from features to drives.

Bilinear sampling at N positions and weighting C channels is linear in the features, with 4·C entries per neuron. The
sparse product costs a small fraction of sampling all channels for all neurons, forward and backward.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor


class _Product(torch.autograd.Function):
    """Sparse × dense matrix product with a gradient for the dense factor only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        ctx.save_for_backward(transposed)
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (transposed,) = ctx.saved_tensors
        return transposed @ gradient, None, None


class FixedReadout:
    """Drives `[B,N]` of features `[B,C,H,W]` read at fixed positions.

    `positions` `[N,2]` are x, y in −1 … 1, corners aligned; `weights` `[C,N]`; `size` (H,W).
    """

    @torch.no_grad()
    def __init__(self, positions: Tensor, weights: Tensor, size: tuple[int, int]) -> None:
        (height, width), (channels, count) = size, weights.shape
        column, row = ((positions + 1) / 2 * positions.new_tensor([width - 1, height - 1])).unbind(1)
        left, top = column.floor().clamp(0, width - 1), row.floor().clamp(0, height - 1)
        right, bottom = (left + 1).clamp_max(width - 1), (top + 1).clamp_max(height - 1)
        across, down = column - left, row - top
        corners = [
            (top, left, (1 - down) * (1 - across)),
            (top, right, (1 - down) * across),
            (bottom, left, down * (1 - across)),
            (bottom, right, down * across),
        ]
        neuron = torch.arange(count, device=weights.device).expand(channels, -1)
        channel = torch.arange(channels, device=weights.device)[:, None]
        pixels = [channel * height * width + (y * width + x).long() for y, x, _ in corners]
        places = torch.stack([neuron.repeat(1, 4).flatten(), torch.cat(pixels, 1).flatten()])
        values = torch.cat([weights * share for _, _, share in corners], 1).flatten()
        shape = (count, channels * height * width)
        with warnings.catch_warnings():
            # Beta status of sparse CSR, and unchecked indices.
            warnings.filterwarnings("ignore", "Sparse", UserWarning)
            matrix = torch.sparse_coo_tensor(places, values, shape).coalesce()
            self.matrix, self.transposed = matrix.to_sparse_csr(), matrix.t().coalesce().to_sparse_csr()

    def __call__(self, features: Tensor) -> Tensor:
        """Return the drives."""
        apply: Any = _Product.apply
        drives: Tensor = apply(features.flatten(1).T.to(self.matrix.dtype).contiguous(), self.matrix, self.transposed)
        return drives.T
