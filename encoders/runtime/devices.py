"""One encoder on several devices: copies take passes in turn, so that windows and members run in parallel."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from recon.encoders.base import Encoder, Portioned, TemporalFirst


class Copies(nn.Module):
    """Copies of an encoder, one per device, used in turn from number `first`."""

    def __init__(self, inner: Encoder, devices: Sequence[torch.device], first: int) -> None:
        super().__init__()
        self.copies = nn.ModuleList([copy.deepcopy(inner).to(device) for device in devices])
        self.devices, self.turn = tuple(devices), first

    def next(self) -> tuple[Encoder, torch.device]:
        """Return the copy whose turn it is, and its device."""
        place = self.turn % len(self.devices)
        self.turn += 1
        return cast(Encoder, self.copies[place]), self.devices[place]

    def fewer_windows(self) -> bool:
        """Halve how many of its own windows each copy runs at once; return False where it has none or one."""
        halved = [isinstance(inner, Portioned) and inner.fewer_windows() for inner in self.copies]
        return all(halved)


class Replicated(Encoder):
    """An encoder on several devices; rates come back to the movie's.

    Devices work asynchronously, so that independent passes (windows of a clip, members of an ensemble that begin with
    different devices) run at the same time. Gradients flow through.
    """

    def __init__(self, inner: Encoder, devices: Sequence[torch.device], *, first: int = 0) -> None:
        super().__init__()
        self.copies, self._canvas = Copies(inner, devices, first), inner.canvas
        self.spec, self.padded_in_time = inner.spec, inner.padded_in_time

    @property
    def canvas(self) -> tuple[int, int]:
        """Frame size of the encoder's network input."""
        return self._canvas

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return rates `[B,N,T]`, computed by the copy whose turn it is."""
        asked, device = self.copies.next()
        rates: Tensor = asked(movie.to(device), None if behavior is None else behavior.to(device))
        return rates.to(movie.device)

    def fewer_windows(self) -> bool:
        """Run half as many of the encoder's own windows at once; return False where it has none or one."""
        return self.copies.fewer_windows()


class ReplicatedTemporal(Encoder):
    """`Replicated` for an encoder that filters time first: copies take turns at the filters and at the later stages."""

    def __init__(self, inner: Encoder, devices: Sequence[torch.device], *, first: int = 0) -> None:
        super().__init__()
        self.whole = Replicated(inner, devices, first=first)
        self.copies = self.whole.copies
        self.spec, self.padded_in_time = inner.spec, inner.padded_in_time

    @property
    def canvas(self) -> tuple[int, int]:
        """Frame size of the encoder's network input."""
        return self.whole.canvas

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return rates `[B,N,T]`, computed by the copy whose turn it is."""
        rates: Tensor = self.whole(movie, behavior)
        return rates

    def filtered(self, movie: Tensor, *, padded: bool = True) -> Tensor:
        """Return what later stages see, `[B,T,…]`, on the movie's device."""
        asked, device = self.copies.next()
        return cast(TemporalFirst, asked).filtered(movie.to(device), padded=padded).to(movie.device)

    def respond(self, planes: Tensor, behavior: Tensor | None) -> Tensor:
        """Return rates `[B,N,T]` for filtered movies `[B,T,…]`, on their device."""
        asked, device = self.copies.next()
        rates = cast(TemporalFirst, asked).respond(planes.to(device), None if behavior is None else behavior.to(device))
        return rates.to(planes.device)


def original(encoder: Encoder) -> Encoder:
    """Return the encoder that was replicated (its first copy), or the encoder itself."""
    if isinstance(encoder, Replicated | ReplicatedTemporal):
        return cast(Encoder, encoder.copies.copies[0])
    return encoder


def replicate(encoder: Encoder, devices: Sequence[torch.device], *, first: int = 0) -> Encoder:
    """Return an encoder on several devices, the first pass on number `first`; itself where no devices are named."""
    if not devices:
        return encoder
    kind = ReplicatedTemporal if isinstance(encoder, TemporalFirst) else Replicated
    return kind(encoder, devices, first=first)
