"""The two forms of ridge regression are one: same weights, errors and penalty, whichever is smaller."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from worlds import linear as worlds

from recon.errors import InputError
from recon.methods import Ridge
from recon.methods.linear import dual, memory
from recon.methods.linear.dual import COLUMNS, dual_bytes
from recon.methods.linear.lags import Lags, lagged_pairs, measure_scaling
from recon.methods.linear.regression import cross_validate, fold_moments, primal_bytes, regressed, solve, sum_of

PENALTIES = (0.03, 0.3, 3.0)


def trials(features: int, count: int = 5) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(5)
    known = torch.randn(features, 7, generator=generator, dtype=torch.float64) / features**0.5
    x = torch.randn(count, 9, features, generator=generator, dtype=torch.float64) + 0.5
    noise = torch.randn(count, 9, 7, generator=generator, dtype=torch.float64)
    return [(one, one @ known + 0.3 * more + 2.0) for one, more in zip(x, noise, strict=True)]


def primal(pairs: list[tuple[Tensor, Tensor]], bands: tuple[tuple[float, ...], ...]) -> dict[str, Tensor]:
    tried = [penalty * torch.tensor(band) for band in bands or ((1.0,),) for penalty in PENALTIES]
    parts = fold_moments(pairs, 3)
    errors = cross_validate(parts, tried)
    penalty = tried[int(errors.argmin())]
    weights, mean = solve(sum_of(parts), penalty, out=7)
    return {"weights": weights, "mean": mean, "errors": errors, "penalty": penalty.squeeze(0)}


@pytest.mark.parametrize("bands", [(), ((1.0, 1.0), (1.0, 30.0))])
def test_both_forms_give_the_same_in_double_precision(
    bands: tuple[tuple[float, ...], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dual, "COLUMNS", 32)  # several blocks
    pairs = trials(features=80)
    found, expected = regressed(pairs, PENALTIES, folds=3, bands=bands), primal(pairs, bands)
    for name in ("weights", "mean"):
        distance = (found[name] - expected[name]).norm() / expected[name].norm()
        assert float(distance) < 1e-6, name
    assert torch.equal(found["penalty"], expected["penalty"])
    torch.testing.assert_close(found["errors"], expected["errors"], rtol=1e-5, atol=1e-6)


def test_the_smaller_form_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    real = dual.Dual.kernels
    monkeypatch.setattr(dual.Dual, "kernels", lambda self: called.append(len(self.targets)) or real(self))
    regressed(trials(features=45), PENALTIES, folds=3)
    assert called == [], "as many frames as features: primal"
    regressed(trials(features=46), PENALTIES, folds=3)
    assert called == [45]


def test_lagged_responses_by_columns_are_those_of_the_whole(tmp_path: Path) -> None:
    training = worlds.training(tmp_path)
    scaling = measure_scaling(training, root=True)
    features, _ = next(lagged_pairs(training, lags=Lags(-1, 3, 3), scaling=scaling))
    width = features.shape[1]
    whole = features.columns(0, width)
    assert whole.shape == tuple(features.shape) and width < COLUMNS
    torch.testing.assert_close(torch.cat([features.columns(i, i + 3) for i in range(0, width, 3)], 1), whole)


def test_ridge_of_more_features_than_frames_reconstructs(tmp_path: Path) -> None:
    recording = worlds.TinyRecording(3, 12)
    training = replace(worlds.training(tmp_path, recording), neurons=worlds.sets()[0])
    ready = Ridge(lags=Lags(-4, 8, 12)).fit(training)
    (last,) = ready(worlds.problem(), torch.Generator())
    assert bool(torch.isfinite(last.movie).all())


def test_twenty_thousand_neurons_fit_where_the_primal_form_does_not() -> None:
    """20,000 neurons × 5 bumps, 10 minutes at 30 Hz, 36 × 64 pixels."""
    features, frames, pixels = 100_000, 18_000, 36 * 64
    assert primal_bytes(features, pixels, folds=3) > 240e9
    assert dual_bytes(frames, features, pixels) < 8e9


def test_too_little_memory_is_said_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory", lambda: 1000)
    for features in (40, 80):
        with pytest.raises(InputError, match=r"GB of memory for its matrices, got 0.0 GB .*; take fewer neurons"):
            regressed(trials(features), PENALTIES, folds=3)


def test_no_penalty_with_more_features_than_frames_is_refused() -> None:
    with pytest.raises(InputError, match="expected penalties above 0 for more features than training frames, got 0"):
        regressed(trials(80), (0.0, 1.0), folds=3)
    singular = [(torch.cat([x, x], 1), y) for x, y in trials(10)]
    with pytest.raises(InputError, match="expected penalties that leave one solution"):
        regressed(singular, (0.0,), folds=3)
