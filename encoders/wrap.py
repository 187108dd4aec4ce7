"""Wraps any torch module that maps movies (and behavior) to rates as an Encoder."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn

from recon.encoders.base import BEHAVIOR_CHANNELS, Encoder, Spec
from recon.errors import InputError


class Wrapped(Encoder):
    """A user's torch module with a Spec; see `wrap`."""

    def __init__(self, module: nn.Module, spec: Spec, *, frame_by_frame: bool = False) -> None:
        super().__init__()
        if frame_by_frame and spec.context != (0, 0):
            raise InputError(
                f"context: expected (0, 0) frame by frame, got {spec.context}; such a module has no temporal context"
            )
        self.module, self.spec, self.frame_by_frame = module, spec, frame_by_frame

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return rates `[B,N,T]` for a movie `[B,C,T,H,W]`."""
        chosen = chosen_behavior(self.spec, behavior)
        rates = self._by_frame(movie, chosen) if self.frame_by_frame else self._call(movie, chosen)
        expected = (len(movie), len(self.spec.neuron_ids), movie.shape[2])
        if rates.shape != expected:
            raise InputError(f"rates: expected {expected}, got {tuple(rates.shape)}; wrap a module that returns this")
        return rates

    def _by_frame(self, movie: Tensor, behavior: Tensor | None) -> Tensor:
        frames = rearrange(movie, "b c t h w -> (b t) c h w")
        states = None if behavior is None else rearrange(behavior, "b k t -> (b t) k")
        return rearrange(self._call(frames, states), "(b t) n -> b n t", b=len(movie))

    def _call(self, movie: Tensor, behavior: Tensor | None) -> Tensor:
        rates: Tensor = self.module(movie) if behavior is None else self.module(movie, behavior)
        return rates


def chosen_behavior(spec: Spec, behavior: Tensor | None) -> Tensor | None:
    """Return the behavior channels `[B,K,T]` named by the Spec, out of `[B,4,T]`; None if it names none."""
    if not spec.behavior:
        return None
    if behavior is None:
        raise InputError(
            f"behavior: expected the channels {', '.join(spec.behavior)}, got none; "
            "give behavior [B,4,T] or use an encoder trained without it"
        )
    return behavior[:, [BEHAVIOR_CHANNELS.index(name) for name in spec.behavior]]


def wrap(module: nn.Module, spec: Spec, *, frame_by_frame: bool = False) -> Encoder:
    """Make an Encoder of a torch module that maps a movie, and the behavior channels named by `spec`, to rates.

    The module maps `[B,C,T,H,W]` (and `[B,K,T]`) to `[B,N,T]`; with `frame_by_frame`, `[B*T,C,H,W]` (and `[B*T,K]`) to
    `[B*T,N]`.
    """
    return Wrapped(module, spec, frame_by_frame=frame_by_frame)
