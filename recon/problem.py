"""The problem: misfit between recorded responses and the rates that a frozen encoder predicts from a movie."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from encoders.base import Encoder
from recon.types import Fidelity, Measurement

Frames = tuple[int, int]


@dataclass(frozen=True)
class Observation:
    """A measurement and the encoder that explains it; `weight` scales its energy (1/M in an ensemble of M)."""

    encoder: Encoder
    measurement: Measurement
    weight: float = 1.0

    def __post_init__(self) -> None:
        recorded, predicted = self.measurement.responses.shape[1], len(self.encoder.spec.neuron_ids)
        if recorded != predicted:
            raise ValueError(
                f"neurons: expected the encoder's {predicted}, got {recorded} in the recording; "
                "use an encoder that was trained on this recording"
            )


@dataclass(frozen=True)
class Problem:
    """A fidelity and its observations; the only place where masks are applied.

    Several observations share one movie: repeats of a clip, animals that saw the same clip, members of an ensemble.
    `window` bounds the frames that the encoder sees in one backward pass (0: all), so that memory stays flat.
    """

    fidelity: Fidelity
    observations: tuple[Observation, ...]
    window: int = 0

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Shape `[B,C,T,H,W]` of the movie that is sought."""
        first = self.observations[0]
        batch, _, frames = first.measurement.responses.shape
        return (batch, first.encoder.spec.channels, frames, *first.encoder.spec.frame_size)

    @property
    def device(self) -> torch.device:
        """Device on which the problem lives."""
        return self.observations[0].measurement.responses.device

    def alone(self, observation: int) -> Problem:
        """Return the problem with one of its observations, at weight 1."""
        chosen = self.observations[observation]
        return Problem(self.fidelity, (Observation(chosen.encoder, chosen.measurement),), self.window)

    @torch.no_grad()
    def energy(self, movie: Tensor) -> Tensor:
        """Return the misfit `[B]` of the fit neurons."""
        return self._total(movie, selection=False)

    @torch.no_grad()
    def selection_misfit(self, movie: Tensor) -> Tensor:
        """Return the misfit `[B]` of the selection neurons, which no gradient ever sees (stop rules, widths, β)."""
        return self._total(movie, selection=True)

    def value_and_gradient(
        self, movie: Tensor, *, frames: Frames | None = None, observation: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return energy `[B]` and its gradient with respect to the movie, shaped like the movie.

        With `frames` (first, end) the encoder sees only this sub-clip, as in Bauer et al. 2026; rates count whose
        context lies inside it or beyond the ends of the movie. With `observation` only that one counts, at weight 1.
        """
        if observation is not None:
            return _value_and_gradient(self.alone(observation), movie.detach(), frames)
        return _value_and_gradient(self, movie.detach(), frames)

    def _total(self, movie: Tensor, *, selection: bool) -> Tensor:
        total = movie.new_zeros(len(movie))
        for observation in self.observations:
            rates = windowed_rates(observation.encoder, movie, observation.measurement.behavior, self.window)
            total += observation.weight * _misfit(self.fidelity, rates, observation.measurement, selection=selection)
        return total


def windowed_rates(encoder: Encoder, movie: Tensor, behavior: Tensor | None, window: int = 0) -> Tensor:
    """Return rates `[B,N,T]`, computed over windows of `window` frames with their context; equal to one pass."""
    pieces = [_window_rates(encoder, movie, behavior, span) for span in _spans(movie.shape[2], window)]
    return torch.cat(pieces, -1) if len(pieces) > 1 else pieces[0]


def _spans(frames: int, window: int) -> list[Frames]:
    step = window if window > 0 else frames
    return [(start, min(start + step, frames)) for start in range(0, frames, step)]


def _window_rates(encoder: Encoder, movie: Tensor, behavior: Tensor | None, span: Frames) -> Tensor:
    before, after = encoder.spec.context
    first, end = max(span[0] - before, 0), min(span[1] + after, movie.shape[2])
    part = None if behavior is None else behavior[..., first:end]
    rates: Tensor = encoder(movie[:, :, first:end], part)
    return rates[..., span[0] - first : span[1] - first]


def _misfit(fidelity: Fidelity, rates: Tensor, measurement: Measurement, *, selection: bool = False) -> Tensor:
    neurons = (measurement.selection if selection else measurement.neurons)[None, :, None]
    acquisition = measurement.acquisition
    if acquisition is None:
        mask = (neurons & measurement.frames[:, None, :]).expand_as(rates)
        return fidelity(rates, measurement.responses, mask)
    mask = neurons & acquisition.bin_mask(measurement.frames)
    return fidelity(acquisition.bin_rates(rates), acquisition.bin_responses(measurement.responses), mask)


def _value_and_gradient(problem: Problem, movie: Tensor, frames: Frames | None) -> tuple[Tensor, Tensor]:
    value, gradient = movie.new_zeros(len(movie)), torch.zeros_like(movie)
    for observation in problem.observations:
        if frames is not None:
            energy, part = _subclip(problem.fidelity, observation, movie, frames)
        elif len(_spans(movie.shape[2], problem.window)) == 1:
            energy, part = _one_pass(problem.fidelity, observation, movie)
        else:
            energy, part = _two_pass(problem, observation, movie)
        value += observation.weight * energy
        gradient += observation.weight * part
    return value, gradient


@torch.enable_grad()
def _one_pass(fidelity: Fidelity, observation: Observation, movie: Tensor) -> tuple[Tensor, Tensor]:
    leaf = movie.requires_grad_(True)
    rates = observation.encoder(leaf, observation.measurement.behavior)
    energy = _misfit(fidelity, rates, observation.measurement)
    (gradient,) = torch.autograd.grad(energy.sum(), leaf)
    return energy.detach(), gradient


def _two_pass(problem: Problem, observation: Observation, movie: Tensor) -> tuple[Tensor, Tensor]:
    """First all rates, then the misfit's gradient with respect to them, then each window's vector–Jacobian product.

    A fidelity may couple frames (bins, residual covariance over lags), so windows cannot be scored one by one.
    """
    encoder, measurement = observation.encoder, observation.measurement
    with torch.no_grad():
        rates = windowed_rates(encoder, movie, measurement.behavior, problem.window)
    with torch.enable_grad():
        energy = _misfit(problem.fidelity, rates.requires_grad_(True), measurement)
        (pull,) = torch.autograd.grad(energy.sum(), rates)
        gradient = torch.zeros_like(movie)
        for span in _spans(movie.shape[2], problem.window):
            leaf = movie.detach().requires_grad_(True)
            part = _window_rates(encoder, leaf, measurement.behavior, span)
            gradient += torch.autograd.grad(part, leaf, pull[..., span[0] : span[1]])[0]
    return energy.detach(), gradient


@torch.enable_grad()
def _subclip(fidelity: Fidelity, observation: Observation, movie: Tensor, frames: Frames) -> tuple[Tensor, Tensor]:
    first, end = frames
    encoder, measurement = observation.encoder, observation.measurement
    if measurement.acquisition is not None:
        raise ValueError("sub-clips: expected responses at the frame rate, got acquisition bins; set bins to frames")
    leaf = movie[:, :, first:end].detach().clone().requires_grad_(True)
    behavior = None if measurement.behavior is None else measurement.behavior[..., first:end]
    rates = encoder(leaf, behavior)
    before = encoder.spec.context[0] if first > 0 else 0
    after = encoder.spec.context[1] if end < movie.shape[2] else 0
    counted = measurement.frames[:, first:end].clone()
    counted[:, :before] = False
    counted[:, counted.shape[1] - after :] = False
    mask = (measurement.neurons[None, :, None] & counted[:, None, :]).expand_as(rates)
    energy = fidelity(rates, measurement.responses[..., first:end], mask)
    gradient = torch.zeros_like(movie)
    gradient[:, :, first:end] = torch.autograd.grad(energy.sum(), leaf)[0]
    return energy.detach(), gradient
