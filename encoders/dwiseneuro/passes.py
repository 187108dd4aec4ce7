"""Sums over overlapping temporal passes; gradients are computed pass by pass, which keeps memory constant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from recon.errors import InputError

Passes = Sequence[slice]
Sums = Callable[[Tensor, Tensor], Tensor]


def in_passes(sums: Sums, movie: Tensor, behavior: Tensor, passes: Passes, *, again: bool) -> Tensor:
    """Return `[B,N,T]`: the sum of `sums(movie, behavior)` over passes, added in their order.

    With `again` (activation checkpointing), only the inputs of a pass are kept and it is recomputed in the backward
    pass, for the gradients of movie and behavior only, not of weights. One graph over all passes would be worse in two
    ways: small blocks between large temporary ones fragment the C heap, and every pass would add a gradient of the
    clip's length.
    """
    if not again:
        return _added(sums, movie, behavior, passes)
    apply: Any = _Recomputed.apply
    total: Tensor = apply(movie, behavior, sums, passes)
    return total


def _added(sums: Sums, movie: Tensor, behavior: Tensor, passes: Passes) -> Tensor:
    total = None
    for part in passes:
        found = sums(movie[:, :, part], behavior[:, :, part])
        if total is None:
            total = found.new_zeros(*found.shape[:2], movie.shape[2])
        total[..., part] += found
    if total is None:
        raise InputError("passes: expected at least one, got none; take a longer clip")
    return total


class _Recomputed(torch.autograd.Function):
    """Sum over passes whose backward recomputes each pass in the precision of the forward pass."""

    @staticmethod
    def forward(ctx: Any, movie: Tensor, behavior: Tensor, sums: Sums, passes: Passes) -> Tensor:
        device = movie.device.type
        ctx.save_for_backward(movie, behavior)
        ctx.sums, ctx.passes = sums, passes
        ctx.precision = (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))
        return _added(sums, movie, behavior, passes)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, pull: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        wanted = ctx.needs_input_grad[: len(inputs)]
        found = [torch.zeros_like(x) if want else None for x, want in zip(inputs, wanted, strict=True)]
        for part in ctx.passes:
            leaves = [x[:, :, part].detach().requires_grad_(want) for x, want in zip(inputs, wanted, strict=True)]
            with torch.enable_grad(), torch.autocast(*ctx.precision):
                sums = ctx.sums(*leaves)
            grown = [leaf for leaf in leaves if leaf.requires_grad]
            gradients = iter(torch.autograd.grad(sums, grown, pull[..., part]))
            for total in found:
                if total is not None:
                    total[:, :, part] += next(gradients)
        return (*found, None, None)
