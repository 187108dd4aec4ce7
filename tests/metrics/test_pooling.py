"""Pooled frame correlation against NumPy and SciPy, its identities, and its errors."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from torch import Tensor
from worlds.bench import configuration, make_world

from recon.metrics.movie import frame_correlation
from recon.metrics.pooling import Pooling, pool, pooled_frame_correlation
from recon.study.benchmark import benchmark


def movies(frames: int = 7, size: tuple[int, int] = (6, 8)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(2, 1, frames, *size, generator=generator)
    return truth, 0.3 * truth + 0.7 * torch.rand(truth.shape, generator=generator)


def test_equals_numpy_means_and_scipys_correlation() -> None:
    truth, seen = movies()
    got = pooled_frame_correlation(seen, truth, size=(3, 4), frames=3)
    for clip in range(2):
        a, b = (
            m[clip, 0, :6].numpy().astype(np.float64).reshape(2, 3, 3, 2, 4, 2).mean((1, 3, 5)) for m in (seen, truth)
        )
        expected = np.mean([pearsonr(a[k].ravel(), b[k].ravel())[0] for k in range(2)])
        assert got[clip].item() == pytest.approx(expected, abs=1e-6)


def test_without_pooling_it_is_the_frame_correlation() -> None:
    truth, seen = movies()
    assert torch.allclose(pooled_frame_correlation(seen, truth, size=(6, 8)), frame_correlation(seen, truth), atol=1e-6)


def test_a_movie_correlates_perfectly_with_itself_at_every_grain() -> None:
    truth, _ = movies()
    for size, frames in (((6, 8), 1), ((3, 4), 2), ((2, 2), 7)):
        assert torch.allclose(pooled_frame_correlation(truth, truth, size=size, frames=frames), torch.ones(2))


def test_averaging_a_noisy_movie_raises_its_correlation() -> None:
    generator = torch.Generator().manual_seed(1)
    smooth = torch.rand(1, 1, 10, 2, 2, generator=generator).repeat_interleave(4, 3).repeat_interleave(4, 4)
    truth = smooth.repeat_interleave(3, 2)
    seen = truth + torch.randn(truth.shape, generator=generator)
    fine = pooled_frame_correlation(seen, truth, size=(8, 8))
    assert pooled_frame_correlation(seen, truth, size=(4, 4), frames=3) > fine + 0.1


def test_blocks_count_only_when_all_their_pixels_do() -> None:
    truth, seen = movies()
    pixels = torch.zeros(6, 8, dtype=torch.bool)
    pixels[:4, :5] = True
    got = pooled_frame_correlation(seen, truth, pixels, size=(3, 4))
    cut = frame_correlation(pool(seen, (3, 4), 1)[..., :2, :2], pool(truth, (3, 4), 1)[..., :2, :2])
    assert torch.allclose(got, cut)


def test_pooling_is_a_metric_with_its_own_settings() -> None:
    truth, seen = movies()
    expected = pooled_frame_correlation(seen, truth, size=(3, 4), frames=2)
    assert torch.equal(Pooling((3, 4), 2)(seen, truth), expected)


@pytest.mark.parametrize(("size", "frames"), [((4, 8), 1), ((3, 4), 8)])
def test_grains_that_do_not_fit_are_refused(size: tuple[int, int], frames: int) -> None:
    truth, seen = movies()
    with pytest.raises(ValueError, match="pooling: expected"):
        pooled_frame_correlation(seen, truth, size=size, frames=frames)


def test_empty_pooling_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Pooling((3, 0))


def test_a_benchmark_writes_a_column_for_each_pooling(tmp_path: Path) -> None:
    make_world(tmp_path)
    tree = configuration(tmp_path)
    height, width = np.load(tmp_path / "recording/data/videos/0.npy").shape[:2]
    tree["rows"] = tree["rows"][:1]
    tree["poolings"] = {"all": {"size": [height, width]}, "halves_of_3": {"size": [2, 2], "frames": 3}}
    with (benchmark(tree) / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]).index("frame_correlation_all") == list(rows[0]).index("frame_correlation") + 1
    for row in rows:
        assert float(row["frame_correlation_all"]) == pytest.approx(float(row["frame_correlation"]), abs=1e-5)
        assert -1 <= float(row["frame_correlation_halves_of_3"]) <= 1
