"""Priors in methods: the denoiser of a problem's movies, counted and conditioned, and the start."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from recon.methods.artefacts import load_artefact
from recon.methods.base import Method, last_iterate, passes_of
from recon.methods.facts import COVERAGE, ENCODER, NOTHING, SPECTRUM, Passes, Sees, united
from recon.priors.base import Denoiser
from recon.priors.guidance import ClassifierFree, guidance_of
from recon.priors.prior import Prior
from recon.priors.spectrum import Spectrum
from recon.problem.coverage import unseen_share
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
    unseen = unseen_share(problem, spectrum) if guidance_of(guidance).by_place else None
    return ConditionedDenoiser(ClassifierFree(model, guidance, unseen), text.condition(problem, model).to(device))


def prior_sees(prior: Prior) -> Sees:
    """Return what a prior brings into a reconstruction, from its declarations, and its text where guidance counts.

    Guidance by place knows what the encoders' neurons see with the behavior of the clip, and none of their responses.
    """
    text, guidance = prior.conditioning.text, guidance_of(prior.conditioning.guidance)
    named = (f"prior {prior.pretrained}",) if prior.pretrained else ()
    own = Sees(pretrained=named, learnt=(SPECTRUM,) if prior.learnt else ())
    if text is None or not guidance.uses_text:
        return own
    return united(own, text.sees, Sees(behavior=True, learnt=(COVERAGE,)) if guidance.by_place else NOTHING)


def sampler_sees(prior: Prior | None, *, strength: float, start: Method | None = None) -> Sees:
    """Return what a method with a prior sees; at strength 0 no activity but that of its start and its text."""
    parts = [*([prior_sees(prior)] if prior else []), *([start.sees] if start else [])]
    return united(ENCODER if strength else NOTHING, Sees(learnt=(SPECTRUM,)), *parts)


def sampler_passes(prior: Prior, encoder: float, levels: Iterable[float], *, start: Method | None = None) -> Passes:
    """Return the planned passes of a sampler and of its start; `levels`: σ of every denoising.

    With text a denoising takes two, unless the scale of guidance is 0 or 1; guidance by place takes one of the encoder.
    """
    text, guidance = prior.conditioning.text, guidance_of(prior.conditioning.guidance)
    counts = [1 if text is None else guidance.evaluations(level) for level in levels]
    own = Passes(encoder + (text is not None and guidance.by_place), sum(counts))
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
