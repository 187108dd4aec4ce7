"""Words that neurons like, what words explain beyond low-level features, and captions read from responses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from sklearn.metrics import roc_auc_score
from torch import Tensor

from recon.analysis.language.clips import HeldOutClips
from recon.analysis.language.features import principal
from recon.analysis.language.low_level import CHANNELS, low_level
from recon.analysis.language.prediction import RegressionData, predict, predict_jointly
from recon.analysis.language.retrieval import read_words
from recon.analysis.language.ridge import fit_banded
from recon.analysis.language.rows import unique_of
from recon.analysis.language.significance import false_discovery
from recon.analysis.language.variance_partition import explained, partition
from recon.analysis.language.words import preferences, presence, vocabulary, words_of
from recon.data.caption_tables import Said

NAMES = ("star", "ring", "leaves", "clouds", "stripes", "spots", "bricks", "cats")


def said_of(clips: int, rng: np.random.Generator, bins: int = 6) -> list[Tensor]:
    """Presence of every word, clip by clip; each is said of a fourth of them."""
    return [torch.from_numpy(np.repeat((rng.random((1, len(NAMES))) < 0.25) * 1.0, bins, 0)) for _ in range(clips)]


def test_planted_words_are_found_and_others_are_at_chance() -> None:
    rng = np.random.default_rng(0)
    shown, weights = said_of(120, rng), torch.from_numpy(rng.normal(size=(len(NAMES), 40)))
    weights[:, 20:] = 0.0  # half of the neurons care for no word
    responses = [one @ weights + torch.from_numpy(rng.normal(size=(len(one), 40))) for one in shown]
    words = {name: int(sum(bool(one[0, k]) for one in shown)) for k, name in enumerate(NAMES)}
    found = preferences(shown, responses, words, permutations=100, generator=rng)
    planted, liking = weights[:, :20].numpy(), found.liking[:, :20].numpy()
    assert roc_auc_score((planted > 0.5).ravel(), liking.ravel()) >= 0.95
    assert (found.sign[:, :20][found.p[:, :20] <= 0.02] == weights[:, :20].sign()[found.p[:, :20] <= 0.02]).all()
    told = torch.from_numpy(false_discovery(found.p.flatten().numpy()).reshape(found.p.shape)) < 0.05
    clear = weights[:, :20].abs() > 1
    assert float(told[:, :20][clear].double().mean()) >= 0.9  # of 320 tests by 100 exchanges
    assert float(told[:, 20:].sum()) <= 0.05 * float(told.sum()) + 2
    false = (found.p[:, 20:] <= 0.05).double().mean()
    assert float(false) <= 0.05 + 2.5 * (0.05 * 0.95 / 160) ** 0.5


def test_what_a_word_adds_is_what_the_error_grows_by_without_it() -> None:
    """Against scikit-learn's ridge, fold by fold, with the word's column at its mean."""
    from sklearn.linear_model import Ridge

    from recon.analysis.language.ridge import content_folds, fit_readout

    rng = np.random.default_rng(1)
    shown = said_of(30, rng, bins=4)
    responses = [
        one @ torch.from_numpy(rng.normal(size=(8, 3))) + torch.from_numpy(rng.normal(size=(4, 3))) for one in shown
    ]
    found = preferences(shown, responses, dict.fromkeys(NAMES, 8), permutations=2, generator=rng)
    x, y = torch.stack(shown), torch.stack(responses)
    groups = np.repeat(np.arange(30), 4).tolist()
    penalty = fit_readout(x.flatten(0, 1), y.flatten(0, 1), groups).penalty
    gain = np.zeros((8, 3))
    for learnt, held in content_folds(range(30), 5):
        for neuron in range(3):
            model = Ridge(alpha=float(penalty[neuron])).fit(x[learnt].flatten(0, 1), y[learnt].flatten(0, 1)[:, neuron])
            asked, told = x[held].flatten(0, 1).numpy(), y[held].flatten(0, 1)[:, neuron].numpy()
            for word in range(8):
                without = asked.copy()
                without[:, word] = x[learnt][..., word].mean()
                errors = [((told - model.predict(seen)) ** 2).sum() for seen in (without, asked)]
                gain[word, neuron] += errors[0] - errors[1]
    np.testing.assert_allclose(found.gain.numpy(), gain / ((y - y.mean((0, 1))) ** 2).sum((0, 1)).numpy(), rtol=1e-6)


def test_stop_words_and_rare_ones_do_not_count() -> None:
    assert not words_of("And of the with it, a 42 for!") and words_of("Über-Stern") == {"über", "stern"}
    assert not words_of("the star of the ring") & ENGLISH_STOP_WORDS
    said = [
        Said(k, 0, 8, "x", "the star" if k % 2 else "the ring and a comet" if k == 0 else "the ring") for k in range(12)
    ]
    assert vocabulary(said, lambda one: f"clip {one.trial}", least=5) == {"ring": 6, "star": 6}
    assert vocabulary(said, lambda one: "one clip", least=1) == {}


def test_presence_is_averaged_over_delays() -> None:
    said = [Said(0, 0, 4, "x", "a star"), Said(0, 4, 8, "x", "a ring and a star")]
    found = presence(said, ["ring", "star"], frames=9, size=2, delays=2)
    assert found[:, 0].tolist() == [0, 0, 0.5, 1] and found[:, 1].tolist() == [0.5, 1, 1, 1]


def world(seed: int, neurons: int = 60, clips: int = 80, bins: int = 12) -> tuple[dict, dict, Tensor]:
    """Text and low-level series that share half of their variance, and responses to the low-level ones alone."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(clips, 1, 6))
    text = shared + rng.normal(size=(clips, 1, 6)) + np.zeros((1, bins, 1))
    low = shared + rng.normal(size=(clips, bins, 6))
    drive = low @ rng.normal(size=(6, neurons))
    responses = drive + drive.std() * rng.normal(size=drive.shape)
    as_series = [{k: torch.from_numpy(clip).float() for k, clip in enumerate(one)} for one in (text, low)]
    return as_series[0], as_series[1], torch.from_numpy(responses).float()


