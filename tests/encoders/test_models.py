"""Encoders: context, gradients, batches, freezing, wrapping, ensembles, and the fast readout against a reference."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from worlds.encoders import ALL, core_readout, judge, stimulus

from recon import encoders
from recon.encoders.base import Encoder, Spec, freeze
from recon.encoders.core_readout.core import temporal_filters
from recon.encoders.core_readout.readout import (
    Matrix,
    PlacedReadout,
    PlacewiseReadout,
    SparseReadout,
    gaussian_readout,
    readout_matrix,
    readout_places,
)
from recon.encoders.ensemble import Ensemble
from recon.encoders.linear import Linear
from recon.encoders.runtime.precision import in_precision


@pytest.mark.parametrize("name", ALL)
def test_rates_depend_on_the_stated_context_and_nothing_else(name: str) -> None:
    encoder = ALL[name]().double()
    before, after = encoder.spec.context
    movie, behavior = stimulus(60, batch=1, dtype=torch.float64)
    movie.requires_grad_(True)
    at = 30
    (gradient,) = torch.autograd.grad(encoder(movie, behavior)[..., at].sum(), movie)
    seen = gradient.abs().amax((0, 1, 3, 4)).nonzero().flatten().tolist()
    assert (at - min(seen), max(seen) - at) == (before, after)


@pytest.mark.parametrize("name", ALL)
def test_a_window_with_its_context_gives_the_rates_of_the_whole_movie(name: str) -> None:
    encoder = ALL[name]()
    movie, behavior = stimulus(70)
    before, _ = encoder.spec.context
    part = encoder(movie[:, :, 20 - before : 50], behavior[..., 20 - before : 50])[..., before:]
    torch.testing.assert_close(part, encoder(movie, behavior)[..., 20:50], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("frames", [1, 7, 46, 95])
def test_shape_and_batches(name: str, frames: int) -> None:
    encoder = ALL[name]()
    movie, behavior = stimulus(frames, batch=3)
    rates = encoder(movie, behavior)
    assert rates.shape == (3, 7, frames)
    assert (rates > 0).all()
    alone = torch.cat([encoder(movie[i : i + 1], behavior[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(rates, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_the_layout_in_memory_does_not_matter(name: str) -> None:
    """Recordings store time last, and torch's pixel_unshuffle takes such a tensor for one with channels last."""
    movie, behavior = stimulus(3, batch=2)
    time_last = movie.movedim(2, -1).contiguous().movedim(-1, 2)
    torch.testing.assert_close(ALL[name]()(time_last, behavior), ALL[name]()(movie, behavior))


@pytest.mark.parametrize("name", ALL)
def test_gradient_with_respect_to_the_movie(name: str) -> None:
    encoder = ALL[name]().double()
    movie, behavior = stimulus(5, batch=1, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: encoder(x, behavior), (movie.requires_grad_(True),), fast_mode=True)


def test_every_pixel_moves_some_rate() -> None:
    encoder = core_readout()
    movie, behavior = stimulus(20, batch=1)
    (gradient,) = torch.autograd.grad(encoder(movie.requires_grad_(True), behavior).sum(), movie)
    assert (gradient[0, 0].abs().sum(0) > 0).all()


@pytest.mark.parametrize("name", ["core_readout", "judge"])
def test_behavior_is_a_gain_and_its_absence_is_an_error(name: str) -> None:
    encoder = ALL[name]()
    movie, behavior = stimulus(8)
    ratio = encoder(movie, behavior + 1) / encoder(movie, behavior)
    again = encoder(1 - movie, behavior + 1) / encoder(1 - movie, behavior)
    torch.testing.assert_close(ratio, again, atol=1e-3, rtol=1e-3)
    assert (ratio - 1).abs().max() > 0.01
    with pytest.raises(ValueError, match="behavior: expected"):
        encoder(movie)


