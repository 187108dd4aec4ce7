"""Planted cells: tuning is as planted, kernels are causal, options do what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from recon.simulate.activity import expected_responses, spike_rates
from recon.simulate.cells import COMPLEX, LUMINANCE, SEMANTIC, SIMPLE, plant_cells, planted
from recon.simulate.filters import covered, pixel_grid, spatial_filters, temporal_filters
from recon.simulate.population import SimulatedPopulation
from recon.simulate.scenes import ATTRIBUTES
from recon.simulate.settings import TINY, SimulationSettings

SIZE, PITCH, FRAMES = (24, 32), 3.0, 75
SETTINGS = replace(TINY, neurons=60, frame_size=SIZE, degrees_per_pixel=PITCH)


@pytest.fixture(scope="module")
def population() -> SimulatedPopulation:
    return SimulatedPopulation(SETTINGS)


def grating(spatial: float, temporal: float, direction: float, phase: float = 0.0) -> Tensor:
    """Drifting grating `[1,T,H,W]` of unit contrast."""
    x, y = pixel_grid(SIZE, PITCH)
    along = x * np.cos(direction) - y * np.sin(direction)
    time = np.arange(FRAMES)[:, None] / 30
    wave = np.cos(2 * np.pi * (spatial * along[None] - temporal * time) + phase)
    return torch.from_numpy(wave).float().reshape(1, FRAMES, *SIZE)


def central(population: SimulatedPopulation, kind: int, count: int = 8) -> list[int]:
    """Cells of a kind whose receptive fields lie on the screen and whose frequency the pixels can show."""
    cells = population.cells
    inside = (np.abs(cells.centre_x) < 38) & (np.abs(cells.centre_y) < 26) & (cells.spatial_frequency < 0.1)
    return [int(n) for n in np.flatnonzero(inside & (cells.kind == kind))][:count]


def answer(population: SimulatedPopulation, neuron: int, stimulus: Tensor) -> float:
    return float(population.energy(stimulus)[0, neuron, 20:].mean())


@pytest.mark.parametrize("kind", [SIMPLE, COMPLEX])
def test_a_cell_answers_most_to_its_own_direction(population: SimulatedPopulation, kind: int) -> None:
    cells = population.cells
    for n in central(population, kind):
        answers = [
            answer(population, n, grating(cells.spatial_frequency[n], cells.temporal_frequency[n], direction))
            for direction in cells.direction[n] + np.arange(8) * np.pi / 4
        ]
        best = int(np.argmax(answers))
        assert best == 0 or (best == 4 and cells.selectivity[n] < 0.2)


def test_a_cell_prefers_its_own_spatial_frequency_among_octaves(population: SimulatedPopulation) -> None:
    cells = population.cells
    for n in central(population, COMPLEX) + central(population, SIMPLE):
        octaves = cells.spatial_frequency[n] * 2.0 ** np.array([-1, 0, 1])
        answers = [answer(population, n, grating(f, cells.temporal_frequency[n], cells.direction[n])) for f in octaves]
        assert int(np.argmax(answers)) == 1


def test_direction_selectivity_is_as_planted(population: SimulatedPopulation) -> None:
    cells, index, planted = population.cells, [], []
    for n in central(population, SIMPLE, 12) + central(population, COMPLEX, 12):
        if cells.temporal_frequency[n] < 1.5:
            continue
        own = grating(cells.spatial_frequency[n], cells.temporal_frequency[n], cells.direction[n])
        away = grating(cells.spatial_frequency[n], cells.temporal_frequency[n], cells.direction[n] + np.pi)
        preferred, opposite = answer(population, n, own), answer(population, n, away)
        index.append((preferred - opposite) / (preferred + opposite))
        planted.append(cells.selectivity[n])
    assert len(index) > 8 and np.corrcoef(index, planted)[0, 1] > 0.7


def modulation(population: SimulatedPopulation, neuron: int) -> float:
    """Response at the grating's frequency over the mean: above 1 in simple, near 0 in complex cells."""
    cells = population.cells
    frequency = float(cells.temporal_frequency[neuron])
    stimulus = grating(cells.spatial_frequency[neuron], frequency, cells.direction[neuron])
    trace = population.energy(stimulus)[0, neuron, 15:].double().numpy()
    wave = np.exp(-2j * np.pi * frequency * np.arange(len(trace)) / 30)
    return float(2 * abs((trace * wave).mean()) / trace.mean())


