"""Wraps any torch module that maps movies (and behavior) to rates as an Encoder."""

from __future__ import annotations

from functools import partial

from einops import rearrange
from torch import Tensor, nn

from recon.encoders.base import Encoder, Spec, with_neurons
from recon.encoders.behavior import chosen_behavior
from recon.encoders.description import description
from recon.encoders.dry_run import check_shape, dry_run, rates_shape
from recon.encoders.hints import check_module, check_signature, remedy
from recon.encoders.specs import checked_spec
from recon.errors import InputError


class Wrapped(Encoder):
    """A user's torch module with a Spec; see `wrap`."""

    def __init__(
        self, module: nn.Module, spec: Spec, *, frame_by_frame: bool = False, in_recording_order: bool = False
    ) -> None:
        super().__init__()
        if frame_by_frame and spec.context != (0, 0):
            raise InputError(
                f"context: expected (0, 0) frame by frame, got {spec.context}; such a module has no temporal context"
            )
        self.module, self.spec, self.frame_by_frame = module, spec, frame_by_frame
        self.in_recording_order = in_recording_order

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return rates `[B,N,T]` for a movie `[B,C,T,H,W]`."""
        expected = (self.spec.channels, *self.spec.frame_size)
        got = (movie.shape[1], *movie.shape[3:])
        if got != expected:
            raise InputError(f"movie: expected [B,C,T,H,W] with (C, H, W) = {expected}, got {got}; resize the movie")
        return check_shape(self.answer(movie, behavior), rates_shape(self.spec, movie))

    def answer(self, movie: Tensor, behavior: Tensor | None = None) -> object:
        """Return what the module returns, the frames of a clip side by side; its shape is not checked."""
        chosen = chosen_behavior(self.spec, behavior, movie.transpose(1, 2))
        return self._by_frame(movie, chosen) if self.frame_by_frame else self._call(movie, chosen)

    def for_neurons(self, neuron_ids: tuple[int, ...]) -> Encoder:
        """Take the ids of a recording where the module's neurons are in its order; otherwise leave those of the Spec.

        Raises InputError if their number differs.
        """
        if self.in_recording_order:
            self.spec = with_neurons(self.spec, neuron_ids)
        return self

    def _by_frame(self, movie: Tensor, behavior: Tensor | None) -> object:
        frames = rearrange(movie, "b c t h w -> (b t) c h w")
        states = None if behavior is None else rearrange(behavior, "b k t -> (b t) k")
        rates = self._call(frames, states)
        whole = isinstance(rates, Tensor) and rates.dim() == 2 and len(rates) == len(frames)
        return rearrange(rates, "(b t) n -> b n t", b=len(movie)) if whole else rates

    def _call(self, movie: Tensor, behavior: Tensor | None) -> object:
        return self.module(movie) if behavior is None else self.module(movie, behavior)


def wrap(module: nn.Module, spec: Spec, *, frame_by_frame: bool = False, in_recording_order: bool = False) -> Encoder:
    """Make an Encoder of a torch module that maps a movie, and the behavior channels named by `spec`, to rates.

    The module maps `[B,C,T,H,W]` in [0,1] (and `[B,K,T]`) to `[B,N,T]`; with `frame_by_frame`, `[B*T,C,H,W]` (and
    `[B*T,K]`) to `[B*T,N]`. With `in_recording_order`, its neurons are those of the recording, in that order, and the
    ids of `spec` only count them. The module is called on a few frames of noise, in evaluation mode, and left as it
    was. Raises InputError, with the remedy, where its rates are not `[B,N,T]`, finite, differentiable, repeatable,
    independent of the other clips of a batch and of frames outside the context.
    """
    checked = checked_spec(spec)
    check_module(module)
    check_signature(module, checked)
    encoder = Wrapped(module, checked, frame_by_frame=frame_by_frame, in_recording_order=in_recording_order)
    dry_run(encoder, call=encoder.answer, hint=partial(_hint, encoder))
    encoder.source_digest, encoder.training = description(module, frame_by_frame), module.training
    return encoder


def _hint(encoder: Wrapped, movie: Tensor, behavior: Tensor | None) -> str:
    chosen, by_frame = chosen_behavior(encoder.spec, behavior, movie.transpose(1, 2)), encoder.frame_by_frame
    return remedy(encoder.module, encoder.spec, frame_by_frame=by_frame, movie=movie, behavior=chosen)