def test_the_shifter_moves_receptive_fields() -> None:
    encoder = core_readout(shifter=True)
    movie, behavior = stimulus(8)
    moved = behavior.clone()
    moved[:, 2] += 2.0
    still = core_readout(shifter=True, behavior=("pupil_x", "pupil_y"))
    assert (still(movie, moved) - still(movie, behavior)).abs().max() > 1e-3
    assert encoder(movie, behavior).isfinite().all()
    with pytest.raises(ValueError, match="pupil_x"):
        core_readout(shifter=True, behavior=("running_speed",))


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 1, 6), (4, 7, 1)])
def test_the_sparse_readout_is_the_reference_readout(shape: tuple[int, int, int]) -> None:
    readout = gaussian_readout(shape, 30).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        readout._features.normal_(generator=generator)
        readout._mu.uniform_(-1.2, 1.2, generator=generator)
    features = torch.randn(6, *shape, generator=generator, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(6, 30, generator=generator, dtype=torch.float64)
    learnt = (features, readout._mu, readout._features)
    expected = readout(features, sample=False)
    wanted = torch.autograd.grad((expected * weights).sum(), learnt)
    matrix = readout_matrix(readout, readout._mu[0, :, 0])
    rates = SparseReadout.apply(features.permute(0, 2, 3, 1).flatten(1), matrix.values, matrix) + readout.bias
    got = torch.autograd.grad((rates * weights).sum(), learnt)
    torch.testing.assert_close(rates, expected)
    torch.testing.assert_close(got[0], wanted[0])
    torch.testing.assert_close(got[2], wanted[2])
    axes = [axis for axis, side in ((0, shape[2]), (1, shape[1])) if side > 1]
    torch.testing.assert_close(got[1][..., axes], wanted[1][..., axes])


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 1, 6), (4, 7, 1)])
def test_the_readout_by_places_is_the_matrix(shape: tuple[int, int, int]) -> None:
    readout = gaussian_readout(shape, 30).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        readout._features.normal_(generator=generator)
        readout._mu.uniform_(-1.2, 1.2, generator=generator)
    at = readout._mu[0, :, 0].detach()
    features = torch.randn(6, shape[1] * shape[2], shape[0], generator=generator, dtype=torch.float64)
    features.requires_grad_(True)
    matrix, places = readout_matrix(readout, at), readout_places(readout, at)
    assert isinstance(places, PlacewiseReadout)
    results = [PlacedReadout.apply(features, places), SparseReadout.apply(features.flatten(1), matrix.values, matrix)]
    pull = torch.randn(6, 30, generator=generator, dtype=torch.float64)
    got, wanted = (torch.autograd.grad((result * pull).sum(), features)[0] for result in results)
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(got, wanted)


def test_neurons_in_one_place_are_read_by_the_matrix() -> None:
    readout = gaussian_readout((3, 9, 16), 200)
    assert isinstance(readout_places(readout, torch.zeros(200, 2)), Matrix)


def test_frozen_and_learning_readouts_agree_and_the_kept_matrix_follows_the_weights() -> None:
    encoder = core_readout()
    movie, behavior = stimulus(10)
    frozen = encoder(movie, behavior)
    encoder.requires_grad_(True)
    torch.testing.assert_close(encoder(movie, behavior), frozen)
    freeze(encoder)
    with torch.no_grad():
        encoder.readout.features.mul_(2)
    assert (encoder(movie, behavior) - frozen).abs().max() > 1e-3


def test_building_encoders_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    core_readout(shifter=True)
    judge()
    assert torch.equal(torch.get_rng_state(), state)


def test_temporal_filters_equal_a_convolution() -> None:
    generator = torch.Generator().manual_seed(0)
    movie, filters = torch.randn(2, 24, 3, 4, generator=generator), torch.randn(3, 5, generator=generator)
    expected = torch.nn.functional.conv3d(movie[:, None], filters[:, None, :, None, None]).transpose(1, 2)
    for span in (20, 10, 4):
        torch.testing.assert_close(temporal_filters(movie, filters, span=span), expected)


@pytest.mark.parametrize("frames", [60, 20, 14])
def test_frames_filtered_without_padding_are_those_with_all_their_history(frames: int) -> None:
    encoder = core_readout()
    before, movie = encoder.spec.context[0], stimulus(frames)[0]
    whole, inside = encoder.filtered(movie), encoder.filtered(movie, padded=False)
    assert inside.shape[1] == frames - before
    torch.testing.assert_close(inside, whole[:, before:])


