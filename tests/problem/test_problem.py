"""The problem: masks, windows, several observations, and a closed form."""

from dataclasses import replace

import pytest
import torch
from worlds import linear as worlds

from recon.encoders.base import Spec, freeze
from recon.encoders.core_readout.core import CoreSettings
from recon.encoders.core_readout.model import CoreReadout, CoreReadoutSettings
from recon.problem.fidelities import FIDELITIES
from recon.problem.problem import Observation, Problem, counted_frames
from recon.problem.subclips import subclip_gradients
from recon.problem.windows import windowed_rates
from recon.types import Acquisition, Trial, stack


def test_left_out_neurons_change_neither_energy_nor_gradient() -> None:
    problem = worlds.problem()
    measured = problem.observations[0].measurement
    changed = measured.responses.clone()
    changed[:, ~measured.neurons] = 99.0
    altered = replace(problem.observations[0], measurement=replace(measured, responses=changed))
    other = Problem(problem.fidelity, (altered,))
    movie = worlds.movies(2, seed=3)
    for ours, theirs in zip(problem.value_and_gradient(movie), other.value_and_gradient(movie), strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(problem.selection_misfit(movie), other.selection_misfit(movie))


def test_permuting_neurons_changes_nothing() -> None:
    problem, order = worlds.problem(), torch.randperm(worlds.NEURONS, generator=torch.Generator().manual_seed(0))
    encoder, measured = worlds.encoder(), problem.observations[0].measurement
    encoder.weights.data, encoder.bias.data = encoder.weights.data[order], encoder.bias.data[order]
    shuffled = replace(
        measured,
        responses=measured.responses[:, order],
        neurons=measured.neurons[order],
        selection=measured.selection[order],
    )
    movie = worlds.movies(2, seed=3)
    ours, theirs = problem.energy(movie), Problem(problem.fidelity, (Observation(encoder, shuffled),)).energy(movie)
    assert torch.allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("window", [1, 4, 5, 11])
def test_windows_give_what_one_pass_gives(window: int) -> None:
    whole, parts = worlds.problem(), worlds.problem(window=window)
    movie = worlds.movies(2, seed=3)
    for ours, theirs in zip(whole.value_and_gradient(movie), parts.value_and_gradient(movie), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    encoder = whole.observations[0].encoder
    assert torch.allclose(windowed_rates(encoder, movie, None, window), encoder(movie), atol=1e-5)


def test_gradient_is_the_energys() -> None:
    problem, movie = worlds.problem(), worlds.movies(2, seed=3)
    value, gradient = problem.value_and_gradient(movie)
    assert torch.allclose(value, problem.energy(movie))
    direction = torch.randn(movie.shape, generator=torch.Generator().manual_seed(0))
    up, down = problem.energy(movie + 1e-2 * direction), problem.energy(movie - 1e-2 * direction)
    assert torch.allclose((up - down) / 2e-2, (gradient * direction).flatten(1).sum(1), rtol=2e-2, atol=0.5)


def test_a_batch_gives_what_its_samples_give_alone() -> None:
    problem, movie = worlds.problem(3), worlds.movies(3, seed=3)
    value, gradient = problem.value_and_gradient(movie)
    observation = problem.observations[0]
    for i in range(3):
        measured = observation.measurement.sample(torch.tensor([i]))
        alone = Problem(problem.fidelity, (Observation(observation.encoder, measured),)).value_and_gradient(movie[[i]])
        assert torch.allclose(alone[0], value[[i]], rtol=1e-5)
        assert torch.allclose(alone[1], gradient[[i]], rtol=1e-4, atol=1e-5)


def test_subclips_see_only_themselves_and_count_what_has_its_context() -> None:
    problem, movie = worlds.problem(), worlds.movies(2, seed=3)
    _, gradient = problem.value_and_gradient(movie, frames=(4, 9))
    assert float(gradient[:, :, :4].abs().max()) == 0
    assert float(gradient[:, :, 9:].abs().max()) == 0
    assert bool((gradient[:, :, 4:9].abs().amax((0, 1, 3, 4)) > 0).all())
    whole = problem.value_and_gradient(movie, frames=(0, worlds.FRAMES))
    assert torch.allclose(whole[1], problem.value_and_gradient(movie)[1], atol=1e-5)


def test_observations_add_and_stand_alone() -> None:
    problem, movie = worlds.problem(), worlds.movies(2, seed=3)
    first = problem.observations[0]
    twice = Problem(problem.fidelity, (replace(first, weight=0.25), replace(first, weight=0.75)))
    assert torch.allclose(twice.energy(movie), problem.energy(movie), rtol=1e-5)
    assert torch.allclose(twice.value_and_gradient(movie, observation=1)[0], problem.energy(movie), rtol=1e-5)


def test_neuron_counts_must_agree() -> None:
    measured = worlds.measurement(worlds.movies(1))
    fewer = replace(measured, responses=measured.responses[:, :-1])
    with pytest.raises(ValueError, match="expected the encoder's 30, got 29"):
        Observation(worlds.encoder(), fewer)


def test_acquisition_bins_average_rates_and_drop_incomplete_bins() -> None:
    operator = torch.zeros(1, 3, worlds.FRAMES)
    for k in range(3):
        operator[0, k, 4 * k : 4 * k + 4] = 0.25
    acquisition = Acquisition(operator, operator, torch.zeros(worlds.NEURONS, dtype=torch.long))
    rates = torch.rand(2, worlds.NEURONS, worlds.FRAMES)
    assert torch.allclose(acquisition.bin_rates(rates), rates.reshape(2, worlds.NEURONS, 3, 4).mean(-1), atol=1e-6)
    frames = torch.ones(2, worlds.FRAMES, dtype=torch.bool)
    frames[1, 5] = False
    assert acquisition.bin_mask(frames)[:, 0].tolist() == [[True, True, True], [True, False, True]]


def test_planes_are_binned_by_their_own_operator() -> None:
    operators = torch.stack([torch.eye(4), 2 * torch.eye(4)])
    acquisition = Acquisition(operators, operators, torch.tensor([1, 0, 1]))
    rates = torch.rand(1, 3, 4)
    assert torch.allclose(acquisition.bin_rates(rates), rates * torch.tensor([2.0, 1.0, 2.0])[:, None])


def test_sub_clips_refuse_acquisition_bins() -> None:
    problem = worlds.problem()
    operator = torch.eye(worlds.FRAMES)[None]
    acquisition = Acquisition(operator, operator, torch.zeros(worlds.NEURONS, dtype=torch.long))
    binned = replace(problem.observations[0].measurement, acquisition=acquisition)
    other = Problem(FIDELITIES["poisson"](), (replace(problem.observations[0], measurement=binned),))
    movie = worlds.movies(2, seed=3)
    assert torch.allclose(other.energy(movie), problem.energy(movie), rtol=1e-5)
    with pytest.raises(ValueError, match="frame rate"):
        other.value_and_gradient(movie, frames=(0, 6))


def test_stacking_refuses_ragged_trials() -> None:
    trials = [Trial(i, "train", torch.zeros(1, 4 + i, 2, 2), torch.zeros(3, 4 + i)) for i in range(2)]
    with pytest.raises(ValueError, match=r"got \[4, 5\]"):
        stack(trials)


def test_sub_clips_that_share_a_pass_are_those_that_stand_alone() -> None:
    """With an encoder that filters time first, one pass serves all overlapping sub-clips, exactly."""
    spec = Spec((6, 8), tuple(range(worlds.NEURONS)), behavior=("running_speed",))
    settings = CoreReadoutSettings(CoreSettings(lags=4, temporal=2, block=2, kernel=2, features=5, hidden=6))
    encoder = CoreReadout(spec, settings)
    encoder.initialise(torch.Generator().manual_seed(0))
    measured = replace(worlds.problem().observations[0].measurement, behavior=torch.rand(2, 4, worlds.FRAMES))
    problem = Problem(FIDELITIES["poisson"](), (Observation(freeze(encoder), measured),))
    movie, spans = worlds.movies(2, seed=3), [(0, 6), (2, 8), (4, 10), (6, 12)]
    shared = list(subclip_gradients(problem, movie, spans, observation=0, separable=True))
    seen = problem.meter.frames
    alone = list(subclip_gradients(problem, movie, spans, observation=0, separable=False))
    assert seen == 2 * worlds.FRAMES
    assert problem.meter.frames - seen == 4 * 2 * 6
    for (span, value, gradient), (other, expected, exact) in zip(shared, alone, strict=True):
        assert span == other
        assert torch.allclose(value, expected, rtol=1e-5)
        assert torch.allclose(gradient, exact, rtol=1e-4, atol=1e-6 * float(exact.abs().max()) + 1e-9)
        assert float(exact.abs().max()) > 0


@pytest.mark.parametrize("window", [0, 4])
def test_pixels_outside_the_mask_change_nothing_and_have_no_gradient(window: int) -> None:
    mask = torch.zeros(worlds.HEIGHT, worlds.WIDTH, dtype=torch.bool)
    mask[1:4, 2:6] = True
    masked, movie = replace(worlds.problem(window=window), update_mask=mask), worlds.movies(2, seed=3)
    other = torch.where(mask, movie, torch.rand(movie.shape, generator=torch.Generator().manual_seed(1)))
    for ours, theirs in zip(masked.value_and_gradient(movie), masked.value_and_gradient(other), strict=True):
        assert torch.equal(ours, theirs)
    value, gradient = masked.value_and_gradient(movie)
    assert torch.allclose(value, masked.energy(other))
    assert torch.equal(masked.selection_misfit(movie), masked.selection_misfit(other))
    assert not bool(gradient[..., ~mask].any()) and bool(gradient[..., mask].any())
    grey = torch.where(mask, movie, 0.5)
    expected = worlds.problem(window=window).value_and_gradient(grey)[1]
    assert torch.allclose(gradient[..., mask], expected[..., mask], rtol=1e-5, atol=1e-6)
    assert masked.alone(0).update_mask is mask


@pytest.mark.parametrize(
    "context, span, expected",
    [
        ((0, 5), (0, 3), [False, False, False]),
        ((0, 5), (0, 6), [True, False, False, False, False, False]),
        ((0, 5), (9, 12), [True, True, True]),
        ((5, 0), (4, 7), [False, False, False]),
        ((5, 0), (0, 3), [True, True, True]),
        ((2, 1), (3, 8), [False, False, True, True, False]),
        ((4, 4), (3, 8), [False] * 5),
        ((3, 3), (0, 12), [True] * 12),
    ],
)
def test_frames_of_a_subclip_count_where_their_context_lies_inside(
    context: tuple[int, int], span: tuple[int, int], expected: list[bool]
) -> None:
    encoder = worlds.encoder()
    encoder.spec = replace(encoder.spec, context=context)
    counted = counted_frames(Observation(encoder, worlds.measurement(worlds.movies(1))), span)
    assert counted.tolist() == [expected]
    inside = [
        (t - context[0] >= span[0] or not span[0]) and (t + context[1] < span[1] or span[1] == 12) for t in range(*span)
    ]
    assert expected == inside
