"""Priors in methods: the denoiser of a problem's movies, counted and conditioned, and the start."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from recon.methods.artefacts import load_artefact
from recon.methods.base import Method, last_iterate, passes_of
from recon.methods.facts import ENCODER, NOTHING, SPECTRUM, Passes, Sees, united
from recon.priors.base import Denoiser
from recon.priors.guidance import ClassifierFree
from recon.priors.prior import Prior
from recon.priors.spectrum import Spectrum
from recon.problem.problem import Problem


class ConditionedDenoiser(NamedTuple):
    """A denoiser and its condition, `[B,D]`, `[B,T,D]` or None."""

    denoiser: Denoiser
    condition: Tensor | None


def conditioned(prior: Prior, spectrum: Spectrum, problem: Problem) -> ConditionedDenoiser:
    """Return a prior's denoiser of a problem's movies, whose evaluations are counted, and the clips' condition.

    `spectrum` is that of the training movies; the denoiser is on its device.
    """
    device = spectrum.power.device
    model = prior.denoiser(problem.shape, spectrum).to(device)
    model.register_forward_pre_hook(problem.meter.count_denoised)
    text, guidance = prior.conditioning
    if text is None:
        return ConditionedDenoiser(model, None)
    return ConditionedDenoiser(ClassifierFree(model, guidance), text.condition(problem, model).to(device))


def prior_sees(prior: Prior) -> Sees:
    """Return what a prior brings into a reconstruction, from its declarations, and its text where guidance counts."""
    text, guidance = prior.conditioning
    named = (f"prior {prior.pretrained}",) if prior.pretrained else ()
    own = Sees(pretrained=named, learnt=(SPECTRUM,) if prior.learnt else ())
    return united(own, text.sees if text and guidance else NOTHING)


def sampler_sees(prior: Prior | None, *, strength: float, start: Method | None = None) -> Sees:
    """Return what a method with a prior sees; at strength 0 no activity but that of its start and its text."""
    parts = [*([prior_sees(prior)] if prior else []), *([start.sees] if start else [])]
    return united(ENCODER if strength else NOTHING, Sees(learnt=(SPECTRUM,)), *parts)


def sampler_passes(prior: Prior, encoder: float, denoiser: float, *, start: Method | None = None) -> Passes:
    """Return the planned passes of a sampler and of its start; with text each denoising takes two."""
    own = Passes(encoder, denoiser * (1 if prior.conditioning.text is None else 2))
    return own if start is None else passes_of(start) + own


def load_spectrum(artefact: Path | None, device: torch.device, *, method: str) -> Spectrum:
    """Return the spectrum saved in an artefact, on a device."""
    learnt = load_artefact(artefact, method=method)
    return Spectrum(learnt["power"], learnt["mean"]).to(device)


def starting_movie(problem: Problem, generator: torch.Generator, spectrum: Spectrum, start: Method | None) -> Tensor:
    """Return the movie `[B,C,T,H,W]` of another method, or the mean training frame where there is none."""
    if start is None:
        return spectrum.mean.expand(problem.shape).clone()
    return last_iterate(start(problem, generator)).movie
