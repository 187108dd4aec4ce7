"""Simulated activity: gains, spikes, traces, behavior, acquisition, and the reliability of single trials."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from recon.data.measurement import acquisition_operator
from recon.data.noise_ceiling import oracle_correlation
from recon.simulate.acquisition import acquire, acquisition_times, interpolation_operator
from recon.simulate.activity import EVENT_SHAPE, FLOOR, SMEAR, expected_responses, sample_responses, spike_rates
from recon.simulate.behavior import PUPIL_MEAN, PUPIL_SD, RUNNING_SCALE, simulate_behavior
from recon.simulate.cells import plant_cells
from recon.simulate.movies import make_clip
from recon.simulate.population import SimulatedPopulation
from recon.simulate.settings import TINY, SimulationSettings
from recon.types import AcquisitionTimes

CELLS = plant_cells(TINY)
COUNT = TINY.neurons


def state(pupil: float, running: float, frames: int = 6) -> Tensor:
    return torch.tensor([pupil, running, 120.0, 120.0])[None, :, None].expand(1, 4, frames)


def test_running_and_pupil_multiply_the_rate() -> None:
    drive = torch.ones(1, COUNT, 6)
    rest = spike_rates(CELLS, drive, state(PUPIL_MEAN, 0.0))
    running = spike_rates(CELLS, drive, state(PUPIL_MEAN, RUNNING_SCALE))
    wide = spike_rates(CELLS, drive, state(PUPIL_MEAN + PUPIL_SD, 0.0))
    run_gain, pupil_gain = (torch.from_numpy(g).float() for g in (CELLS.running_gain, CELLS.pupil_gain))
    torch.testing.assert_close((running / rest)[0, :, 0], (np.tanh(1) * run_gain).exp())
    torch.testing.assert_close((wide / rest)[0, :, 0], pupil_gain.exp())


def test_the_mean_of_many_trials_is_the_expected_response() -> None:
    rates = torch.rand(1, COUNT, 12, generator=torch.Generator().manual_seed(0)) * 0.6
    expected = expected_responses(CELLS, rates)[0]
    trials = sample_responses(CELLS, rates.expand(6000, -1, -1), torch.Generator().manual_seed(1))
    error = (trials.mean(0) - expected).abs() / (trials.std(0) / 6000**0.5)
    assert (trials >= 0).all() and error.mean() < 1.1 and error.max() < 5.5


def test_spikes_are_poisson_and_amplitudes_gamma() -> None:
    rate = 0.3
    rates = torch.zeros(20000, COUNT, 8)
    rates[..., 2] = rate
    events = sample_responses(CELLS, rates, torch.Generator().manual_seed(2))[..., 2]
    amplitude = torch.from_numpy(CELLS.amplitude).float()
    variance = (events / amplitude).var(0).mean()
    poisson = SMEAR[0] ** 2 * rate * (1 + 1 / EVENT_SHAPE)
    shared = SMEAR[0] ** 2 * rate**2 * (np.exp(0.15**2) - 1)
    assert variance == pytest.approx(poisson + shared + FLOOR**2, rel=0.05)


def test_the_same_generator_gives_the_same_trial() -> None:
    rates = torch.full((1, COUNT, 10), 0.2)
    first, again, other = (sample_responses(CELLS, rates, torch.Generator().manual_seed(s)) for s in (5, 5, 6))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_behavior_runs_in_bouts_and_light_narrows_the_pupil() -> None:
    bright, dark = np.full(300, 220.0), np.full(300, 20.0)
    lit = np.stack([simulate_behavior(np.random.default_rng(s), bright) for s in range(30)])
    dim = np.stack([simulate_behavior(np.random.default_rng(s), dark) for s in range(30)])
    assert np.isfinite(lit).all() and (lit[:, 1] >= 0).all() and (lit[:, 0] > 0).all()
    assert (dim[:, 0] > lit[:, 0]).mean() > 0.99
    np.testing.assert_array_equal(dim[:, 1:], lit[:, 1:])
    assert 0.2 < (lit[:, 1] > 1).mean() < 0.65
    assert 2 < lit[:, 2:].std() < 9 and np.abs(lit[:, 2:].mean() - 120) < 2


def test_an_8_hz_recording_holds_bin_means_that_the_observation_operator_finds_again() -> None:
    times = acquisition_times(CELLS)
    activity = torch.rand(2, COUNT, 90, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    operator = acquisition_operator(times, frames=90, frame_rate=30.0)
    rows = (operator.rates_operator.sum(-1) > 0.999)[operator.plane]
    bins, found = operator.bin_rates(activity.float()), operator.bin_responses(acquire(activity, times).float())
    assert rows.sum() > 15 * COUNT
    torch.testing.assert_close(bins[:, rows], found[:, rows], atol=2e-4, rtol=1e-3)


def test_interpolation_keeps_constants_and_never_looks_ahead_of_the_next_sample() -> None:
    operator = interpolation_operator(60, rate=8.0, phase=0.05)
    torch.testing.assert_close(operator.sum(1), torch.ones(60, dtype=torch.float64))
    for t in range(60):
        future = operator[t, min(t + 4, 60) :]
        assert future.abs().max() < 1e-9 if len(future) else True
    assert torch.equal(operator[0], operator[1])


def test_planes_are_sampled_one_after_the_other() -> None:
    times = AcquisitionTimes(rate=8.0, phase=(0.0, 0.0625), plane=(0, 1))
    step = (torch.arange(60) >= 30).double().expand(1, 2, 60)
    held = acquire(step, times)[0]
    assert not torch.equal(held[0], held[1])
    assert held[:, :26].abs().max() == 0 and held[:, 36:].min() > 1 - 1e-9


@pytest.mark.slow
def test_single_trials_are_as_reliable_as_in_recordings() -> None:
    settings = SimulationSettings(neurons=150)
    population = SimulatedPopulation(settings)
    clips = [responses_to(population, index) for index in range(6)]
    oracle = oracle_correlation(clips)
    assert 0.3 < float(oracle.mean()) < 0.45
    assert float(oracle.std()) > 0.08


def responses_to(population: SimulatedPopulation, index: int) -> Tensor:
    """Ten repeats `[R,N,T]` of a test clip, without its first 50 frames."""
    clip = make_clip("test", index, frames=150)
    drive = population.drive(torch.from_numpy(clip.video).float()[None, None] / 255)
    light = clip.video.mean((1, 2), dtype=np.float64)
    states = np.stack([simulate_behavior(np.random.default_rng([index, r]), light) for r in range(10)])
    rates = spike_rates(population.cells, drive.expand(10, -1, -1), torch.from_numpy(states).float())
    return sample_responses(population.cells, rates, torch.Generator().manual_seed(index))[:, :, 50:]