def test_simple_cells_follow_the_phase_and_complex_cells_do_not(population: SimulatedPopulation) -> None:
    def quick(kind: int) -> list[int]:
        return [n for n in central(population, kind, 20) if population.cells.temporal_frequency[n] > 1.2]

    simple = [modulation(population, n) for n in quick(SIMPLE)]
    complexes = [modulation(population, n) for n in quick(COMPLEX) if population.cells.selectivity[n] > 0.6]
    assert len(simple) > 3 and len(complexes) > 2
    assert min(simple) > 1.0 and max(complexes) < 0.5


def test_luminance_cells_answer_to_their_own_sign(population: SimulatedPopulation) -> None:
    for n in central(population, LUMINANCE):
        lit = answer(population, n, torch.ones(1, FRAMES, *SIZE))
        dark = answer(population, n, -torch.ones(1, FRAMES, *SIZE))
        assert (lit > dark) == (population.cells.sign[n] > 0)


def test_responses_are_causal_and_remember_fourteen_frames(population: SimulatedPopulation) -> None:
    movie = torch.rand(1, 1, 50, *SIZE, generator=torch.Generator().manual_seed(0))
    changed = movie.clone()
    changed[:, :, 20] = 1 - changed[:, :, 20]
    behavior = torch.tensor([45.0, 0.0, 120.0, 120.0])[None, :, None].expand(1, 4, 50)
    before, after = (
        expected_responses(population.cells, spike_rates(population.cells, population.drive(m), behavior))
        for m in (movie, changed)
    )
    touched = ((before - after).abs().amax((0, 1)) > 1e-5).nonzero().ravel()
    assert touched.min() >= 20 and touched.max() <= 20 + 13


def test_no_filter_holds_subnormal_numbers() -> None:
    """They made a simulation of one minute last seven on some processors."""
    settings = SimulationSettings(neurons=200)
    filters = spatial_filters(plant_cells(settings), settings.frame_size, settings.degrees_per_pixel)
    assert float(filters.abs()[filters != 0].min()) > torch.finfo(torch.float32).tiny


def test_kernels_peak_at_their_latency_and_end_in_zero() -> None:
    cells = plant_cells(SETTINGS)
    slow = cells.temporal_frequency < 1.5
    even = temporal_filters(cells)[0].numpy()
    peak = even.argmax(1)[slow] + 0.5
    assert np.abs(peak - cells.latency[slow] * 30).max() <= 1.0
    assert np.abs(even[:, -1]).max() < 0.05 * np.abs(even).max()


def test_parameters_lie_in_the_ranges_of_mouse_v1() -> None:
    cells = plant_cells(SimulationSettings(neurons=2000))
    tuned = cells.kind != LUMINANCE
    assert cells.spatial_frequency[tuned].min() >= 0.02 and cells.spatial_frequency.max() <= 0.16
    assert cells.temporal_frequency.min() >= 0.5 and cells.temporal_frequency.max() <= 4
    assert 2 * cells.radius.min() >= 5 and 2 * cells.radius.max() <= 20
    near = np.abs(np.angle(np.exp(4j * cells.direction))) < np.pi / 2
    assert 0.6 < near.mean() < 0.85
    assert np.corrcoef(cells.centre_x, cells.position[:, 0])[0, 1] > 0.95
    assert set(cells.plane) == set(range(10))
    assert abs(np.corrcoef(cells.plane, cells.position[:, 2])[0, 1]) > 0.99


def test_more_neurons_keep_the_first_ones() -> None:
    few, many = plant_cells(SETTINGS), plant_cells(replace(SETTINGS, neurons=90))
    for name, array in few.as_arrays().items():
        np.testing.assert_array_equal(array, many.as_arrays()[name][:60], err_msg=name)
    other = plant_cells(replace(SETTINGS, seed=1))
    assert not np.array_equal(few.direction, other.direction)


@pytest.mark.parametrize("coverage", [0.3, 0.5])
def test_coverage_is_a_share_of_the_screen(coverage: float) -> None:
    cells = plant_cells(SimulationSettings(neurons=2000, coverage=coverage))
    area = np.ptp(cells.centre_x) * np.ptp(cells.centre_y)
    assert area == pytest.approx(coverage * 64 * 36 * 1.94**2, rel=0.02)
    assert np.abs(cells.centre_x).max() <= 62.1 and np.abs(cells.centre_y).max() <= 35