@pytest.mark.parametrize("seed", range(3))
def test_words_explain_nothing_beyond_what_neurons_see(seed: int) -> None:
    text, low, responses = world(seed)
    learnt, asked = tuple(range(50)), tuple(range(50, 80))
    contents = tuple(k for k in learnt for _ in range(12))
    learning = RegressionData(learnt, responses[:50].flatten(0, 1), contents, delays=1)
    clips = HeldOutClips(asked, tuple(one.T[None] for one in responses[50:]))
    alone = [predict(series, learning, clips, permutations=20, seed=0).clips for series in (text, low)]
    both = predict_jointly(text, low, learning, clips)
    found = partition(*alone, both, responses[50:], generator=np.random.default_rng(0))
    everyone = torch.ones(60, dtype=torch.bool)
    row = unique_of(found, everyone)
    assert float(found.text.mean()) > 0.05  # text rides on what both share …
    assert row["unique_text_high"] < 0.01 < row["unique_low_level_low"]  # … and adds nothing to it
    torch.testing.assert_close(found.unique_text + found.unique_low + found.shared, found.both)


def test_explained_variance_is_the_squared_correlation_of_drawn_clips() -> None:
    rng = np.random.default_rng(2)
    x, y = (torch.from_numpy(rng.normal(size=(5, 7, 3))) for _ in range(2))
    y[:, :, 2] = 1.0
    weights = torch.tensor([[1.0, 1, 1, 1, 1], [2, 0, 3, 0, 0]]).double()
    found = explained(x, y, weights)
    drawn = [[0, 1, 2, 3, 4], [0, 0, 2, 2, 2]]
    for row, order in enumerate(drawn):
        for neuron in range(2):
            r = np.corrcoef(x[order][..., neuron].flatten(), y[order][..., neuron].flatten())[0, 1]
            assert float(found[row, neuron]) == pytest.approx(r * abs(r), abs=1e-12)
    assert found[:, 2].isnan().all()


