"""Movie metrics against scikit-image, NumPy, torchmetrics and identities."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torchmetrics.functional import pearson_corrcoef

from recon.correlation import pearson
from recon.metrics import METRICS
from recon.metrics.movie import frame_correlation, matched, pixel_correlation, psnr, ssim, video_correlation

OF_PAIRS = [name for name, metric in METRICS.items() if metric.needs in ("movies", "scale")]
LOCAL = [name for name in OF_PAIRS if METRICS[name].network is None]


def movies(batch: int = 2, size: tuple[int, int, int] = (7, 20, 26), seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(batch, 1, *size, generator=generator)
    return (0.6 * truth + 0.4 * torch.rand(batch, 1, *size, generator=generator)), truth


def window(height: int = 20, width: int = 26) -> Tensor:
    pixels = torch.zeros(height, width, dtype=torch.bool)
    pixels[4:15, 6:22] = True
    pixels[5, 7] = False
    return pixels


def test_pearson_is_the_reference_and_the_weighted_one() -> None:
    x, y = (movie.flatten(1) for movie in movies())
    torch.testing.assert_close(pearson(x, y).float(), pearson_corrcoef(x.T, y.T))
    weight = torch.rand(x.shape, generator=torch.Generator().manual_seed(3))
    covariance = np.cov(x[0].double(), y[0].double(), aweights=weight[0].double())
    expected = covariance[0, 1] / math.sqrt(covariance[0, 0] * covariance[1, 1])
    assert float(pearson(x, y, weight)[0]) == pytest.approx(expected, abs=1e-10)


def test_pearson_ignores_what_has_no_weight_and_knows_constants() -> None:
    x, y = torch.rand(2, 9, generator=torch.Generator().manual_seed(0))
    weight = torch.ones(9)
    weight[3] = 0
    garbage = x.clone()
    garbage[3] = math.nan
    assert pearson(garbage, y, weight) == pearson(x, y, weight)
    assert pearson(torch.full((9,), 0.1), y).isnan()
    assert pearson(garbage, y).isnan()
    assert pearson(x, y, torch.zeros(9)).isnan()
    assert float(pearson(1e-6 * x + 0.5, y)) == pytest.approx(float(pearson(x, y)), abs=0.05)


@pytest.mark.parametrize("pixels", [None, window()])
def test_correlations_are_numpys(pixels: Tensor | None) -> None:
    x, y = movies()
    mask = np.ones((20, 26), dtype=bool) if pixels is None else pixels.numpy()
    a, b = x.numpy()[:, 0][..., mask].astype(float), y.numpy()[:, 0][..., mask].astype(float)
    pooled = [np.corrcoef(p.ravel(), q.ravel())[0, 1] for p, q in zip(a, b, strict=True)]
    frames = [np.mean([np.corrcoef(p[t], q[t])[0, 1] for t in range(7)]) for p, q in zip(a, b, strict=True)]
    count = int(mask.sum())
    series = [np.mean([np.corrcoef(p[:, i], q[:, i])[0, 1] for i in range(count)]) for p, q in zip(a, b, strict=True)]
    np.testing.assert_allclose(video_correlation(x, y, pixels), pooled, atol=1e-6)
    np.testing.assert_allclose(frame_correlation(x, y, pixels), frames, atol=1e-6)
    np.testing.assert_allclose(pixel_correlation(x, y, pixels), series, atol=1e-6)


def test_constant_frames_and_pixels_are_left_out() -> None:
    x, y = movies()
    still = x.clone()
    still[:, :, 2] = 0.3
    keep = [0, 1, 3, 4, 5, 6]
    torch.testing.assert_close(frame_correlation(still, y), frame_correlation(x[:, :, keep], y[:, :, keep]))
    still = x.clone()
    still[..., 0] = 0.3
    torch.testing.assert_close(pixel_correlation(still, y), pixel_correlation(x[..., 1:], y[..., 1:]))


def test_ssim_and_psnr_are_scikit_images() -> None:
    x, y = movies()
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    for clip in range(2):
        frames = zip(x[clip, 0].numpy(), y[clip, 0].numpy(), strict=True)
        expected = np.mean([structural_similarity(p, q, **settings) for p, q in frames])
        assert float(ssim(x, y)[clip]) == pytest.approx(expected, abs=1e-6)
        reference = peak_signal_noise_ratio(y[clip].numpy(), x[clip].numpy(), data_range=1.0)
        assert float(psnr(x, y)[clip]) == pytest.approx(reference, abs=1e-4)


def test_masked_ssim_is_the_mean_of_the_reference_map() -> None:
    x, y = movies()
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0, "full": True}
    inside = np.zeros((20, 26), dtype=bool)
    inside[5:-5, 5:-5] = True
    frames = zip(x[0, 0].numpy(), y[0, 0].numpy(), strict=True)
    expected = np.mean([structural_similarity(p, q, **settings)[1][inside & window().numpy()] for p, q in frames])
    assert float(ssim(x, y, window())[0]) == pytest.approx(expected, abs=1e-6)
    border = torch.zeros(20, 26, dtype=torch.bool)
    border[:4] = True
    assert ssim(x, y, border).isnan().all()
    small = torch.zeros(2, 1, 3, 8, 9)
    assert ssim(small, small).isnan().all()


def test_equal_movies() -> None:
    _, y = movies(size=(16, 20, 26))
    for name in LOCAL:
        value = METRICS[name].function(y, y, None)
        assert value.shape == (2,) and value.dtype == torch.float32
        torch.testing.assert_close(value, torch.full((2,), math.inf if name == "psnr" else 1.0))


@pytest.mark.parametrize("name", LOCAL)
def test_samples_alone_and_pixels_outside(name: str) -> None:
    """A batch gives what its samples give alone; what lies far outside the mask changes nothing."""
    x, y = movies(3, (16, 36, 36))
    together = METRICS[name].function(x, y, None)
    alone = torch.cat([METRICS[name].function(x[i : i + 1], y[i : i + 1], None) for i in range(3)])
    torch.testing.assert_close(together, alone)
    everything = torch.ones(36, 36, dtype=torch.bool)
    torch.testing.assert_close(METRICS[name].function(x, y, everything), together)
    if name == "motion_energy_correlation":
        return
    pixels = torch.zeros(36, 36, dtype=torch.bool)
    pixels[8:20, 8:20] = True
    other = x.clone()
    other[..., 28:] = 0.9
    torch.testing.assert_close(METRICS[name].function(other, y, pixels), METRICS[name].function(x, y, pixels))


@pytest.mark.parametrize("name", [name for name in LOCAL if "correlation" in name])
def test_undefined_is_nan(name: str) -> None:
    _, y = movies(size=(16, 20, 26))
    assert METRICS[name].function(torch.full_like(y, 0.3), y, None).isnan().all()
    assert METRICS[name].function(torch.full_like(y, math.nan), y, None).isnan().all()
    assert METRICS[name].function(y, y, torch.zeros(20, 26, dtype=torch.bool)).isnan().all()


@pytest.mark.parametrize("name", OF_PAIRS)
def test_refusals(name: str) -> None:
    x, y = movies()
    with pytest.raises(ValueError, match="expected two of equal shape"):
        METRICS[name].function(x[:, :, 1:], y, None)
    with pytest.raises(ValueError, match="expected a bool mask"):
        METRICS[name].function(x, y, torch.ones(20, 25, dtype=torch.bool))
    with pytest.raises(ValueError, match="expected a bool mask"):
        METRICS[name].function(x, y, torch.ones(20, 26))


def test_matched_has_the_truths_luminance_and_contrast() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(2, 1, 5, 12, 14, generator=generator)
    pixels = torch.zeros(12, 14, dtype=torch.bool)
    pixels[2:10, 3:12] = True
    found = matched(0.3 * truth + 0.2, truth, pixels)
    assert torch.allclose(found, truth, atol=1e-5)
    other = torch.rand(2, 1, 5, 12, 14, generator=generator)
    inside, wanted = (part[..., pixels].flatten(1) for part in (matched(other, truth, pixels), truth))
    assert torch.allclose(inside.mean(1), wanted.mean(1), atol=1e-5)
    assert torch.allclose(inside.std(1), wanted.std(1), atol=1e-5)
    constant = matched(torch.full_like(truth, 0.9), truth)
    assert torch.isfinite(constant).all() and torch.allclose(constant.mean((1, 2, 3, 4)), truth.mean((1, 2, 3, 4)))