def test_patches_lie_in_columns_of_their_own() -> None:
    cells = plant_cells(SimulationSettings(neurons=4000, coverage=0.2, patches=2))
    left, area = cells.centre_x < 0, 0.0
    for side in (left, ~left):
        assert side.mean() == pytest.approx(0.5, abs=0.05)
        area += np.ptp(cells.centre_x[side]) * np.ptp(cells.centre_y[side])
    assert area == pytest.approx(0.2 * 64 * 36 * 1.94**2, rel=0.02)
    assert cells.position[left, 0].max() < cells.position[~left, 0].min(), "imaged in fields of their own"
    one = plant_cells(SimulationSettings(neurons=4000, coverage=0.2))
    assert np.array_equal(one.phase, cells.phase) and not np.array_equal(one.centre_x, cells.centre_x)


def test_surround_contrast_divides(population: SimulatedPopulation) -> None:
    cells = population.cells
    n = min(central(population, SIMPLE, 20), key=lambda k: float(cells.radius[k]))
    x, y = pixel_grid(SIZE, PITCH)
    distance = np.hypot(x - cells.centre_x[n], y - cells.centre_y[n]).reshape(SIZE)
    whole = grating(cells.spatial_frequency[n], cells.temporal_frequency[n], cells.direction[n])
    patch = whole * torch.from_numpy(distance < 4 * cells.radius[n])
    noise = torch.randn(1, FRAMES, *SIZE, generator=torch.Generator().manual_seed(0))
    crowded = patch + 2 * noise * torch.from_numpy(distance > 5 * cells.radius[n])
    movies = [(100 + 50 * signal)[:, None] / 255 for signal in (patch, crowded)]
    alone, together = (float(population.drive(movie)[0, n, 20:].mean()) for movie in movies)
    assert 0 < together < 0.8 * alone


def test_gaze_moves_receptive_fields_like_the_opposite_shift_of_the_movie(population: SimulatedPopulation) -> None:
    movie = torch.rand(1, 1, 30, *SIZE, generator=torch.Generator().manual_seed(1))
    gaze = torch.tensor([2 * PITCH, -PITCH])[None, :, None].expand(1, 2, 30)
    moved = torch.full_like(movie, 100 / 255)
    moved[..., 1:, :-2] = movie[..., :-1, 2:]
    torch.testing.assert_close(population.drive(movie, gaze=gaze), population.drive(moved), atol=2e-3, rtol=1e-3)


def test_semantic_neurons_answer_to_meaning_and_mixed_ones_multiply() -> None:
    population = SimulatedPopulation(replace(SETTINGS, semantic=0.4, mixed=0.3))
    cells, movie = population.cells, torch.rand(1, 1, 40, *SIZE, generator=torch.Generator().manual_seed(2))
    assert 0.2 < (cells.role == SEMANTIC).mean() < 0.6
    blank = torch.zeros(1, len(ATTRIBUTES), 40)
    shown = blank.clone()
    shown[:, 2] = 1
    ratio = (population.drive(movie, shown) / population.drive(movie, blank))[0, :, -1]
    seen = population.drive(movie)[0, :, -1] > 0
    meant = torch.from_numpy(np.exp(cells.weights[:, 2])).float()
    counted = torch.from_numpy(cells.role == SEMANTIC) | seen
    torch.testing.assert_close(ratio[counted], meant[counted], rtol=1e-4, atol=1e-5)
    other = torch.rand(1, 1, 40, *SIZE, generator=torch.Generator().manual_seed(3))
    semantic = torch.from_numpy(cells.role == SEMANTIC)
    torch.testing.assert_close(population.drive(movie, shown)[:, semantic], population.drive(other, shown)[:, semantic])


def test_a_recording_tells_what_was_planted(tmp_path: Path) -> None:
    settings = SimulationSettings(neurons=40, coverage=0.4)
    cells = plant_cells(settings)
    (tmp_path / "meta/truth").mkdir(parents=True)
    for name, values in cells.as_arrays().items():
        np.save(tmp_path / "meta/truth" / f"{name}.npy", values)
    found = planted(tmp_path)
    assert all(np.array_equal(getattr(found, name), values) for name, values in cells.as_arrays().items())
    with pytest.raises(ValueError, match="expected a simulated recording"):
        planted(tmp_path / "meta")


def test_what_is_covered_lies_around_the_centres() -> None:
    settings = SimulationSettings(neurons=300, coverage=0.4)
    cells = plant_cells(settings)
    seen = covered(cells, settings.frame_size, settings.degrees_per_pixel)
    assert seen.shape == settings.frame_size and 0.3 < seen.mean() < 0.7
    rows = np.round(cells.centre_y / settings.degrees_per_pixel + (settings.frame_size[0] - 1) / 2).astype(int)
    columns = np.round(cells.centre_x / settings.degrees_per_pixel + (settings.frame_size[1] - 1) / 2).astype(int)
    assert seen[rows, columns].mean() > 0.9
