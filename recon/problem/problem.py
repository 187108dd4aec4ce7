"""The problem: misfit between recorded responses and the rates that a frozen encoder predicts from a movie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from recon.encoders.base import Encoder
from recon.encoders.canvas import centred
from recon.errors import InputError
from recon.problem.memory import Portions, in_portions
from recon.problem.windows import Frames, Meter, spans_of, window_rates, windowed_rates
from recon.types import Caption, Fidelity, Measurement

ValueAndGradient = Callable[["Problem", Tensor], tuple[Tensor, Tensor]]
"""Problem and movie `[B,C,T,H,W]` → energy `[B]` and its gradient, shaped like the movie."""
GREY = 0.5
"""Grey level shown to encoders outside the mask of a problem."""


@dataclass(frozen=True)
class Observation:
    """A measurement and its encoder; `weight` scales its energy (1/M in an ensemble of M).

    `fidelity` overrides the problem's. `animal` names another animal, with neurons of its own.
    """

    encoder: Encoder
    measurement: Measurement
    weight: float = 1.0
    fidelity: Fidelity | None = None
    animal: str = ""

    def __post_init__(self) -> None:
        recorded, predicted = self.measurement.responses.shape[1], len(self.encoder.spec.neuron_ids)
        if recorded != predicted:
            raise InputError(
                f"neurons: expected the encoder's {predicted}, got {recorded} in the recording; "
                "use an encoder that was trained on this recording"
            )


@dataclass(frozen=True)
class Problem:
    """A fidelity and its observations; the only place where masks are applied.

    Several observations share one movie: repeats of a clip, animals that saw the same clip, members of an ensemble.
    `window` bounds the frames per backward pass (0: all) and thus memory; `meter` counts the frames shown to encoders;
    `portions` shrink when memory runs out. Encoders see grey where `update_mask` `[H,W]` is False. A mask of another
    size is centred in the frame and padded with False. `size` is the frame size of the movie, if not the encoders'.
    `captions` are the captions of each sample, if any.
    """

    fidelity: Fidelity
    observations: tuple[Observation, ...]
    window: int = 0
    meter: Meter = field(default_factory=Meter, compare=False, repr=False)
    update_mask: Tensor | None = None
    portions: Portions = field(default_factory=Portions, compare=False, repr=False)
    size: tuple[int, int] | None = None
    captions: tuple[tuple[Caption, ...], ...] = ()

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Shape `[B,C,T,H,W]` of the movie."""
        first = self.observations[0]
        batch, _, frames = first.measurement.responses.shape
        return (batch, first.encoder.spec.channels, frames, *(self.size or first.encoder.spec.frame_size))

    @property
    def device(self) -> torch.device:
        """Device of the problem."""
        return self.observations[0].measurement.responses.device

    @property
    def frames_at_once(self) -> int:
        """Frames per pass of the encoder (0: all): `window`, or fewer once memory has run out."""
        return min(filter(None, (self.window, self.portions.frames)), default=0)

    def alone(self, observation: int) -> Problem:
        """Return the problem of one observation, at weight 1."""
        chosen = self.observations[observation]
        return replace(self, observations=(replace(chosen, weight=1.0),))

    def fidelity_of(self, observation: Observation) -> Fidelity:
        """Return the misfit of an observation."""
        return observation.fidelity or self.fidelity

    def sample(self, index: Tensor) -> Problem:
        """Return the problem of some samples of the batch."""
        parts = (replace(seen, measurement=seen.measurement.sample(index)) for seen in self.observations)
        said = tuple(self.captions[place] for place in index.tolist()) if self.captions else ()
        return replace(self, observations=tuple(parts), captions=said)

    def on_canvas(self) -> Problem:
        """Return the problem whose movie is the encoders' whole canvas, border included."""
        sizes = {observation.encoder.canvas for observation in self.observations}
        if len(sizes) != 1:
            raise InputError(f"canvas: expected one size for all encoders, got {sorted(sizes)}; move the frames alone")
        return replace(self, size=sizes.pop())

    @property
    def mask(self) -> Tensor | None:
        """Mask `[H,W]` of the pixels that may change; None for all."""
        return None if self.update_mask is None else centred(self.update_mask, self.shape[-2:])

    def shown(self, movie: Tensor) -> Tensor:
        """Return the movie `[B,C,T,H,W]` as the encoders see it, grey outside the mask."""
        return (
            movie if self.update_mask is None else torch.where(centred(self.update_mask, movie.shape[-2:]), movie, GREY)
        )

    def of_samples(self, movie: Tensor, samples: Tensor | None, work: ValueAndGradient) -> tuple[Tensor, Tensor]:
        """Return `work(problem, movie)`; with `samples` `[B]`, computed for these alone and zero for the others."""
        if samples is None:
            return work(self, movie)
        value, gradient, index = movie.new_zeros(len(movie)), torch.zeros_like(movie), samples.nonzero().flatten()
        value[index], gradient[index] = work(self.sample(index), movie[index])
        return value, gradient

    @torch.no_grad()
    def energy(self, movie: Tensor) -> Tensor:
        """Return the misfit `[B]` of the fit neurons."""
        return self._total(movie, selection=False)

    @torch.no_grad()
    def selection_misfit(self, movie: Tensor) -> Tensor:
        """Return the misfit `[B]` of the *selection* neurons, which never enter a gradient (stop rules, widths, β)."""
        return self._total(movie, selection=True)

    def value_and_gradient(
        self, movie: Tensor, *, frames: Frames | None = None, observation: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return energy `[B]` and its gradient with respect to the movie, shaped like the movie.

        With `frames` (first, end), the encoder sees only this sub-clip, as in Bauer et al. 2026; rates count if their
        context lies inside it or beyond the ends of the movie. With `observation`, only that one counts, at weight 1.
        """
        chosen = self if observation is None else self.alone(observation)
        value, gradient = in_portions(
            chosen, self.shown(movie.detach()), lambda part, piece: _value_and_gradient(part, piece, frames)
        )
        return value, gradient if self.mask is None else gradient * self.mask

    def _total(self, movie: Tensor, *, selection: bool) -> Tensor:
        (total,) = in_portions(self, self.shown(movie), lambda part, piece: (_energy(part, piece, selection),))
        return total


def _energy(problem: Problem, movie: Tensor, selection: bool) -> Tensor:
    total = movie.new_zeros(len(movie))
    for observation in problem.observations:
        behavior, window, meter = observation.measurement.behavior, problem.frames_at_once, problem.meter
        rates = windowed_rates(observation.encoder, movie, behavior, window, meter=meter)
        total += observation.weight * _misfit(problem, rates, observation, selection=selection)
    return total


def _misfit(problem: Problem, rates: Tensor, observation: Observation, *, selection: bool = False) -> Tensor:
    fidelity, measurement = problem.fidelity_of(observation), observation.measurement
    neurons = (measurement.selection if selection else measurement.neurons)[None, :, None]
    acquisition = measurement.acquisition
    if acquisition is None:
        mask = (neurons & measurement.frames[:, None, :]).expand_as(rates)
        return fidelity(rates, measurement.responses, mask)
    mask = neurons & acquisition.bin_mask(measurement.frames)
    return fidelity(acquisition.bin_rates(rates), acquisition.bin_responses(measurement.responses), mask)


def _value_and_gradient(problem: Problem, movie: Tensor, frames: Frames | None) -> tuple[Tensor, Tensor]:
    value, gradient = movie.new_zeros(len(movie)), torch.zeros_like(movie)
    first, end = frames or (0, movie.shape[2])
    for observation in problem.observations:
        if frames is not None:
            energy, part = subclip_gradient(problem, observation, movie, frames)
        elif len(spans_of(movie.shape[2], problem.frames_at_once)) == 1:
            energy, part = _one_pass(problem, observation, movie)
        else:
            energy, part = _two_pass(problem, observation, movie)
        value += observation.weight * energy
        gradient[:, :, first:end] += observation.weight * part
    return value, gradient


@torch.enable_grad()
def _one_pass(problem: Problem, observation: Observation, movie: Tensor) -> tuple[Tensor, Tensor]:
    leaf = movie.requires_grad_(True)
    problem.meter.count(leaf)
    rates = observation.encoder(leaf, observation.measurement.behavior)
    energy = _misfit(problem, rates, observation)
    (gradient,) = torch.autograd.grad(energy.sum(), leaf)
    return energy.detach(), gradient


def _two_pass(problem: Problem, observation: Observation, movie: Tensor) -> tuple[Tensor, Tensor]:
    """Compute all rates, the misfit's gradient in the rates, then each window's vector–Jacobian product.

    A fidelity may couple frames (bins, residual covariance over lags), so that windows cannot be scored one by one.
    """
    encoder, measurement, meter = observation.encoder, observation.measurement, problem.meter
    with torch.no_grad():
        rates = windowed_rates(encoder, movie, measurement.behavior, problem.frames_at_once, meter=meter)
    with torch.enable_grad():
        energy = _misfit(problem, rates.requires_grad_(True), observation)
        (pull,) = torch.autograd.grad(energy.sum(), rates)
        gradient = torch.zeros_like(movie)
        for span in spans_of(movie.shape[2], problem.frames_at_once):
            leaf = movie.detach().requires_grad_(True)
            part = window_rates(encoder, leaf, measurement.behavior, span, meter)
            gradient += torch.autograd.grad(part, leaf, pull[..., span[0] : span[1]])[0]
    return energy.detach(), gradient


@torch.enable_grad()
def subclip_gradient(problem: Problem, observation: Observation, movie: Tensor, span: Frames) -> tuple[Tensor, Tensor]:
    """Return energy `[B]` and gradient `[B,C,end−first,H,W]` of a sub-clip seen by the encoder on its own."""
    encoder, measurement = observation.encoder, observation.measurement
    leaf = movie[:, :, span[0] : span[1]].detach().clone().requires_grad_(True)
    behavior = None if measurement.behavior is None else measurement.behavior[..., span[0] : span[1]]
    problem.meter.count(leaf)
    rates = encoder(leaf, behavior)
    energy = span_misfit(problem, rates, observation, span)
    (gradient,) = torch.autograd.grad(energy.sum(), leaf)
    return energy.detach(), gradient


def span_misfit(problem: Problem, rates: Tensor, observation: Observation, span: Frames) -> Tensor:
    """Return the misfit `[B]` of a sub-clip's rates `[B,N,end−first]` over its counted frames."""
    measurement = observation.measurement
    counted = counted_frames(observation, span)
    mask = (measurement.neurons[None, :, None] & counted[:, None, :]).expand_as(rates)
    return problem.fidelity_of(observation)(rates, measurement.responses[..., span[0] : span[1]], mask)


def counted_frames(observation: Observation, span: Frames) -> Tensor:
    """Return the mask `[B,end−first]` of frames whose context lies inside the sub-clip or beyond the movie's ends.

    All frames count for an encoder of sliding windows: in a sub-clip its rates rest on fewer windows, not on padding.
    """
    measurement, encoder = observation.measurement, observation.encoder
    before, after = encoder.spec.context if encoder.padded_in_time else (0, 0)
    if measurement.acquisition is not None:
        raise InputError("sub-clips: expected responses at the frame rate, got acquisition bins; set bins to frames")
    counted = measurement.frames[:, span[0] : span[1]].clone()
    inner_end = counted.shape[1] - (after if span[1] < measurement.frames.shape[1] else 0)
    counted[:, : before if span[0] > 0 else 0] = False
    counted[:, max(inner_end, 0) :] = False
    return counted
