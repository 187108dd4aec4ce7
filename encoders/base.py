"""`Encoder`, the abstract forward model from movie (and behavior) to rates, and `Spec`, its inputs and outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from recon.encoders.summary import as_html, as_text, card_facts, screen
from recon.errors import InputError
from recon.errors.ranges import Count, Positive, UnitId, Whole

BEHAVIOR_CHANNELS = ("pupil_dilation", "running_speed", "pupil_x", "pupil_y")
"""Channel order of a behavior tensor `[B,4,T]`; units are those of the recording's files."""


@dataclass(frozen=True)
class Spec:
    """Input and output contract of an encoder.

    `frame_size` is (height, width) in pixels. `degrees_per_pixel` and `frame_rate` (Hz) fix the visual scale. `context`
    is the number of frames before and after frame t on which the rate at t depends. `neuron_ids` are the recording's
    unit ids in the order of the rates. `behavior` lists the channels of `BEHAVIOR_CHANNELS` that the encoder uses, and
    `behavior_means` one value for each that stands for it where it is unknown; empty where behavior is required.
    `response_transform` is the unit of the rates: "raw" responses or responses "divided by std".
    """

    frame_size: tuple[Count, Count]
    neuron_ids: tuple[UnitId, ...]
    frame_rate: Positive = 30.0
    degrees_per_pixel: Positive = 1.45
    channels: Count = 1
    context: tuple[Whole, Whole] = (0, 0)
    behavior: tuple[str, ...] = ()
    response_transform: str = "raw"
    behavior_means: tuple[float, ...] = ()


class Encoder(nn.Module, ABC):
    """A forward model of a population: movie `[B,C,T,H,W]` in [0,1] → rates `[B,N,T]`.

    Range, luminance, padding, z-scoring and sliding windows belong inside the encoder. Where `spec.context` extends
    beyond the movie, rates depend on the encoder's own padding. Sliding-window encoders do not pad (`padded_in_time` is
    false); their first and last rates average over fewer windows.
    """

    spec: Spec
    padded_in_time: bool = True
    card: Mapping[str, Any] = MappingProxyType({})
    """What a weights file says of itself: its data, the command that trained it, held-out correlations."""
    source_modules: tuple[str, ...] = ()
    """Modules that built the encoder, where its classes do not tell: their code counts as that of its classes."""
    source_digest: str = ""
    """Hash of what built the encoder, and with which settings; empty where class, Spec and weights tell all."""

    @property
    def canvas(self) -> tuple[int, int]:
        """Network input size (height, width): the frame size, or larger if the encoder pads frames.

        A padding encoder also accepts a movie of canvas size, with behavior expanded to `[B,4,T,height,width]`.
        """
        return self.spec.frame_size

    @abstractmethod
    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return rates `[B,N,T]` for movie `[B,C,T,H,W]` and behavior `[B,4,T]` (see `BEHAVIOR_CHANNELS`).

        NaN marks behavior that was not recorded. An encoder refuses it, and None, in the channels that it uses, unless
        its Spec has means of them.
        """

    def _facts(self) -> dict[str, object]:
        spec, (before, after) = self.spec, self.spec.context
        size = sum(parameter.numel() for parameter in self.parameters())
        return {
            "neurons": f"{len(spec.neuron_ids)}, rates {spec.response_transform}",
            "movie": screen(spec.frame_size, spec.degrees_per_pixel, spec.frame_rate),
            "context": f"{before} frames before, {after} after",
            "behavior": (", ".join(spec.behavior) or "none") + " (optional)" * bool(spec.behavior_means),
            "network": f"{size} parameters on {device_of(self)}",
            **card_facts(self.card),
        }

    def __repr__(self) -> str:
        return as_text(f"Encoder {type(self).__name__}", self._facts())

    def _repr_html_(self) -> str:
        return as_html(f"Encoder {type(self).__name__}", self._facts())


@runtime_checkable
class TemporalFirst(Protocol):
    """An encoder whose only temporal operation is an initial linear causal filter.

    Its rates are `respond(filtered(movie), behavior)`, and `respond` treats frames independently. Overlapping sub-clips
    can therefore share one evaluation of `respond`.
    """

    spec: Spec

    def filtered(self, movie: Tensor, *, padded: bool = True) -> Tensor:
        """Return the temporally filtered movie `[B,T,…]`, linear in the movie `[B,C,T,H,W]`.

        With `padded=False`, return only frames whose whole context lies inside the movie, `[B,T−before,…]`.
        """
        ...

    def respond(self, planes: Tensor, behavior: Tensor | None) -> Tensor:
        """Return rates `[B,N,T]` for filtered movies `[B,T,…]`."""
        ...


@runtime_checkable
class Portioned(Protocol):
    """An encoder that evaluates its own sliding windows in batches of adjustable size."""

    def fewer_windows(self) -> bool:
        """Halve the number of windows per batch from now on; return False if it was already 1."""
        ...


@runtime_checkable
class Unnamed(Protocol):
    """An encoder from a published file, which gives the number of its neurons but not their ids."""

    def for_neurons(self, neuron_ids: tuple[int, ...]) -> Encoder:
        """Assign the recording's neuron ids to the readout; raises InputError if their number differs."""
        ...


def with_neurons(spec: Spec, neuron_ids: tuple[int, ...], *, mouse: str = "") -> Spec:
    """Return the Spec with a recording's neuron ids, in its order; raises InputError if their number differs."""
    expected = len(spec.neuron_ids)
    if len(neuron_ids) != expected:
        raise InputError(
            f"neurons: expected {expected} as in the readout{mouse and f' of mouse {mouse}'}, got {len(neuron_ids)}; "
            "name the mouse of this recording, or train an encoder on it"
        )
    return replace(spec, neuron_ids=tuple(neuron_ids))


def freeze(encoder: Encoder) -> Encoder:
    """Return the encoder in evaluation mode, its parameters frozen; gradients flow to the movie only."""
    return encoder.eval().requires_grad_(False)


def device_of(module: nn.Module) -> torch.device:
    """Return the device of a module's first parameter or buffer, or the CPU if it has neither."""
    return next((tensor.device for tensor in (*module.parameters(), *module.buffers())), torch.device("cpu"))


def resolve_device(device: str = "auto") -> torch.device:
    """Return the torch device of a setting; "auto" is CUDA if available, else the CPU.

    Raises InputError for a device name unknown to torch, and for a device that this machine lacks.

    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"device: expected auto, cpu, cuda or cuda:0, got {device!r}; correct it") from error
    if lack := _lack(found):
        raise InputError(f"device: expected one of this machine, got {device!r}, but {lack}; use auto or cpu")
    return found


def _lack(device: torch.device) -> str:
    """Return why a device cannot be used here; empty if it can."""
    if device.type == "cpu":
        return ""
    if device.type == "cuda":
        return _lack_of_cards(device.index or 0)
    if device.type == "mps":
        return "" if torch.backends.mps.is_available() else "torch finds no Metal device"
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError):
        return "torch cannot compute on it here"
    return ""


def _lack_of_cards(index: int) -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        return "this torch is built without CUDA"
    if not torch.cuda.is_available():
        return "torch finds no CUDA driver or no graphics card"
    count = torch.cuda.device_count()
    return "" if index < count else f"there are {count} graphics cards, counted from 0"
