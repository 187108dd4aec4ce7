"""Encoders that compute in another precision, or compiled."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from recon.encoders.base import Encoder, Portioned

Precision = Literal["float32", "tf32", "bfloat16"]
SLOW = ("DEFAULT", "AVX2")
"""Instruction sets of CPUs on which torch computes bfloat16 forty times as slowly as float32 (measured)."""


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which products are computed in bfloat16 where that is asked for.

    A CPU without instructions for bfloat16 computes them in float32, the reference, instead.
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


def in_precision(encoder: Encoder, precision: Precision) -> Encoder:
    """Return the encoder in a precision: float32 is the reference.

    "tf32" rounds the factors of products to ten bits on NVIDIA devices and changes nothing elsewhere; torch keeps this
    as a setting of the whole process, so that it holds for every encoder from then on.
    """
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    return Lowered(encoder) if precision == "bfloat16" else encoder