def test_linear_is_the_sum_that_it_says() -> None:
    weights = torch.randn(2, 1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    movie = torch.rand(1, 1, 6, 4, 5, generator=torch.Generator().manual_seed(1))
    encoder = Linear(weights, torch.tensor([0.5, -1.0]))
    expected = (weights[1, 0] * movie[0, 0, 2:5]).sum() - 1.0
    torch.testing.assert_close(encoder(movie)[0, 1, 4], expected)
    assert encoder.spec.context == (2, 0)


@pytest.mark.parametrize(("arguments", "message"), [({"link": "relu"}, "link"), ({}, "weights")])
def test_linear_refuses(arguments: dict[str, str], message: str) -> None:
    weights = torch.zeros(2, 1, 3, 4, 5) if arguments else torch.zeros(2, 3)
    with pytest.raises(ValueError, match=message):
        Linear(weights, **arguments)


def test_freeze_leaves_no_parameter_gradients() -> None:
    encoder = core_readout().train().requires_grad_(True)
    assert freeze(encoder) is encoder
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_an_ensemble_is_the_mean_and_its_members_are_compared() -> None:
    members = (core_readout(), judge())
    movie, behavior = stimulus(9)
    expected = (members[0](movie, behavior) + members[1](movie, behavior)) / 2
    encoder = encoders.load("ensemble", members=members)
    torch.testing.assert_close(encoder(movie, behavior), expected)
    assert encoder.spec.context == (3, 0)
    other = Linear(torch.zeros(7, 1, 2, 9, 12), spec=Spec((9, 12), tuple(range(7))[::-1], context=(1, 0)))
    with pytest.raises(ValueError, match="neuron_ids"):
        Ensemble((members[0], other))
    with pytest.raises(ValueError, match="members"):
        Ensemble(())


class _Frames(nn.Module):
    def forward(self, frames: Tensor, behavior: Tensor | None = None) -> Tensor:
        rates = frames.flatten(2).mean(2) * torch.arange(1, 4)
        return rates if behavior is None else rates + behavior.sum(1, keepdim=True)


class _Movies(nn.Module):
    def forward(self, movie: Tensor) -> Tensor:
        return movie.mean((1, 3, 4))[:, None] * torch.arange(1, 4)[:, None]


def test_wrapping_frame_by_frame_equals_wrapping_as_a_whole() -> None:
    spec = Spec((9, 12), (1, 2, 3))
    movie, behavior = stimulus(6)
    by_frame = encoders.wrap(_Frames(), spec, frame_by_frame=True)
    torch.testing.assert_close(by_frame(movie, behavior), encoders.wrap(_Movies(), spec)(movie))
    modulated = encoders.wrap(_Frames(), Spec((9, 12), (1, 2, 3), behavior=("pupil_y",)), frame_by_frame=True)
    torch.testing.assert_close(modulated(movie, behavior) - by_frame(movie), behavior[:, 3:].expand(-1, 3, -1))


def test_wrap_refuses_what_cannot_be() -> None:
    movie, _ = stimulus(6)
    with pytest.raises(ValueError, match="context"):
        encoders.wrap(_Frames(), Spec((9, 12), (1, 2, 3), context=(2, 0)), frame_by_frame=True)
    with pytest.raises(ValueError, match="movie: expected"):
        encoders.wrap(_Movies(), Spec((9, 12), (1, 2, 3)))(movie[..., :-1])


def test_load_names_what_it_knows() -> None:
    with pytest.raises(ValueError, match="core_readout"):
        encoders.load("resnet")


@pytest.mark.parametrize("name", ["core_readout", "shifter", "judge"])
def test_initial_weights_come_from_the_generator_alone(name: str) -> None:
    """Also those of the shifter, which neuralpredictors draws from torch's global generator."""
    weights = []
    for seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            weights.append(ALL[name]().state_dict())
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


@pytest.mark.usefixtures("computes_bfloat16")
@pytest.mark.parametrize("make", [*ALL.values(), lambda: core_readout(neurons=600)], ids=[*ALL, "readout by places"])
def test_the_gradient_goes_back_through_bfloat16(make: Callable[[], Encoder]) -> None:
    exact, lowered = make(), in_precision(make(), "bfloat16")
    movie, behavior = stimulus(12)
    pulls = []
    for encoder in (exact, lowered):
        leaf = movie.clone().requires_grad_(True)
        pulls.append(torch.autograd.grad(encoder(leaf, behavior).square().sum(), leaf)[0])
    assert pulls[1].dtype == torch.float32 and not torch.equal(*pulls)
    assert torch.nn.functional.cosine_similarity(pulls[0].flatten(), pulls[1].flatten(), dim=0) > 0.99


def test_a_name_of_the_package_is_the_same_thing_before_and_after_an_encoder_is_loaded() -> None:
    """Functions of the registry bear names of modules; the package hands on the modules alone."""
    before = {name: getattr(encoders, name, None) for name in encoders.ENCODERS}
    encoders.load("core_readout", weights="v1_seed0")
    after = {name: getattr(encoders, name, None) for name in encoders.ENCODERS}
    assert not any(callable(thing) for thing in (*before.values(), *after.values()))
