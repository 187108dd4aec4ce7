"""Noise model, from rates to recorded activity: Poisson spikes, deconvolved calcium traces, shared gain noise."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from recon.simulate.behavior import modulation
from recon.simulate.cells import Cells

FIRING = 0.075
"""Median over neurons of the mean rate in spikes per frame; yields a single-trial oracle correlation of 0.3–0.4."""
SMEAR = (0.6, 0.3, 0.1)
"""Temporal kernel of deconvolution: fractions of a spike in its own frame and in the next two."""
EVENT_SHAPE = 3.0
"""Shape parameter of the gamma distribution of a spike's amplitude."""
FLOOR = 0.01
"""Mean of the exponential noise floor, as a fraction of a spike's mean amplitude."""
SHARED_NOISE, SHARED_SECONDS = 0.15, 2.0
"""Standard deviation and time constant (seconds) of the shared log gain."""


def spike_rates(cells: Cells, drive: Tensor, behavior: Tensor) -> Tensor:
    """Return expected spikes per frame `[B,N,T]` from drive `[B,N,T]` and behavior `[B,4,T]`.

    λ = FIRING · rate · (baseline + (1 − baseline) · drive) · exp(g_run · running + g_pupil · pupil).
    """
    baseline, rate, running, pupil = (
        torch.from_numpy(values).float()[None, :, None]
        for values in (cells.baseline, cells.rate, cells.running_gain, cells.pupil_gain)
    )
    states = [modulation(b) for b in behavior.double().numpy()]
    run, dilation = (torch.from_numpy(np.stack(s)).float()[:, None] for s in zip(*states, strict=True))
    gain = (running * run + pupil * dilation).exp()
    return FIRING * rate * (baseline + (1 - baseline) * drive) * gain


def expected_responses(cells: Cells, rates: Tensor) -> Tensor:
    """Return expected responses `[B,N,T]` in response units from expected spikes per frame."""
    amplitude = torch.from_numpy(cells.amplitude).float()[None, :, None]
    return amplitude * (_smeared(rates) + FLOOR)


def sample_responses(
    cells: Cells, rates: Tensor, generator: torch.Generator, *, kept: float = 1.0, gain: Tensor | None = None
) -> Tensor:
    """Draw one noisy trial `[B,N,T]` in response units; its expectation is `expected_responses`.

    Only the fraction `kept` of the spikes is seen, each scaled by 1 / kept: the expectation stays. `gain` `[B,N,T]` of
    mean 1 replaces the gain that all neurons share.
    """
    shared = _shared_gain(rates.shape[0], rates.shape[2], generator)[:, None] if gain is None else gain
    spikes = torch.poisson(kept * rates * shared, generator=generator)
    events = _gamma(EVENT_SHAPE * spikes, generator) / (EVENT_SHAPE * kept)
    floor = FLOOR * torch.empty_like(rates).exponential_(generator=generator)
    amplitude = torch.from_numpy(cells.amplitude).float()[None, :, None]
    return amplitude * (_smeared(events) + floor)


def _gamma(shape: Tensor, generator: torch.Generator) -> Tensor:
    """Draw gamma variables of integer shape as sums of exponentials, vectorised over spikes; shape zero gives zero."""
    values = torch.zeros_like(shape)
    present = shape > 0
    counts = shape[present].long()
    draws = torch.empty(int(counts.sum())).exponential_(generator=generator)
    owners = torch.repeat_interleave(torch.arange(len(counts)), counts)
    values[present] = torch.zeros(len(counts)).index_add_(0, owners, draws)
    return values


def _smeared(signal: Tensor) -> Tensor:
    kernel = torch.tensor(SMEAR).flip(0)[None, None]
    flat = functional.pad(signal.reshape(-1, 1, signal.shape[-1]), (len(SMEAR) - 1, 0))
    return functional.conv1d(flat, kernel).reshape(signal.shape)


def _shared_gain(batch: int, frames: int, generator: torch.Generator) -> Tensor:
    """Draw a log-normal Ornstein–Uhlenbeck gain `[B,T]` of mean 1, shared by all neurons."""
    from scipy.signal import lfilter

    keep = float(np.exp(-1 / (SHARED_SECONDS * 30.0)))
    noise = torch.randn(batch, frames, generator=generator).numpy()
    first, weights = noise[:, :1], np.array([1.0, -keep], dtype=np.float32)
    change = np.array([(1 - keep**2) ** 0.5], dtype=np.float32)
    rest, _ = lfilter(change, weights, noise[:, 1:], zi=np.float32(keep) * first)
    path = torch.from_numpy(np.concatenate([first, rest], axis=1))
    return (SHARED_NOISE * path - SHARED_NOISE**2 / 2).exp()
