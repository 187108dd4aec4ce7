"""From captions to responses: ridge against scikit-learn, folds by content, nulls of exchanged clips."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from recon.language.ridge import content_folds, fit_readout
from recon.language.significance import clip_products, false_discovery, permutation_test


def test_ridge_is_scikit_learns_and_each_neuron_has_its_penalty() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 20)) + 1
    y = x @ rng.normal(size=(20, 7)) + rng.normal(size=(300, 7)) * np.logspace(-1, 2, 7) + 5
    readout = fit_readout(torch.from_numpy(x), torch.from_numpy(y), np.repeat(np.arange(30), 10).tolist())
    assert len(set(readout.penalty.tolist())) > 2 and float(readout.penalty[0]) < float(readout.penalty[-1])
    for neuron, penalty in enumerate(readout.penalty.tolist()):
        model = Ridge(alpha=penalty).fit(x, y[:, neuron])
        np.testing.assert_allclose(readout(torch.from_numpy(x))[:, neuron].numpy(), model.predict(x), atol=1e-6)


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
