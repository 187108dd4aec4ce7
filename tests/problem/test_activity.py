"""Weak and empty activity: what each condition changes, exactly, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recon.data.sensorium import SensoriumRecording
from recon.errors import InputError
from recon.problem.activity import Activity, with_activity
from recon.problem.clips import Batch, Clips, batches, choose_clips
from recon.problem.weak_activity import check_activity, fluctuations_of
from recon.simulate.again import GREY_LEVEL, settings_of, show_again
from recon.simulate.fluctuations import Fluctuations, measured
from recon.simulate.settings import TINY


@pytest.fixture(scope="module")
def batch(world: Path) -> Batch:
    recording = SensoriumRecording(world / "recording")
    (found,) = batches(recording, choose_clips(recording, Clips(count=3)), size=3)
    return found


def responses(batch: Batch, **activity: Any) -> torch.Tensor:
    return with_activity(batch, Activity(**activity)).recorded[0]


def test_recorded_activity_is_the_batch_itself(batch: Batch) -> None:
    assert with_activity(batch, Activity(seed=3)) is batch


def test_a_clip_shown_again_has_the_rates_of_the_recording(batch: Batch) -> None:
    """Same cells, same movie, same behavior: only the noise is new."""
    trial = batch.trials[0]
    assert trial.rates is not None and trial.behavior is not None
    settings, noise = settings_of(batch.recording.made_by, batch.recording.path), torch.Generator().manual_seed(0)
    assert settings == TINY
    new, expected = show_again(settings, trial.movie[None], trial.behavior[None], noise)
    torch.testing.assert_close(expected[0], trial.rates)
    assert not torch.equal(new[0], trial.responses)


@pytest.mark.parametrize("contrast", [0.5, 0.0])
def test_contrast_shrinks_the_movie_about_grey_and_what_neurons_signal(batch: Batch, contrast: float) -> None:
    shown = with_activity(batch, Activity(contrast=contrast))
    torch.testing.assert_close(shown.movie - GREY_LEVEL, contrast * (batch.movie - GREY_LEVEL))
    deviations = [torch.stack([trial.rates for trial in one.trials]).std() for one in (shown, batch)]
    assert deviations[0] < deviations[1]
    assert shown.repeated == () and shown.recorded[1] is not None
    torch.testing.assert_close(shown.recorded[1], batch.recorded[1])


def test_a_grey_screen_says_nothing_of_the_clip(batch: Batch) -> None:
    """Expected responses differ between clips by behavior alone."""
    still = replace(
        batch, clips=tuple(replace(c, trial=replace(c.trial, behavior=batch.trials[0].behavior)) for c in batch.clips)
    )
    rates = [trial.rates for trial in with_activity(still, Activity(contrast=0.0)).trials]
    assert rates[0] is not None
    assert all(torch.equal(rates[0], one) for one in rates[1:] if one is not None)


def test_fewer_spikes_leave_the_mean_and_raise_the_variance(batch: Batch) -> None:
    every = with_activity(batch, Activity(spikes=0.1))
    torch.testing.assert_close(
        torch.stack([t.rates for t in every.trials]), torch.stack([t.rates for t in batch.trials])
    )
    full, few = (torch.stack([responses(batch, spikes=s, seed=n) for n in range(12)]) for s in (0.999, 0.1))
    assert float(few.mean() / full.mean()) == pytest.approx(1, abs=0.1)
    assert 4 < float(few.var(0).mean() / full.var(0).mean()) < 14


def test_recorded_counts_are_thinned_and_other_responses_are_refused(batch: Batch) -> None:
    recorded: Any = type("Recorded", (), {"activity": "recorded", "made_by": {}, "path": Path("r")})()
    counts = torch.full((24, 4000), 7.0)
    trial = replace(batch.trials[0], responses=counts)
    clip = replace(batch.clips[0], trial=trial)
    seen = responses(replace(batch, recording=recorded, clips=(clip,)), spikes=0.2)
    assert set((seen * 0.2).round(decimals=4).unique().tolist()) <= set(map(float, range(8)))
    assert float(seen.mean()) == pytest.approx(7, rel=0.02)
    assert float(seen.var()) == pytest.approx(7 * 0.8 / 0.2, rel=0.05)
    broken = replace(clip, trial=replace(trial, responses=counts + 0.5))
    with pytest.raises(InputError, match="whole numbers"):
        responses(replace(batch, recording=recorded, clips=(broken,)), spikes=0.2)


def test_a_shift_keeps_behavior_beside_activity(batch: Batch) -> None:
    shown, frames = with_activity(batch, Activity(shifted=True)), batch.frames
    for old, new in zip(batch.trials, shown.trials, strict=True):
        lags = [lag for lag in range(frames) if torch.equal(old.responses.roll(lag, -1), new.responses)]
        assert len(lags) == 1 and frames // 4 <= lags[0] < frames - frames // 4
        assert old.behavior is not None and new.behavior is not None and new.rates is None
        assert torch.equal(old.behavior.roll(lags[0], -1), new.behavior)
        assert torch.equal(old.movie, new.movie)


def test_a_permutation_exchanges_neurons_in_their_own_units(batch: Batch) -> None:
    std = torch.from_numpy(batch.recording.statistic("responses", "std", frames=1).astype(np.float32))
    new, old = responses(batch, permuted=True) / std, batch.recorded[0] / std
    for own, before in zip(new, old, strict=True):
        torch.testing.assert_close(own.sum(0), before.sum(0))
        order = torch.cdist(own, before).argmin(1)
        assert sorted(order.tolist()) == list(range(len(std))) and not torch.equal(order, torch.arange(len(std)))
        torch.testing.assert_close(own, before[order])


def test_draws_depend_on_the_trial_alone(batch: Batch) -> None:
    """A clip has the same activity in whatever batch; another seed, another."""
    alone = replace(batch, clips=batch.clips[1:2], strangers=batch.strangers[1:2])
    for activity in ({"contrast": 0.3}, {"spontaneous": True}, {"shifted": True}, {"permuted": True}):
        together = responses(batch, **activity)
        assert torch.equal(together[1:2], responses(alone, **activity))
        assert not torch.equal(together, responses(batch, **activity, seed=1))


def test_measured_fluctuations_are_those_that_were_drawn() -> None:
    """Two slow gains over 30 neurons with Poisson noise: their covariance and time course are found again."""
    generator = torch.Generator().manual_seed(1)
    loadings = 0.4 * torch.randn(30, 2, generator=generator)
    planted = Fluctuations(loadings, torch.tensor([0.98, 0.98]))
    gains = planted.drawn(160, 200, generator)
    assert float(gains.mean()) == pytest.approx(1, abs=0.05)
    rate = 3 * torch.rand(40, 1, 30, 200, generator=generator)
    seen = torch.poisson(rate * gains.unflatten(0, (40, 4)), generator=generator)
    found = measured(iter(seen), components=2)
    expected, got = (one @ one.T for one in (loadings, found.loadings))
    off = ~torch.eye(30, dtype=torch.bool)
    assert float(torch.corrcoef(torch.stack([expected[off], got[off]]))[0, 1]) > 0.9
    assert float(got[off].square().mean() / expected[off].square().mean()) == pytest.approx(1, abs=0.5)
    assert found.keep.tolist() == pytest.approx([0.98, 0.98], abs=0.02)


def test_independent_noise_has_no_shared_fluctuations() -> None:
    seen = torch.poisson(torch.full((20, 4, 20, 200), 3.0), generator=torch.Generator().manual_seed(2))
    assert float(measured(iter(seen)).loadings.square().sum(1).mean()) < 0.01


def test_spontaneous_activity_is_grey_and_fluctuates_together(batch: Batch) -> None:
    shown = with_activity(batch, Activity(spontaneous=True))
    assert torch.equal(shown.movie, torch.full_like(batch.movie, GREY_LEVEL))
    known = fluctuations_of(batch.recording)
    assert known.loadings.shape[0] == TINY.neurons and 0 < known.loadings.shape[1] <= 4
    assert ((known.keep > 0) & (known.keep < 1)).all()


@pytest.mark.parametrize(
    "settings, part",
    [
        ({"contrast": 0.5, "spontaneous": True}, "drop one"),
        ({"spikes": 0.0}, "spikes"),
        ({"contrast": 2.0}, "contrast"),
    ],
)
def test_impossible_activity_is_refused(settings: dict[str, Any], part: str) -> None:
    with pytest.raises(InputError, match=part):
        Activity(**settings)


def test_a_recording_that_was_not_simulated_cannot_be_shown_another_movie() -> None:
    recorded: Any = type("Recorded", (), {"activity": "recorded", "made_by": {}, "path": Path("r")})()
    for activity in (Activity(contrast=0.5), Activity(spontaneous=True)):
        with pytest.raises(InputError, match="expected a recording of `recon simulate`"):
            check_activity(recorded, activity)
