"""Coverage: the share of a movie that a population leaves unseen, pixel by pixel."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from worlds import linear as worlds

from recon.problem import coverage
from recon.problem.coverage import unseen_share
from recon.problem.problem import Problem


def with_neurons(problem: Problem, neurons: Tensor) -> Problem:
    """Return the problem of some fit neurons alone."""
    (seen,) = problem.observations
    return replace(problem, observations=(replace(seen, measurement=replace(seen.measurement, neurons=neurons)),))


def test_the_share_is_the_posterior_variance_of_a_gaussian_known_with_that_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against the Jacobian of the population, and the shares of cosine coefficients in one formula."""
    monkeypatch.setattr(coverage, "PROBES", 3000)
    known, shown = worlds.spectrum(), []
    monkeypatch.setattr(Problem, "shown", lambda problem, movie: shown.append(movie) or movie)
    problem = worlds.problem(1)
    found = unseen_share(problem, known)
    fit = worlds.sets()[0]
    rates = worlds.encoder()(shown[0])[0, fit]
    jacobian = torch.autograd.functional.jacobian(lambda movie: worlds.encoder()(movie)[0, fit], shown[0])
    information = (jacobian[:, :, 0, 0].square() / rates[..., None, None, None]).sum((0, 1)).mean(0)
    power = known.power.flatten()
    expected = (power / (1 + information[..., None] * power)).mean(-1) / power.mean()
    assert found.shape == (1, 1, 1, worlds.HEIGHT, worlds.WIDTH)
    assert torch.allclose(found[0, 0, 0], expected, atol=0.02) and float(expected.max() - expected.min()) > 0.1


def test_less_is_unseen_the_more_neurons_see_and_all_where_none_does() -> None:
    problem, known, fit = worlds.problem(1), worlds.spectrum(), worlds.sets()[0]
    nobody = unseen_share(with_neurons(problem, torch.zeros_like(fit)), known)
    assert torch.allclose(nobody, torch.ones_like(nobody), atol=1e-5)
    few = unseen_share(with_neurons(problem, fit & (torch.arange(len(fit)) < 3)), known)
    all_of_them = unseen_share(problem, known)
    assert float(all_of_them.mean()) < float(few.mean()) < float(nobody.mean())
    masked = replace(problem, update_mask=torch.arange(worlds.WIDTH).expand(worlds.HEIGHT, -1) < 4)
    share = unseen_share(masked, known)
    assert torch.allclose(share[..., 4:], torch.ones(()), atol=1e-5) and float(share[..., :4].mean()) < 0.9


def test_the_share_depends_on_no_response_and_not_on_the_batch() -> None:
    problem, known = worlds.problem(2), worlds.spectrum()
    found = unseen_share(problem, known)
    assert problem.meter.frames == 2 * worlds.FRAMES
    assert torch.equal(found, unseen_share(worlds.problem(2, seed=9), known))
    alone = unseen_share(problem.sample(torch.tensor([1])), known)
    assert torch.allclose(found[1:], alone, atol=1e-6)
    problem.portions.limit(1, 0)
    assert torch.allclose(unseen_share(problem, known), found, atol=1e-6)
