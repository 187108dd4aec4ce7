"""What single methods promise beyond the contract."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter as scipy_filter
from worlds import linear as worlds

from recon.encoders.training.loop import Learning
from recon.methods import Average, Convolutional, DeepEnsemble, Gradient, Mean, Ridge, Sta, fitted
from recon.methods.artefacts import load_artefact, save_artefact
from recon.methods.combined import gaussian_filter
from recon.methods.linear.lags import Lags, measure_scaling, training_pairs
from recon.methods.linear.regression import cross_validate, fold_moments, solve
from recon.methods.neural.network import DecoderArchitecture
from recon.methods.optimise.first_order import Momentum
from recon.methods.optimise.gradient import training_clips
from recon.methods.optimise.lbfgs import Lbfgs
from recon.methods.optimise.subclip_steps import SubClips

ALL = torch.ones(worlds.NEURONS, dtype=torch.bool)


def test_the_filter_is_scipys() -> None:
    movie = torch.rand(2, 1, 12, 9, 7, dtype=torch.float64)
    for sigma in [(0.5, 0.5, 0.5), (3.0, 0.0, 2.0)]:
        expected = np.stack([scipy_filter(sample[0].numpy(), sigma, mode="reflect") for sample in movie])
        assert np.allclose(gaussian_filter(movie, sigma)[:, 0].numpy(), expected, atol=1e-6)


def test_lags_reach_forward_and_backward() -> None:
    responses = torch.zeros(1, 10)
    responses[0, 5] = 1.0
    features = Lags(-1, 2, 99).apply(responses)
    frames, lags = features.nonzero().T.tolist()
    assert sorted(zip(frames, lags, strict=True)) == [(3, 3), (4, 2), (5, 1), (6, 0)]


def test_ridge_solves_the_normal_equations(tmp_path: Path) -> None:
    training, lags = worlds.training(tmp_path, neurons=ALL), Lags(0, 2, 3)
    scaling = measure_scaling(training, root=True)
    folds = fold_moments(training_pairs(training, lags=lags, scaling=scaling), 3)
    total = folds[0] + folds[1] + folds[2]
    weights, mean = solve(total, 0.5, out=total.cross.shape[1])
    pairs = list(training_pairs(training, lags=lags, scaling=scaling))
    x, y = (torch.cat(parts).double() for parts in zip(*pairs, strict=True))
    xc, yc = x - x.mean(0), y - y.mean(0)
    expected = torch.linalg.solve(xc.T @ xc + 0.5 * len(x) * torch.eye(x.shape[1]), xc.T @ yc)
    assert torch.allclose(weights.double(), expected, atol=1e-4)
    assert torch.allclose(mean.double(), y.mean(0) - x.mean(0) @ expected, atol=1e-4)


def test_cross_validation_prefers_strong_penalties_for_noise(tmp_path: Path) -> None:
    recording = worlds.TinyRecording()
    recording.responses = torch.poisson(torch.ones_like(recording.responses), torch.Generator().manual_seed(0))
    training = worlds.training(tmp_path, recording, neurons=ALL)
    scaling = measure_scaling(training, root=False)
    folds = fold_moments(training_pairs(training, lags=Lags(0, 2, 3), scaling=scaling), 3)
    errors = cross_validate(folds, (0.01, 1.0, 100.0))
    assert int(errors.argmin()) == 2


def test_ridge_beats_the_mean_on_new_clips(tmp_path: Path) -> None:
    recording, problem, truth = worlds.TinyRecording(60), worlds.problem(4), worlds.movies(4, seed=5)
    errors = {}
    for name, method in {"mean": Mean(), "ridge": Ridge(lags=Lags(0, 3, 4)), "sta": Sta(lags=Lags(0, 3, 4))}.items():
        ready = method.fit(worlds.training(tmp_path, recording))
        (last,) = ready(problem, torch.Generator())
        errors[name] = float(((last.movie - truth) ** 2).mean())
    assert errors["ridge"] < errors["sta"] < errors["mean"]


def test_artefacts_are_reused_and_depend_on_the_neurons(tmp_path: Path) -> None:
    training, method = worlds.training(tmp_path, neurons=ALL), Ridge(lags=Lags(0, 1, 2), folds=2)
    first = method.fit(training)
    stamp = first.artefact.stat().st_mtime_ns
    assert method.fit(training) == first
    assert first.artefact.stat().st_mtime_ns == stamp
    other = method.fit(worlds.training(tmp_path))
    assert other.artefact != first.artefact


@pytest.mark.parametrize("method", [Mean(), Ridge(), Sta(), Gradient(parameterisation="spectrum")])
def test_an_unfitted_method_says_what_to_do(method) -> None:
    with pytest.raises(ValueError, match="call fit"):
        next(method(worlds.problem(), torch.Generator()))


def test_the_published_gradient_is_the_mean_of_unit_gradients() -> None:
    problem, movie = worlds.problem(), worlds.movies(2, seed=3)
    subclips = SubClips(8, 4)
    value, gradient = subclips.value_and_gradient(problem, movie)
    parts = [problem.value_and_gradient(movie, frames=span) for span in [(0, 8), (4, 12)]]
    units = [g / (g.flatten(1).norm(dim=1) + 1e-6).reshape(-1, 1, 1, 1, 1) for _, g in parts]
    cover = torch.tensor([1.0] * 4 + [2.0] * 4 + [1.0] * 4)[:, None, None]
    assert torch.allclose(gradient, (units[0] + units[1]) / cover, atol=1e-6)
    assert torch.allclose(value, (parts[0][0] + parts[1][0]) / 2)


def test_subclips_mask_the_averaged_gradient() -> None:
    problem, movie = worlds.problem(), worlds.movies(2, seed=4)
    mask = torch.zeros(movie.shape[-2:], dtype=torch.bool)
    mask[2:, :5] = True
    grey = torch.where(mask, movie, 0.5)
    _, whole = SubClips(8, 4).value_and_gradient(problem, grey)
    _, masked = SubClips(8, 4).value_and_gradient(replace(problem, update_mask=mask), movie)
    assert torch.equal(masked, whole * mask)


def test_subclips_end_flush_with_the_clip() -> None:
    assert SubClips(32, 8).starts(150) == [*range(0, 113, 8), 118]
    assert SubClips(32, 8).starts(20) == [0]


def test_the_published_loop_leaves_the_start_in_its_first_update() -> None:
    method = Gradient(iterations=2, optimiser=Momentum(1.0), subclips=SubClips(8, 4), start_grey=0.4)
    first, second = method(worlds.problem(), torch.Generator())
    assert torch.equal(first.movie, torch.full_like(first.movie, 0.4))
    assert not torch.equal(second.movie, first.movie)


def test_training_clips_overlap_by_half(tmp_path: Path) -> None:
    assert sum(1 for _ in training_clips(worlds.training(tmp_path, worlds.TinyRecording(2, 24)))) == 2 * 3


def test_average_needs_a_weight_for_each_method() -> None:
    with pytest.raises(ValueError, match="one weight for each"):
        Average({"a": Mean()}, {"b": 1.0})


def around_ridge(beta: float) -> Gradient:
    return Gradient(20, "spectrum", Lbfgs(), beta=beta, prior=1.0, centre=Ridge(lags=Lags(0, 3, 4), folds=3))


def test_a_prior_around_another_method_keeps_it_where_activity_says_nothing(tmp_path: Path) -> None:
    ready = around_ridge(0.0).fit(worlds.training(tmp_path))
    *_, last = ready(worlds.problem(), torch.Generator())
    (ridge,) = ready.centre(worlds.problem(), torch.Generator())
    assert torch.allclose(last.movie, ridge.movie, atol=1e-5)


def test_input_optimisation_around_another_method_improves_on_it(tmp_path: Path) -> None:
    ready = around_ridge(1.0).fit(worlds.training(tmp_path))
    problem, truth = worlds.problem(4), worlds.movies(4, seed=5)
    *_, last = ready(problem, torch.Generator())
    (ridge,) = ready.centre(problem, torch.Generator())
    assert float(((last.movie - truth) ** 2).mean()) < float(((ridge.movie - truth) ** 2).mean())


def test_a_centre_needs_a_prior_and_validation_clips(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="whose prior has a centre"):
        Gradient(centre=Mean())
    with pytest.raises(ValueError, match="at least 1 validation clip"):
        around_ridge(1.0).fit(replace(worlds.training(tmp_path), validation=None))


def test_decoders_learn_in_the_units_of_problems(tmp_path: Path) -> None:
    scale = torch.rand(worlds.NEURONS, 1) * 3 + 0.1
    plain, method = worlds.training(tmp_path), Ridge(lags=Lags(0, 1, 2), root=False)
    problem = worlds.problem()
    seen = problem.observations[0].measurement
    divided = replace(problem.observations[0], measurement=replace(seen, responses=seen.responses / scale))
    (expected,) = method.fit(plain)(problem, torch.Generator())
    (scaled,) = method.fit(replace(plain, scale=scale))(replace(problem, observations=(divided,)), torch.Generator())
    assert torch.allclose(scaled.movie, expected.movie, atol=1e-4)


def test_a_decoder_of_other_neurons_says_so(tmp_path: Path) -> None:
    ready, problem = Ridge(lags=Lags(0, 1, 2)).fit(worlds.training(tmp_path)), worlds.problem()
    learnt = load_artefact(ready.artefact, method="ridge")
    save_artefact(learnt | {"neurons": learnt["neurons"][:-1]}, ready.artefact)
    with pytest.raises(ValueError, match="expected 29 neurons, got 30"):
        next(ready(problem, torch.Generator()))


def test_a_deep_ensemble_is_the_mean_over_seeds_and_shares_what_was_learnt(tmp_path: Path) -> None:
    training = worlds.training(tmp_path)
    method = Convolutional(
        DecoderArchitecture(2, 2, Lags(0, 3, 4), (4,)), Learning(steps=3), batch=2, frames=12, margin=2
    )
    alone = [fitted(method, replace(training, seed=seed)) for seed in (0, 4)]
    both = fitted(DeepEnsemble(method, (0, 4)), training)
    assert len(list(tmp_path.glob("convolutional-*.safetensors"))) == 2
    movies = [list(each(worlds.problem(), torch.Generator()))[-1].movie for each in (*alone, both)]
    assert not torch.equal(movies[0], movies[1])
    assert torch.allclose(movies[2], (movies[0] + movies[1]) / 2, atol=1e-6)
    with pytest.raises(ValueError, match="expected different seeds, got"):
        DeepEnsemble(method, (1, 1))
