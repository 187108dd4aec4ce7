"""Remedies for a module that takes another input than its Spec says: the first other input that it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from recon.encoders.base import Encoder, Spec
from recon.errors import InputError

Shape = tuple[int, ...]


class Attempt(NamedTuple):
    """Another way to call a module: what changes the movie `[B,C,T,H,W]`, and the remedy if the module takes it."""

    change: Callable[[Tensor], Tensor]
    remedy: str


def check_module(module: object) -> None:
    """Raise InputError for anything but an instance of a torch module that is no Encoder yet."""
    if isinstance(module, type):
        raise InputError(f"module: expected a torch module, got the class {module.__name__}; make an instance of it")
    if isinstance(module, Encoder):
        raise InputError(f"module: expected a torch module, got the encoder {type(module).__name__}; use it as it is")
    if not isinstance(module, nn.Module):
        raise InputError(
            f"module: expected a torch module, got {type(module).__name__}; write a torch.nn.Module whose forward "
            "calls it"
        )


def check_signature(module: nn.Module, spec: Spec) -> None:
    """Raise InputError where the module's forward takes behavior and the Spec names none, or the reverse."""
    try:
        parameters = [*inspect.signature(module.forward).parameters.values()]
    except (TypeError, ValueError):  # a compiled module may have none
        return
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return
    places = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    needed = [one.name for one in parameters if one.default is one.empty and one.kind is not one.VAR_KEYWORD]
    if spec.behavior and len(places) < 2:
        raise InputError(
            f"spec.behavior: expected none, as the module's forward takes a movie alone, got {spec.behavior}; leave it "
            "out, or wrap a module with forward(movie, behavior)"
        )
    given = ("movie", "behavior") if spec.behavior else ("movie",)
    if len(needed) > len(given):
        raise InputError(
            f"module: expected forward({', '.join(given)}), got one that needs {needed[len(given)]!r} too; name the "
            "behavior channels in the Spec, or write an adapter that fills it in"
        )


def remedy(module: nn.Module, spec: Spec, *, frame_by_frame: bool, movie: Tensor, behavior: Tensor | None) -> str:
    """Return how a module that cannot be called as its Spec says can be called; an empty text where nothing is found.

    `behavior` `[B,K,T]` has the channels of the Spec.
    """
    kinds = {value.dtype for value in module.parameters() if value.is_floating_point()} - {torch.float32}
    if kinds:
        return f"the module's weights are {kinds.pop()}: wrap(module.float(), ...)"
    for by_frame in (frame_by_frame, not frame_by_frame):
        for attempt in _attempts(spec):
            frames = movie.shape[2] if not by_frame else 0
            if _takes(module, attempt.change(movie), behavior, frames=frames):
                change = "" if by_frame == frame_by_frame else f"call wrap(..., frame_by_frame={by_frame})"
                return ", and ".join(filter(None, [change, attempt.remedy]))
    return ""


def _attempts(spec: Spec) -> Iterator[Attempt]:
    height, width = spec.frame_size
    other = 3 if spec.channels == 1 else 1
    yield Attempt(lambda movie: movie, "")
    yield Attempt(
        lambda movie: movie[:, :1].expand(-1, other, -1, -1, -1),
        f"write Spec(channels={other}), or an adapter that makes {other} channels of {spec.channels}",
    )
    yield Attempt(
        lambda movie: movie.transpose(3, 4),
        f"write Spec(frame_size=({width}, {height})), which is (height, width)",
    )
    yield Attempt(lambda movie: movie.transpose(1, 2), "write an adapter with movie.transpose(1, 2), for [B,T,C,H,W]")
    yield Attempt(lambda movie: movie[:, 0], "write an adapter with movie[:, 0], for [B,T,H,W]")


@torch.no_grad()
def _takes(module: nn.Module, movie: Tensor, behavior: Tensor | None, *, frames: int) -> bool:
    """Return whether a module takes a changed movie and returns rates for all its frames; 0 frames: frame by frame."""
    by_frame = not frames
    if by_frame:
        movie = rearrange(movie, "b c t h w -> (b t) c h w") if movie.dim() == 5 else movie.flatten(0, 1)
    states = rearrange(behavior, "b k t -> (b t) k") if by_frame and behavior is not None else behavior
    try:
        rates = module(movie) if states is None else module(movie, states)
    except Exception:  # whatever a foreign module raises: it does not take this
        return False
    if not isinstance(rates, Tensor):
        return False
    if by_frame:
        return rates.dim() == 2 and len(rates) == len(movie)
    return rates.dim() == 3 and len(rates) == len(movie) and frames in rates.shape[1:]
