"""From captions to responses: ridge against scikit-learn, folds by content, nulls of exchanged clips."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from recon.analysis.language.ridge import PENALTIES, SHARES, content_folds, fit_banded, fit_readout
from recon.analysis.language.significance import clip_products, false_discovery, permutation_test


def test_ridge_is_scikit_learns_and_each_neuron_has_its_penalty() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 20)) + 1
    y = x @ rng.normal(size=(20, 7)) + rng.normal(size=(300, 7)) * np.logspace(-1, 2, 7) + 5
    readout = fit_readout(torch.from_numpy(x), torch.from_numpy(y), np.repeat(np.arange(30), 10).tolist())
    assert len(set(readout.penalty.tolist())) > 2 and float(readout.penalty[0]) < float(readout.penalty[-1])
    for neuron, penalty in enumerate(readout.penalty.tolist()):
        model = Ridge(alpha=penalty).fit(x, y[:, neuron])
        np.testing.assert_allclose(readout(torch.from_numpy(x))[:, neuron].numpy(), model.predict(x), atol=1e-6)


@pytest.mark.parametrize("samples, width", [(240, 30), (60, 90)])
def test_penalties_and_bands_are_those_of_himalaya(samples: int, width: int) -> None:
    """Also where there are more features than samples; folds of equal size, over which it averages."""
    from himalaya.backend import set_backend
    from himalaya.ridge import solve_group_ridge_random_search, solve_ridge_cv_svd

    set_backend("torch")
    rng = np.random.default_rng(5)
    first, second = (torch.from_numpy(rng.normal(size=(samples, width))) for _ in range(2))
    drive = 3 * first[:, :4] @ torch.from_numpy(rng.normal(size=(4, 12))) + second @ torch.from_numpy(
        rng.normal(size=(width, 12)) * (np.arange(12) < 6)
    )
    y = drive + drive.std() * torch.from_numpy(rng.normal(size=(samples, 12)))
    groups = np.repeat(np.arange(samples // 6), 6).tolist()
    folds = content_folds(groups, 5)
    alphas = torch.tensor(PENALTIES, dtype=torch.float64)
    penalty, weights, _, offset = solve_ridge_cv_svd(first, y, alphas=alphas, fit_intercept=True, cv=folds, warn=False)
    own = fit_readout(first, y, groups)
    torch.testing.assert_close(own.penalty, penalty)
    torch.testing.assert_close(own.weights, weights, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(own.offset, offset, rtol=1e-8, atol=1e-10)
    deltas, weights, _, offset = solve_group_ridge_random_search(
        [first, second], y, n_iter=torch.tensor([[s, 1 - s] for s in SHARES], dtype=torch.float64), alphas=alphas,
        fit_intercept=True, cv=folds, return_weights=True, progress_bar=False, warn=False,
    )  # fmt: skip
    banded = fit_banded(first, second, y, groups)
    torch.testing.assert_close(banded.penalty.log(), -deltas)
    torch.testing.assert_close(banded.weights, weights, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(banded.offset, offset, rtol=1e-8, atol=1e-10)


def test_contents_are_in_one_fold_each() -> None:
    groups = [3, 3, 1, 1, 1, 2, 5, 5, 3]
    seen = []
    for learnt, held in content_folds(groups, 3):
        assert not {groups[i] for i in learnt} & {groups[i] for i in held}
        seen += held.tolist()
    assert sorted(seen) == list(range(9))
    with pytest.raises(ValueError, match="at most one for each of 4 contents, got 5"):
        content_folds(groups, 5)
    with pytest.raises(ValueError, match="as many features, responses and groups, got 3, 2 and 3"):
        fit_readout(torch.zeros(3, 1), torch.zeros(2, 1), [1, 2, 3])


def smooth(rng: np.random.Generator, clips: int, frames: int, neurons: int) -> list[torch.Tensor]:
    """Clips whose frames are much alike: every clip has a level of its own, and drifts."""
    walk = rng.normal(size=(clips, 1, neurons)) + 0.3 * rng.normal(size=(clips, frames, neurons)).cumsum(1)
    return list(torch.from_numpy(walk))


@pytest.mark.parametrize("seed", range(4))
def test_unrelated_predictions_are_rarely_called_better_than_chance(seed: int) -> None:
    """400 neurons, 24 clips: of false positives at 5 % there may be 5 %, and none is left after correction.

    A test of frames, which takes those of a clip for independent, calls ten times as many.
    """
    rng = np.random.default_rng(seed)
    predicted, responses = (smooth(rng, 24, 20, 400) for _ in range(2))
    r, p = permutation_test(clip_products(predicted, responses), permutations=400, generator=rng)
    assert float((p <= 0.05).double().mean()) <= 0.075  # 5 % and two standard errors of 400 tests
    assert (false_discovery(p.numpy()) <= 0.05).mean() <= 0.01
    frames = 24 * 20
    naive = r * ((frames - 2) / (1 - r**2)).sqrt() > 1.645
    assert float(naive.double().mean()) > 0.2


def test_related_predictions_are_found_and_r_is_pearsons() -> None:
    rng = np.random.default_rng(9)
    responses = smooth(rng, 24, 20, 50)
    predicted = [clip + torch.from_numpy(rng.normal(size=clip.shape)) for clip in responses]
    r, p = permutation_test(clip_products(predicted, responses), permutations=200, generator=rng)
    joined = [torch.cat(series).T.numpy() for series in (predicted, responses)]
    expected = [np.corrcoef(one, other)[0, 1] for one, other in zip(*joined, strict=True)]
    np.testing.assert_allclose(r.numpy(), expected, atol=1e-10)
    assert (false_discovery(p.numpy()) < 0.05).all()


def test_a_constant_neuron_has_neither_r_nor_p() -> None:
    rng = np.random.default_rng(3)
    responses = [torch.ones(5, 1) for _ in range(4)]
    r, p = permutation_test(clip_products(smooth(rng, 4, 5, 1), responses), permutations=10, generator=rng)
    assert r.isnan().all() and p.isnan().all()
    assert np.isnan(false_discovery([np.nan, 0.5])[0]) and false_discovery([np.nan, 0.5])[1] == 0.5
    with pytest.raises(ValueError, match="expected equal ones"):
        clip_products(smooth(rng, 4, 5, 1), smooth(rng, 4, 6, 1))
