"""An encoder of some of its neurons: a recording has masked the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from recon.encoders.base import Encoder, Portioned


class OfNeurons(Encoder):
    """Rates of the neurons `neuron_ids` of an encoder, in this order."""

    rows: Tensor

    def __init__(self, inner: Encoder, neuron_ids: Sequence[int]) -> None:
        super().__init__()
        place = {neuron: row for row, neuron in enumerate(inner.spec.neuron_ids)}
        self.inner = inner
        self.spec = replace(inner.spec, neuron_ids=tuple(neuron_ids))
        self.padded_in_time = inner.padded_in_time
        self.card = inner.card
        self.register_buffer("rows", torch.tensor([place[neuron] for neuron in neuron_ids]))

    @property
    def canvas(self) -> tuple[int, int]:
        """Size of what the encoder's network sees."""
        return self.inner.canvas

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return rates `[B,N,T]`."""
        rates: Tensor = self.inner(movie, behavior)
        return rates[:, self.rows]

    def fewer_windows(self) -> bool:
        """Run half as many of the encoder's own windows at once; return False where it has none or one."""
        return isinstance(self.inner, Portioned) and self.inner.fewer_windows()
