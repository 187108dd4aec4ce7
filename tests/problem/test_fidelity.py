"""Fidelities: closed forms, gradients, left-out neurons, fits that find planted parameters, files."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from worlds.fidelity import BINS, NEURONS, generator, ready, uniform, value_and_gradient, world

from recon.files.sealed import write_sealed
from recon.problem.fidelities import FIDELITIES, Gaussian, Mixture, Poisson, load, save
from recon.problem.fidelities.mixture import log_density

every = pytest.mark.parametrize("name", FIDELITIES)


@every
def test_shape_and_gradcheck(name: str) -> None:
    rates, responses, mask = world()
    fidelity = ready(name)
    assert fidelity(rates, responses, mask).shape == (2,)
    assert torch.autograd.gradcheck(lambda r: fidelity(r, responses, mask), rates.requires_grad_(True))


@every
def test_left_out_neuron_changes_neither_energy_nor_gradient(name: str) -> None:
    rates, responses, mask = world()
    energy, gradient = value_and_gradient(ready(name), rates, responses, mask)
    garbage, noise = rates.clone(), responses.clone()
    garbage[:, 1], noise[:, 1] = math.nan, math.inf
    garbage[..., :2], noise[..., :2] = -math.inf, math.nan
    again, pull = value_and_gradient(ready(name), garbage, noise, mask)
    torch.testing.assert_close(again, energy)
    torch.testing.assert_close(pull, gradient)
    assert not pull[:, 1].any() and not pull[..., :2].any()


@every
def test_left_out_equals_absent(name: str) -> None:
    """Masking a neuron gives what a fidelity of the remaining neurons gives: exact marginalisation."""
    rates, responses, mask = world()
    keep = torch.tensor([0, 2, 3, 4, 5])
    values = vars(ready(name))
    fewer = {key: v[keep] for key, v in values.items() if isinstance(v, Tensor) and len(v) == NEURONS}
    smaller = replace(ready(name), **fewer)
    torch.testing.assert_close(
        ready(name)(rates, responses, mask), smaller(rates[:, keep, 2:], responses[:, keep, 2:], mask[:, keep, 2:])
    )


@every
def test_samples_are_independent_and_neurons_permute(name: str) -> None:
    rates, responses, mask = world(3)
    mask[0, :, -3:] = False
    fidelity = ready(name)
    together = fidelity(rates, responses, mask)
    alone = torch.cat([fidelity(rates[i : i + 1], responses[i : i + 1], mask[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone)
    order = torch.tensor([3, 1, 0, 5, 2, 4])
    values = {key: v[order] for key, v in vars(fidelity).items() if isinstance(v, Tensor) and len(v) == NEURONS}
    permuted = replace(fidelity, **values)
    torch.testing.assert_close(permuted(rates[:, order], responses[:, order], mask[:, order]), together)


@every
def test_finite_for_tiny_negative_and_zero(name: str) -> None:
    fidelity = ready(name)
    for level in (-1e4, -1.0, -1e-12, 0.0, 1e-30, 1e-8, 1e4):
        for response in (0.0, 1e-30, 5.0):
            rates = torch.full((1, NEURONS, BINS), level)
            responses = torch.full((1, NEURONS, BINS), response)
            energy, pull = value_and_gradient(fidelity, rates, responses, torch.ones_like(rates, dtype=torch.bool))
            assert energy.isfinite().all() and pull.isfinite().all(), (level, response)


@every
def test_nothing_counted_is_zero(name: str) -> None:
    rates, responses, mask = world()
    energy, pull = value_and_gradient(ready(name), rates, responses, torch.zeros_like(mask))
    assert not energy.any() and not pull.any()


@every
def test_saved_and_loaded(name: str, tmp_path: Path) -> None:
    rates, responses, mask = world()
    for fidelity in (FIDELITIES[name](), ready(name)):
        save(fidelity, tmp_path / "fidelity.safetensors")
        again = load(tmp_path / "fidelity.safetensors")
        assert type(again) is type(fidelity) and vars(again).keys() == vars(fidelity).keys()
        for key, value in vars(fidelity).items():
            other = getattr(again, key)
            assert torch.equal(other, value) if isinstance(value, Tensor) else other == value
    assert torch.equal(again(rates, responses, mask), fidelity(rates, responses, mask))
    assert [path.name for path in tmp_path.iterdir()] == ["fidelity.safetensors"]


@every
def test_moves_and_fits_silently(name: str) -> None:
    """A neuron that never answers, one that is never counted, and global randomness that stays untouched."""
    before = torch.get_rng_state()
    rates, responses, mask = (value.float() if value.dtype == torch.float64 else value for value in world(4))
    rates[:, 2], responses[:, 2] = 0.0, 0.0
    fitted = FIDELITIES[name]().fit(rates, responses, mask).to("cpu")
    energy, pull = value_and_gradient(fitted, rates, responses, torch.ones_like(mask))
    assert energy.isfinite().all() and pull.isfinite().all()
    assert all(v.isfinite().all() and v.dtype == torch.float32 for v in vars(fitted).values() if isinstance(v, Tensor))
    assert torch.equal(before, torch.get_rng_state())


def test_unfitted_and_mismatched_are_refused() -> None:
    rates, responses, mask = world()
    for name in ("gaussian", "mixture", "low_rank"):
        with pytest.raises(ValueError, match="expected fitted parameters"):
            FIDELITIES[name]()(rates, responses, mask)
        with pytest.raises(ValueError, match="expected 6 neurons"):
            ready(name)(rates[:, :3], responses[:, :3], mask[:, :3])


def test_load_refuses_other_files(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="expected a fidelity"):
        load(tmp_path / "other.safetensors")
    write_sealed(tmp_path / "sealed.safetensors", {"x": torch.zeros(1)}, {})
    with pytest.raises(ValueError, match=r"expected a fidelity .* got a file without that mark"):
        load(tmp_path / "sealed.safetensors")


def test_poisson_is_torchs() -> None:
    rates, responses, mask = world()
    reference = torch.nn.functional.poisson_nll_loss(
        rates, responses, log_input=False, full=False, eps=1e-8, reduction="none"
    )
    torch.testing.assert_close(Poisson()(rates, responses, mask), (reference * mask).sum((1, 2)))
    negative = responses - 10.0
    torch.testing.assert_close(Poisson()(rates, negative, mask), (rates * mask).sum((1, 2)))


def test_poisson_gradient_at_zero_is_torchs() -> None:
    rates, responses = torch.zeros(1, 1, 3, requires_grad=True), torch.tensor([[[0.0, 1.0, 2.0]]])
    loss = torch.nn.functional.poisson_nll_loss(rates, responses, log_input=False, reduction="sum")
    (expected,) = torch.autograd.grad(loss, rates)
    _, pull = value_and_gradient(Poisson(), rates.detach(), responses, torch.ones_like(responses) > 0)
    torch.testing.assert_close(pull, expected)


def test_poisson_gradient_leads_back_from_below_zero() -> None:
    _, pull = value_and_gradient(Poisson(), torch.tensor([[[-2.0]]]), torch.zeros(1, 1, 1), torch.tensor([[[True]]]))
    assert float(pull) == -1.0


def test_gaussian_is_torchs() -> None:
    rates, responses, mask = world()
    fidelity = ready("gaussian")
    assert isinstance(fidelity, Gaussian)
    reference = torch.nn.functional.gaussian_nll_loss(rates, responses, fidelity.variance(rates), reduction="none")
    torch.testing.assert_close(fidelity(rates, responses, mask), (reference * mask).sum((1, 2)))


def test_gaussian_fit_finds_planted_variance() -> None:
    rates = 3 * uniform(4, 5, 20_000, seed=6)
    a, b = torch.tensor([0.5, 1, 2, 0.3, 1.0])[:, None], torch.tensor([0.0, 0.5, 2.0, 1.0, 0.2])[:, None]
    noise = torch.randn(rates.shape, generator=generator(7), dtype=torch.float64)
    responses = rates + noise * (a + b * rates).sqrt()
    mask = uniform(*rates.shape, seed=8) > 0.3
    fitted = Gaussian(samples=80_000).fit(rates, torch.where(mask, responses, math.nan), mask)
    assert fitted.intercept is not None and fitted.slope is not None
    torch.testing.assert_close(fitted.intercept, a[:, 0].double(), atol=0.05, rtol=0)
    torch.testing.assert_close(fitted.slope, b[:, 0].double(), atol=0.05, rtol=0)


def test_gaussian_fit_is_the_maximum_of_the_likelihood() -> None:
    rates, responses, mask = 3 * uniform(2, 3, 400, seed=9), 4 * uniform(2, 3, 400, seed=10), torch.ones(2, 3, 400) > 0
    fitted = Gaussian().fit(rates, responses, mask)
    assert fitted.intercept is not None and fitted.slope is not None
    best = fitted(rates, responses, mask).sum()
    for da, db in ((0.02, 0.0), (-0.02, 0.0), (0.0, 0.02), (0.02, -0.02)):
        moved = replace(fitted, intercept=fitted.intercept + da, slope=(fitted.slope + db).clamp_min(0))
        assert moved(rates, responses, mask).sum() >= best - 1e-9


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.1, 0.3, 1.0, 4.0])
def test_mixture_is_a_density_with_the_stated_mean(rate: float) -> None:
    y = torch.logspace(-9, 2, 200_001, dtype=torch.float64)
    floor, amplitude, shape = (torch.tensor(v, dtype=torch.float64) for v in (0.1, 0.8, 2.5))
    level = torch.tensor(rate, dtype=torch.float64)
    density = log_density(y, level, floor=floor, amplitude=amplitude, shape=shape).exp()
    assert float(torch.trapezoid(density, y)) == pytest.approx(1.0, abs=1e-4)
    x = rate - 0.1
    mean = 0.1 + 0.5 * (x + math.hypot(x, 0.05))
    assert float(torch.trapezoid(density * y, y)) == pytest.approx(mean, abs=1e-4)
    assert 0 <= mean - max(rate, 0.1) <= 0.025 + 1e-9


def mixture_world(neurons: int, bins: int) -> tuple[Tensor, Tensor, tuple[float, float, float]]:
    """Responses drawn from the model of `Mixture` by NumPy-free sampling with planted s, A, k."""
    s, amplitude, shape = 0.05, 0.6, 2.0
    rates = s + 0.8 * torch.rand(1, neurons, bins, generator=generator(11)).square()
    x = rates - s
    events = 0.5 * (x + (x.square() + s**2 / 4).sqrt())
    q = -torch.expm1(-events / amplitude)
    happens = torch.rand(rates.shape, generator=generator(12)) < q
    exponentials = -torch.log(torch.rand(3, *rates.shape, generator=generator(13)).clamp_min(1e-12))
    gamma = (exponentials[0] + exponentials[1]) / shape * (s + events / q)
    return rates, torch.where(happens, gamma, s * exponentials[2]), (s, amplitude, shape)


def test_mixture_fit_finds_planted_parameters() -> None:
    rates, responses, planted = mixture_world(20, 6000)
    fitted = Mixture(samples=6000).fit(rates, responses, torch.ones_like(rates) > 0)
    found = (fitted.floor_scale, fitted.amplitude, fitted.shape)
    for value, parameter in zip(planted, found, strict=True):
        assert parameter is not None and float(parameter.mean()) == pytest.approx(value, rel=0.1)
    gaussian = Gaussian().fit(rates, responses, torch.ones_like(rates) > 0)
    true, wrong = rates, rates.roll(1, 2)
    mask = torch.ones_like(rates) > 0
    assert fitted(true, responses, mask) < fitted(wrong, responses, mask)
    assert gaussian(true, responses, mask) < gaussian(wrong, responses, mask)


def test_mixture_does_not_depend_on_the_unit_of_responses() -> None:
    rates, responses, _ = mixture_world(4, 1000)
    mask = torch.ones_like(rates) > 0
    one, ten = Mixture().fit(rates, responses, mask), Mixture().fit(10 * rates, 10 * responses, mask)
    assert one.amplitude is not None and ten.amplitude is not None
    torch.testing.assert_close(10 * one.amplitude, ten.amplitude, rtol=1e-3, atol=0)


@pytest.mark.parametrize("name", ["poisson", "gaussian", "mixture"])
def test_drawn_responses_have_the_likelihoods_mean_and_fit_it_again(name: str) -> None:
    generator = torch.Generator().manual_seed(4)
    rates = 0.2 + 2 * torch.rand(8, 3, 400, generator=generator)
    responses = torch.poisson(rates, generator) * 1.3 + 0.05 * torch.rand(rates.shape, generator=generator)
    mask = torch.ones_like(rates, dtype=torch.bool)
    likelihood = FIDELITIES[name]().fit(rates, responses, mask)
    drawn = likelihood.sample(rates, generator)
    assert drawn.shape == rates.shape
    if name != "mixture":
        assert torch.allclose(drawn.mean((0, 2)), rates.mean((0, 2)), rtol=0.05)
        return
    events = rates - likelihood.floor_scale[:, None]
    expected = likelihood.floor_scale[:, None] + 0.5 * (
        events + (events.square() + 0.25 * likelihood.floor_scale[:, None].square()).sqrt()
    )
    assert torch.allclose(drawn.mean((0, 2)), expected.mean((0, 2)), rtol=0.05)
    again = likelihood.fit(rates, drawn, mask)
    assert torch.allclose(again.amplitude, likelihood.amplitude, rtol=0.25)
    assert torch.allclose(again.floor_scale, likelihood.floor_scale, rtol=0.25)
