"""DwiseNeuro's batches as published: shares of mice and trials, windows, CutMix, order of what is read ahead."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from worlds.dwise_training import CPU, RECIPE, SETTINGS, mouse

from recon.encoders.dwiseneuro.encoder import DwiseNeuro
from recon.encoders.dwiseneuro.network import Subject
from recon.encoders.dwiseneuro.sampling import (
    Mouse,
    Window,
    WindowSampling,
    cut,
    cut_mix,
    drawn_box,
    epoch_order,
    epoch_steps,
    plan,
    read_ahead,
    read_batch,
)
from recon.encoders.dwiseneuro.train import (
    reader,
    start,
)
from recon.encoders.training.clips import TrainingClip
from recon.errors import InputError


def test_every_mouse_has_the_same_share_of_an_epoch() -> None:
    sampling = WindowSampling(samples=1200, batch=16)
    trials = (2, 5, 9)
    samples = [s for step in range(epoch_steps(sampling, 3)) for s in plan(step, trials, sampling, (36, 64))]
    assert [sum(s.window.mouse == m for s in samples) for m in range(3)] == [400, 400, 400]
    assert not torch.equal(epoch_order(sampling, 3, 0), epoch_order(sampling, 3, 1))
    for m, count in enumerate(trials):
        chosen = [s.window for s in samples if s.window.mouse == m]
        share = torch.bincount(torch.tensor([draw.trial for draw in chosen]), minlength=count) / len(chosen)
        assert len(share) == count and (share - 1 / count).abs().max() < 5 * math.sqrt(1 / count / len(chosen))
        assert sum(draw.place for draw in chosen) / len(chosen) == pytest.approx(0.5, abs=0.07)
    mixed = [s for s in samples if s.other is not None]
    assert len(mixed) / len(samples) == pytest.approx(0.5, abs=0.07)
    assert all(s.other.mouse == s.window.mouse for s in mixed if s.other) and any(s.other != s.window for s in mixed)
    assert plan(3, trials, sampling, (18, 32)) == plan(3, trials, sampling, (18, 32))
    assert plan(3, trials, sampling, (18, 32)) != plan(3, trials, replace(sampling, seed=1), (18, 32))


def test_windows_start_at_every_place_and_hold_every_second_frame() -> None:
    frames = 9
    movie = torch.arange(float(frames))[None, :, None, None].expand(1, -1, 36, 64) / 255
    responses = torch.arange(float(frames))[None] - 3
    one = Mouse(Subject("a", (1,)), [TrainingClip(movie, responses, torch.arange(4.0 * frames).view(4, frames))], [])
    sampling = WindowSampling(samples=400, batch=400, cutmix=0)
    batch = read_batch(plan(0, (1,), sampling, SETTINGS.canvas), [one], SETTINGS)
    first = batch.inputs[:, 0, 0, 0, 0].round().int()
    assert torch.bincount(first).tolist() == pytest.approx([400 / 3] * 3, abs=45)
    shown = batch.inputs[:, 0, :, 10, 15]
    torch.testing.assert_close(shown - shown[:, :1], torch.tensor([[0.0, 2, 4, 6]]).expand(400, -1))
    heard = torch.stack(batch.responses)[:, 0]
    torch.testing.assert_close(heard, (shown - 3).clamp_min(0), atol=1e-4, rtol=0)
    torch.testing.assert_close(batch.inputs[:, 2, :, 5, 7], shown + frames, atol=1e-4, rtol=0)


def test_the_mean_stands_for_behavior_that_dropout_takes() -> None:
    """Windows stay as drawn without dropout; each loses all channels, the eye tracker's or the treadmill's."""
    means = (10.0, 20.0, 30.0, 40.0)
    one = mouse(3)
    one = replace(one, subject=replace(one.subject, behavior_means=means))
    sampling = WindowSampling(samples=600, batch=600, cutmix=0)
    usual = plan(0, (len(one.training),), sampling, SETTINGS.canvas)
    dropped = plan(0, (len(one.training),), replace(sampling, behavior_dropout=0.6), SETTINGS.canvas)
    assert [sample._replace(lost=None) for sample in dropped] == usual
    assert sum(sample.lost is None for sample in dropped) / 600 == pytest.approx(0.4, abs=0.06)
    before, after = (read_batch(samples, [one], SETTINGS).inputs[..., 5, 7] for samples in (usual, dropped))
    for lost, rows in ((None, ()), (0, (0, 1, 2, 3)), (1, (0, 2, 3)), (2, (1,))):
        samples = torch.tensor([sample.lost == lost for sample in dropped])
        expected = before[samples].clone()
        for row in rows:
            expected[:, 1 + row] = means[row]
        assert samples.sum() > 60 and torch.equal(after[samples], expected)


def test_a_view_with_means_does_without_behavior_and_another_refuses_gaps() -> None:
    network = start([mouse(3)], SETTINGS, RECIPE, CPU).network.eval()
    subject = mouse(3).subject
    view = DwiseNeuro(network, 0, subject=replace(subject, behavior_means=(1.0, 2.0, 3.0, 4.0)))
    movie = torch.rand(1, 1, 12, 36, 64)
    means = torch.tensor([1.0, 2.0, 3.0, 4.0])[None, :, None].expand(1, 4, 12)
    assert torch.equal(view(movie), view(movie, means))
    holed = means.clone()
    holed[:, 2, 4] = torch.nan
    assert torch.equal(view(movie, holed), view(movie, means))
    with pytest.raises(InputError, match="expected the channels pupil_x, got NaN in some frames"):
        DwiseNeuro(network, 0, subject=subject)(movie, holed)
    with pytest.raises(InputError, match="expected pupil and running in all frames of every trial"):
        cut(TrainingClip(movie[0], torch.zeros(3, 12), holed[0]), SETTINGS, 0)


def test_cutmix_pastes_one_box_into_every_frame_and_channel() -> None:
    generator = torch.Generator().manual_seed(0)
    windows = [Window(torch.rand(5, 4, 36, 64, generator=generator), torch.rand(3, 4)) for _ in range(2)]
    before = copy.deepcopy(windows)
    mixed = cut_mix(windows[0], windows[1], (4, 10, 20, 40))
    inside = torch.zeros(36, 64, dtype=torch.bool)
    inside[4:10, 20:40] = True
    assert torch.equal(mixed.inputs, torch.where(inside, windows[1].inputs, windows[0].inputs))
    share = 6 * 20 / (36 * 64)
    torch.testing.assert_close(mixed.responses, (1 - share) * windows[0].responses + share * windows[1].responses)
    assert all(
        torch.equal(a, b) for old, new in zip(before, windows, strict=True) for a, b in zip(old, new, strict=True)
    )
    nothing, whole = (cut_mix(windows[0], windows[1], box) for box in ((7, 7, 3, 3), (0, 36, 0, 64)))
    assert all(torch.equal(a, b) for a, b in zip(nothing, windows[0], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(whole, windows[1], strict=True))


def test_boxes_have_the_canvas_s_shape_and_the_shares_of_a_beta_variable() -> None:
    generator = torch.Generator().manual_seed(1)
    boxes = torch.tensor([drawn_box((64, 64), 1.0, generator) for _ in range(3000)])
    height, width = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    assert boxes.min() >= 0 and boxes.max() <= 64 and min(int(height.min()), int(width.min())) >= 0
    uncut = (boxes[:, 0] > 0) & (boxes[:, 2] > 0) & (boxes[:, 1] < 64) & (boxes[:, 3] < 64)
    assert uncut.sum() > 300 and torch.equal(height[uncut], width[uncut])
    # The public rand_bbox in NumPy: half sides int(64 √λ) // 2 around a uniform pixel, clipped.
    import numpy as np

    rng = np.random.default_rng(0)
    half, centre = (64 * np.sqrt(rng.beta(1, 1, 100_000))).astype(int) // 2, rng.integers(64, size=(2, 100_000))
    sides = np.clip(centre + half, 0, 64) - np.clip(centre - half, 0, 64)
    area = (height * width).double().numpy() / 64**2
    assert area.mean() == pytest.approx((sides.prod(0) / 64**2).mean(), abs=0.02)
    assert np.quantile(area, [0.25, 0.75]) == pytest.approx(np.quantile(sides.prod(0) / 64**2, [0.25, 0.75]), abs=0.03)
    flat = torch.tensor([drawn_box((64, 64), 50.0, generator) for _ in range(300)])
    assert (flat[:, 1] - flat[:, 0]).max() <= 2 * (int(64 * math.sqrt(0.75)) // 2)


def test_batches_that_are_read_ahead_come_in_order() -> None:
    run = start((mouse(), mouse(4, seed=1, name="b")), SETTINGS, RECIPE, CPU)
    inline, ahead = (list(read_ahead(range(2, 7), reader(run), readers)) for readers in (0, 3))
    assert len(inline) == 5 and all(torch.equal(a.inputs, b.inputs) for a, b in zip(inline, ahead, strict=True))
