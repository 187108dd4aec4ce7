"""Duplicates and splits: planted copies, noisy copies and excerpts are found, unrelated videos are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recon.data.duplicates import find
from recon.data.duplicates.find import check_split, duplicate_groups, leaks, same_content, signature, split_by_content
from recon.data.open import open_recording
from recon.data.resize import area_matrix, resize_area


def _movie(seed, frames=60, size=(36, 64)):
    """A smooth moving texture: low-pass noise that drifts."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((6, 16, 40)) * 255
    t = np.linspace(0, 4.999, frames)
    blend = coarse[t.astype(int)] * (1 - t % 1)[:, None, None] + coarse[t.astype(int) + 1] * (t % 1)[:, None, None]
    return np.stack([resize_area(f[None, :, i % 20 : i % 20 + 20], size)[0] for i, f in enumerate(blend)])


def test_area_resizing_keeps_means_and_is_exact_for_whole_factors():
    frames = np.random.default_rng(0).random((3, 12, 20)).astype(np.float32)
    np.testing.assert_allclose(resize_area(frames, (6, 5)), frames.reshape(3, 6, 2, 5, 4).mean((2, 4)), rtol=1e-5)
    np.testing.assert_allclose(resize_area(frames, (5, 7)).mean((1, 2)), frames.mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(area_matrix(36, 7).sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(resize_area(frames, (12, 20)), frames)
    np.testing.assert_allclose(resize_area(np.full((1, 4, 4), 9), (9, 11)), 9, rtol=1e-6)


def test_planted_copies_are_grouped_and_others_are_not():
    rng = np.random.default_rng(1)
    videos = [_movie(seed) for seed in range(12)]
    videos.append(videos[2].copy())
    videos.append(np.clip(videos[3] + rng.normal(0, 1.0, videos[3].shape), 0, 255))
    videos.append(np.clip(videos[4] + 0.5, 0, 255))
    changed = videos[5].copy()
    changed[:6] = 0
    videos.append(changed)
    groups = duplicate_groups([signature(video) for video in videos])
    assert groups == (*range(12), 2, 3, 4, 5)


@pytest.mark.parametrize(("first", "end"), [(0, 45), (7, 60), (13, 50)])
def test_excerpts_at_another_time_are_found(first, end):
    long = _movie(0)
    groups = duplicate_groups([signature(_movie(1)), signature(long[first:end]), signature(long)])
    assert groups == (0, 1, 1)


def test_white_noise_static_and_black_videos():
    rng = np.random.default_rng(0)
    noise = [255.0 * (rng.random((60, 24, 24)) > 0.5) for _ in range(4)]
    black, grey = np.zeros((60, 36, 64)), np.full((60, 36, 64), 128.0)
    still = np.repeat(_movie(9)[:1], 60, 0)
    videos = [*noise, black, grey, black + 0.5, still, still[:30], noise[1]]
    assert duplicate_groups([signature(video) for video in videos]) == (0, 1, 2, 3, 4, 5, 4, 7, 7, 1)


def test_another_crop_or_level_is_another_video():
    movie = _movie(0)
    assert same_content(signature(movie), signature(movie + 0.9))
    assert not same_content(signature(movie), signature(movie * 0.9))
    assert not same_content(signature(movie), signature(movie[:, :, ::-1]))


def test_small_objects_at_other_places_are_other_videos():
    videos = []
    for column in (10, 14, 18, 40):
        video = np.full((60, 36, 64), 100.0)
        video[:, 12:16, column : column + 4] = 255.0
        videos.append(video)
    assert duplicate_groups([signature(video) for video in videos]) == (0, 1, 2, 3)


def test_groups_do_not_depend_on_order():
    videos = [_movie(seed) for seed in (0, 1, 2)] + [_movie(1)[5:50], _movie(0)]
    order = [4, 2, 3, 0, 1]
    groups, mixed = (duplicate_groups([signature(videos[i]) for i in o]) for o in (range(5), order))
    same = {(a, b) for a in range(5) for b in range(5) if groups[a] == groups[b]}
    assert same == {(order[a], order[b]) for a in range(5) for b in range(5) if mixed[a] == mixed[b]}


def test_seven_hundred_clips_are_fast(monkeypatch):
    """Nearly equal clips are compared once for each that repeats another, not once for each pair; equal ones never."""
    compared = []
    monkeypatch.setattr(find, "same_content", lambda *two, **at: (compared.append(two), same_content(*two, **at))[1])
    clips = [signature(_movie(seed, size=(18, 32))) for seed in range(20)]
    for count in (350, 700):
        groups = tuple(i % 20 for i in range(count))
        assert duplicate_groups([clips[i] for i in groups]) == groups and not compared
        assert duplicate_groups([replace(clips[group], content=str(i)) for i, group in enumerate(groups)]) == groups
        assert len(compared) == count - 20
        compared.clear()


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
@pytest.mark.parametrize("repeats", [1, 2, 7])
def test_a_group_stands_in_one_tier_and_fractions_hold(seed, repeats):
    groups = [i // repeats for i in range(140)]
    tiers = split_by_content(groups, {"oracle": 0.1, "live_test_main": 0.2}, seed=seed)
    for group in set(groups):
        assert len({tier for tier, g in zip(tiers, groups, strict=True) if g == group}) == 1
    assert tiers.count("oracle") == 14 and tiers.count("live_test_main") == 28
    assert leaks(tiers, groups, range(140)) == ()
    assert tiers == split_by_content(groups, {"oracle": 0.1, "live_test_main": 0.2}, seed=seed)


def test_blocks_by_time_and_small_splits():
    tiers = split_by_content(range(10), {"oracle": 0.1, "live_test_main": 0.1})
    assert tiers == ("train",) * 8 + ("oracle", "live_test_main")
    assert split_by_content(range(3), {"oracle": 0.01, "live_test_main": 0.01}) == ("train", "oracle", "live_test_main")
    with pytest.raises(ValueError, match="different videos"):
        split_by_content([0, 0, 0, 1], {"oracle": 0.1, "live_test_main": 0.1})
    with pytest.raises(ValueError, match="sum below 1"):
        split_by_content(range(9), {"oracle": 1.0})


def test_check_split_names_the_training_trials_that_leak(published):
    root = published(tiers=("train", "train", "oracle", "live_test_main"), size=(36, 64))
    assert check_split(open_recording(root)) == ()
    copy = np.load(root / "data/videos/3.npy")
    copy[..., :2] += 3.0
    np.save(root / "data/videos/1.npy", copy)
    (leak,) = check_split(open_recording(root))
    assert (leak.trial, leak.other, leak.tier) == (1, 3, "live_test_main")