def test_each_band_has_its_own_penalty() -> None:
    rng = np.random.default_rng(3)
    first, second = (torch.from_numpy(rng.normal(size=(400, 30))) for _ in range(2))
    responses = torch.stack([first[:, 0], second[:, 0]], 1) + 0.5 * torch.from_numpy(rng.normal(size=(400, 2)))
    groups = np.repeat(np.arange(40), 10).tolist()
    readout = fit_banded(first, second, responses, groups)
    assert readout.penalty.shape == (2, 2)
    assert readout.penalty[0, 0] < readout.penalty[1, 0] and readout.penalty[0, 1] > readout.penalty[1, 1]
    error = (readout(torch.cat([first, second], 1)) - responses).square().mean(0)
    assert float(error.max()) < 0.35


def grating(cycles: float, hertz: float, direction: float) -> Tensor:
    rows, columns, frames = torch.arange(36), torch.arange(64), torch.arange(64)
    along = 1.45 * (columns * np.cos(direction) + rows[:, None] * np.sin(direction))
    phase = 2 * np.pi * (cycles * along[None] - hertz * frames[:, None, None] / 30)
    return (0.5 + 0.4 * torch.cos(phase))[None].float()


@pytest.mark.parametrize("number", range(0, len(CHANNELS), 5))
def test_low_level_features_know_gratings_from_each_other(number: int) -> None:
    found = low_level(grating(CHANNELS[number].cycles, CHANNELS[number].hertz, CHANNELS[number].direction), 8,
                      degrees_per_pixel=1.45, frame_rate=30.0)  # fmt: skip
    channels = found[:, : len(CHANNELS) * 60].reshape(8, len(CHANNELS), 60)
    assert int(channels.mean((0, 2)).argmax()) == number
    assert found.shape == (8, len(CHANNELS) * 60 + 9 * 16)


def test_low_level_features_of_small_frames_and_constant_ones() -> None:
    found = low_level(torch.full((1, 20, 5, 7), 0.5), 8, degrees_per_pixel=1.0, frame_rate=30.0)
    assert found.shape == (2, len(CHANNELS) * 35 + 35) and found.isfinite().all()
    series = principal({0: found, 1: found}, [0], 4, alike=True)
    assert series[1].isfinite().all() and float(series[1].abs().max()) == 0


def test_captions_are_read_from_responses() -> None:
    rng = np.random.default_rng(4)
    known = {f"caption {k}": torch.from_numpy(rng.normal(size=5)).float() for k in range(40)}
    said = {
        k: [Said(k, 0, 48, "x", f"caption {k if k < 30 else k - 30}"), Said(k, 48, 60, "x", "caption 39")]
        for k in range(40)
    }
    series = {k: torch.stack([known[said[k][0].text]] * 6 + [torch.zeros(5)]) for k in range(40)}
    mixing = torch.from_numpy(rng.normal(size=(5, 20))).float()
    responses = torch.stack(
        [series[k] @ mixing + torch.from_numpy(rng.normal(size=(7, 20))).float() for k in range(40)]
    )
    learning = RegressionData(
        tuple(range(30)), responses[:30].flatten(0, 1), tuple(k for k in range(30) for _ in range(7)), 2
    )
    clips = HeldOutClips(tuple(range(30, 40)), tuple(one.T[None] for one in responses[30:]))
    read = read_words(series, said, known, learning, clips, size=8)
    assert [one.trial for one in read.said] == list(range(30, 40))  # the short scene is left out
    assert (read.similarity.argmax(1) == torch.arange(10)).double().mean() >= 0.9
    assert np.mean([text == one.text for text, one in zip(read.nearest, read.said, strict=True)]) >= 0.9
    with pytest.raises(ValueError, match="expected at least 2 scenes of 100 frames, got 0"):
        read_words(series, said, known, learning, clips, size=8, least=100)
