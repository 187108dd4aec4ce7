"""What every encoder is: a module from movie (and behavior) to rates, with a Spec that says what it expects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from recon.errors import InputError

BEHAVIOR_CHANNELS = ("pupil_dilation", "running_speed", "pupil_x", "pupil_y")
"""Order of the channels in a behavior tensor `[B,4,T]`, in the units of the recording's files."""


@dataclass(frozen=True)
class Spec:
    """What an encoder sees and what it returns.

    `frame_size` is (height, width) in pixels, `degrees_per_pixel` and `frame_rate` (Hz) fix the visual scale,
    `context` counts the frames before and after on which a rate depends, `neuron_ids` are the recording's unit
    ids in the order of the rates, `behavior` names the channels of `BEHAVIOR_CHANNELS` that the encoder uses,
    and `response_transform` says what the rates predict: "raw" responses or responses "divided by std".
    """

    frame_size: tuple[int, int]
    neuron_ids: tuple[int, ...]
    frame_rate: float = 30.0
    degrees_per_pixel: float = 1.45
    channels: int = 1
    context: tuple[int, int] = (0, 0)
    behavior: tuple[str, ...] = ()
    response_transform: str = "raw"


class Encoder(nn.Module, ABC):
    """A forward model of a population: movie `[B,C,T,H,W]` in [0,1] → rates `[B,N,T]`.

    Rates near the start (end) of a movie, where `spec.context` reaches outside, rest on the encoder's own
    padding, unless it slides windows that are never padded (`padded_in_time` is false): then they rest on fewer of
    them. Range, luminance, padding, z-scoring and sliding windows belong inside the encoder.
    """

    spec: Spec
    padded_in_time: bool = True

    @property
    def canvas(self) -> tuple[int, int]:
        """Size (height, width) of what the network sees: the frame's, or larger where it sets the frame in a border.

        With a border the encoder also takes a movie of this size, and behavior spread over it `[B,4,T,height,width]`.
        """
        return self.spec.frame_size

    @abstractmethod
    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return rates `[B,N,T]` for movie `[B,C,T,H,W]` and behavior `[B,4,T]` (see `BEHAVIOR_CHANNELS`)."""


@runtime_checkable
class TemporalFirst(Protocol):
    """An encoder that mixes frames only in a linear causal filter that comes first.

    Its rates are `respond(filtered(movie), behavior)`, and `respond` treats every frame alone. Overlapping sub-clips
    can then share the costly part.
    """

    spec: Spec

    def filtered(self, movie: Tensor, *, padded: bool = True) -> Tensor:
        """Return what later stages see, `[B,T,…]`, linear in the movie `[B,C,T,H,W]`.

        Without padding only the frames whose context lies inside the movie are returned, `[B,T−before,…]`.
        """
        ...

    def respond(self, planes: Tensor, behavior: Tensor | None) -> Tensor:
        """Return rates `[B,N,T]` for filtered movies `[B,T,…]`."""
        ...


@runtime_checkable
class Portioned(Protocol):
    """An encoder that runs its own windows, some of them at once."""

    def fewer_windows(self) -> bool:
        """Run half as many windows at once from now on; return False where it is one already."""
        ...


@runtime_checkable
class Unnamed(Protocol):
    """An encoder from a published file, which counts its neurons but does not name them."""

    def for_neurons(self, neuron_ids: tuple[int, ...]) -> Encoder:
        """Say which recorded neurons its places are; raises InputError where their number is another."""
        ...


def with_neurons(spec: Spec, neuron_ids: tuple[int, ...], *, mouse: str = "") -> Spec:
    """Return a Spec whose neurons are those of a recording, in its order; raises InputError where it has others."""
    expected = len(spec.neuron_ids)
    if len(neuron_ids) != expected:
        raise InputError(
            f"neurons: expected {expected} as in the readout{mouse and f' of mouse {mouse}'}, got {len(neuron_ids)}; "
            "name the mouse of this recording, or train an encoder on it"
        )
    return replace(spec, neuron_ids=tuple(neuron_ids))


def freeze(encoder: Encoder) -> Encoder:
    """Return the encoder in evaluation mode with no parameter gradients; only the movie can still be optimised."""
    return encoder.eval().requires_grad_(False)


def device_of(module: nn.Module) -> torch.device:
    """Return the device of a module's first parameter or buffer; the CPU where it has none."""
    return next((tensor.device for tensor in (*module.parameters(), *module.buffers())), torch.device("cpu"))


def resolve_device(device: str = "auto") -> torch.device:
    """Return the torch device that a setting names: "auto" is CUDA where there is one, else the CPU.

    Raises InputError for a name that torch does not know.

    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device != "auto":
        try:
            return torch.device(device)
        except RuntimeError as error:
            raise InputError(f"device: expected auto, cpu, cuda or cuda:0, got {device!r}; correct it") from error
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
