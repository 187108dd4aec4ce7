"""Dry run of an encoder on a few frames: shape, gradient and repeatability of its rates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from recon.encoders.base import BEHAVIOR_CHANNELS, Encoder, Spec, device_of
from recon.errors import InputError

MARGIN = 4
"""Frames of a dry run on either side of one whole context."""
FAR = 40
"""The same, where a dependence beyond the context was found and its length is measured."""
CLIPS = 2
SHARE = 1e-3
"""Part of the largest gradient of a frame below which a dependence on another frame is ignored; also of the rates."""
ROUNDING = 1e-6
"""The same for another clip of the batch, on which nothing may depend."""
IN_PLACE = "change no input in place: write movie = movie - mean, not movie -= mean"
ADAPT = "compare the Spec with what the module takes, or write an adapter"
Call = Callable[[Tensor, Tensor | None], object]
Hint = Callable[[Tensor, Tensor | None], str]


def no_hint(movie: Tensor, behavior: Tensor | None) -> str:
    """Return no remedy beyond the general one."""
    return ""


def dry_run(encoder: Encoder, *, call: Call | None = None, hint: Hint = no_hint) -> None:
    """Call an encoder on one black clip and one of noise; raises InputError where its rates break the contract.

    Mode, buffers and the random numbers of the process are as before. `call`: what is called instead of the encoder;
    `hint` returns the remedy for a module that cannot be called or returns another shape, or an empty text.
    """
    asked, device = call or encoder, device_of(encoder)
    with _undisturbed(encoder, device), torch.inference_mode(False), torch.enable_grad():
        movie, behavior = example_input(encoder.spec, device)
        rates = _called(asked, movie.requires_grad_(), behavior, hint, encoder.spec)
        _check_values(rates, encoder.spec)
        again = _called(asked, movie, behavior, hint, encoder.spec)
        _check_equal(rates, again)
        _check_dependence(asked, rates, movie, encoder.spec)


def example_input(spec: Spec, device: torch.device, *, margin: int = MARGIN) -> tuple[Tensor, Tensor | None]:
    """Return a black clip and one of noise `[2,C,T,H,W]`, and behavior at zero `[2,4,T]` if the Spec names channels.

    The number of frames differs from that of neurons, so that the axes of the rates cannot be confused.
    """
    frames = 1 + sum(spec.context) + 2 * margin
    frames += frames == len(spec.neuron_ids)
    noise = torch.rand(spec.channels, frames, *spec.frame_size, generator=torch.Generator().manual_seed(0))
    movie = torch.stack([torch.zeros_like(noise), noise]).to(device)
    return movie, torch.zeros(CLIPS, len(BEHAVIOR_CHANNELS), frames, device=device) if spec.behavior else None


def rates_shape(spec: Spec, movie: Tensor) -> tuple[int, int, int]:
    """Return the shape `[B,N,T]` of the rates for a movie."""
    return len(movie), len(spec.neuron_ids), movie.shape[2]


def shape_remedy(expected: tuple[int, ...], got: tuple[int, ...]) -> str:
    """Return what mends rates of another shape than `[B,N,T]`.

    >>> shape_remedy((2, 5, 9), (2, 9, 5))
    'return rates.transpose(1, 2)'
    """
    batch, neurons, frames = expected
    if got == (batch, frames, neurons):
        return "return rates.transpose(1, 2)"
    if len(got) > len(expected) and tuple(size for size in got if size > 1) == expected:
        return "drop the axes of size 1 with squeeze"
    if len(got) == len(expected) and (got[0], got[2]) == (batch, frames):
        return f"give the Spec {got[1]} neuron_ids, one for each output"
    if got[:2] == (batch, neurons) and len(got) == len(expected) and got[2] < frames:
        return f"pad the movie in time inside the module, which drops {frames - got[2]} frames"
    if got[0] == batch * frames:
        return "return [B*T,N], one row per frame"
    return "wrap a module that returns one rate per neuron and frame"


def check_shape(rates: object, expected: tuple[int, int, int], remedy: str = "") -> Tensor:
    """Return the rates; raises InputError for anything but a tensor `[B,N,T]` of the expected shape."""
    if not isinstance(rates, Tensor):
        got = type(rates).__name__
        raise InputError(f"rates: expected a tensor {expected}, got a {got}; return the tensor of rates alone")
    if rates.shape != expected:
        found = tuple(rates.shape)
        mended = remedy or shape_remedy(expected, found)
        raise InputError(f"rates: expected {expected} for [B,N,T], got {found}; {mended}")
    return rates


def _called(call: Call, movie: Tensor, behavior: Tensor | None, hint: Hint, spec: Spec) -> Tensor:
    expected = rates_shape(spec, movie)
    try:
        rates = call(movie, behavior)
    except InputError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        mended = IN_PLACE if "in-place" in said else hint(movie.detach(), behavior) or ADAPT
        raise InputError(
            f"module: expected to take a movie {tuple(movie.shape)} for [B,C,T,H,W], got {type(error).__name__}: "
            f"{said}; {mended}"
        ) from error
    wrong = not isinstance(rates, Tensor) or rates.shape != expected
    return check_shape(rates, expected, hint(movie.detach(), behavior) if wrong else "")


def _check_values(rates: Tensor, spec: Spec) -> None:
    if rates.dtype != torch.float32:
        raise InputError(f"rates: expected float32, got {rates.dtype}; return rates.float()")
    if not bool(rates.isfinite().all()):
        black, noise = (int((~clip.isfinite()).any(1).sum()) for clip in rates)
        raise InputError(
            f"rates: expected finite values, got NaN or infinity in {black} of {len(spec.neuron_ids)} neurons for a "
            f"black movie and in {noise} for noise; check the weights, and divisions by the movie's own contrast"
        )


def _check_equal(rates: Tensor, again: Tensor) -> None:
    rates, again = rates.detach(), again.detach()
    apart = float((rates - again).abs().max())
    if apart > SHARE * float(rates.abs().max()):
        raise InputError(
            f"rates: expected the same for the same movie, got a difference of {apart:.3g}; keep no state between "
            "calls, and draw no random numbers in evaluation mode (functional.dropout needs training=self.training)"
        )


def _check_dependence(call: Call, rates: Tensor, movie: Tensor, spec: Spec) -> None:
    own, other = _gradients(rates, movie, spec.context[0] + MARGIN)
    if float(other.max()) > ROUNDING * float(own.max()):
        raise InputError(
            "rates: expected no influence of one clip of a batch on another, got one; normalise every clip by itself"
        )
    if not _beyond(own, spec, MARGIN):
        return
    movie, behavior = example_input(spec, movie.device, margin=FAR)
    longer = call(movie.requires_grad_(), behavior)
    own, _ = _gradients(check_shape(longer, rates_shape(spec, movie)), movie, spec.context[0] + FAR)
    before, after = _reach(own, spec.context[0] + FAR)
    if before + after + 1 == movie.shape[2] or not _beyond(own, spec, FAR):
        raise InputError(
            f"spec.context: expected rates that depend on {spec.context} frames before and after, got rates that "
            "depend on the whole movie; normalise with constants instead of the movie's own mean or contrast"
        )
    raise InputError(
        f"spec.context: expected the frames before and after on which a rate depends, got {spec.context} where the "
        f"rates depend on {before} before and {after} after; write context=({before}, {after}), or shorten the "
        "module's memory"
    )


def _gradients(rates: Tensor, movie: Tensor, frame: int) -> tuple[Tensor, Tensor]:
    """Return the size `[T]` of the gradient of the noise clip's rates at a frame: by its own frames, by the other's."""
    pull = torch.zeros_like(rates)
    pull[1, :, frame] = torch.randn(rates.shape[1], generator=torch.Generator().manual_seed(1)).to(rates)
    (found,) = torch.autograd.grad(rates, movie, pull, allow_unused=True) if rates.requires_grad else (None,)
    if found is None:
        raise InputError(
            "rates: expected a gradient with respect to the movie, got none; remove no_grad, detach and NumPy from "
            "the module's forward"
        )
    other, own = found.abs().sum((1, 3, 4))
    return own, other


def _beyond(own: Tensor, spec: Spec, margin: int) -> bool:
    before, after = _reach(own, spec.context[0] + margin)
    return before > spec.context[0] or after > spec.context[1]


def _reach(own: Tensor, frame: int) -> tuple[int, int]:
    """Return how many frames before and after `frame` have more than a small share of the gradient `[T]`."""
    counted = (own > SHARE * own.max()).nonzero().flatten().tolist() or [frame]
    return max(frame - counted[0], 0), max(counted[-1] - frame, 0)


@contextmanager
def _undisturbed(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluate a module within the block; its modes, its buffers and the process's random numbers are kept."""
    modes = {part: part.training for part in module.modules()}
    before = {name: value.clone() for name, value in module.named_buffers()}
    changed: list[str] = []
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            module.eval()
            yield
        finally:
            changed += _restored(module, before)
            for part, mode in modes.items():
                part.training = mode
    if changed:
        raise InputError(
            f"module: expected the same buffers after a call, got others in {changed[0]!r}; update them in training "
            "mode only"
        )


@torch.no_grad()
def _restored(module: nn.Module, before: dict[str, Tensor]) -> list[str]:
    """Restore the buffers of a module; return the names of those that were changed."""
    found = {name: value for name, value in module.named_buffers() if name in before}
    changed = [name for name, value in found.items() if not torch.equal(value, before[name])]
    for name in (name for name in changed if found[name].shape == before[name].shape):
        found[name].copy_(before[name])
    return changed
