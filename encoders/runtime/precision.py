"""Precision of encoders: bfloat16 within the encoder, TF32 within a `with` block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from recon.encoders.base import Encoder, Portioned

Precision = Literal["float32", "tf32", "bfloat16"]
SLOW = ("DEFAULT", "AVX2")
"""CPU instruction sets on which torch computes bfloat16 forty times as slowly as float32 (measured)."""


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context that computes products in bfloat16 for precision "bfloat16".

    On a CPU without bfloat16 instructions they stay in float32.
    """
    quick = device.type != "cpu" or torch.backends.cpu.get_cpu_capability() not in SLOW
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16" and quick)


class Lowered(Encoder):
    """An encoder whose products are computed in bfloat16 (autocast); movies, rates and gradients stay float32."""

    def __init__(self, inner: Encoder) -> None:
        super().__init__()
        self.inner, self.spec = inner, inner.spec
        self.padded_in_time = inner.padded_in_time

    @property
    def canvas(self) -> tuple[int, int]:
        """Size of what the encoder's network sees."""
        return self.inner.canvas

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return rates `[B,N,T]` in float32."""
        with autocast(movie.device, "bfloat16"):
            rates: Tensor = self.inner(movie, behavior)
        return rates.float()

    def fewer_windows(self) -> bool:
        """Run half as many of the encoder's own windows at once; return False where it has none or one."""
        return isinstance(self.inner, Portioned) and self.inner.fewer_windows()


@contextmanager
def products(precision: Precision) -> Iterator[None]:
    """Compute products of float32 exactly, or with factors rounded to ten bits for "tf32", within a `with` block.

    This matters on NVIDIA devices only. Torch keeps it as a setting of the process, also for the backward pass; it is
    restored at the end of the block.
    """
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def in_precision(encoder: Encoder, precision: Precision) -> Encoder:
    """Return the encoder in a precision: float32 is the reference, "tf32" takes effect within `products`."""
    return Lowered(encoder) if precision == "bfloat16" else encoder
