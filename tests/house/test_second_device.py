"""Whatever computes on a GPU never mixes devices: seen on a pretended second device, without one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from gpu.clips import TINY, core_readout, core_readout_clips
from gpu.part_numbers import dwiseneuro_problem, encoder_row, numbers, on_device, prior_row
from gpu.part_prior import prior
from gpu.pretend import second_device
from worlds import linear as worlds

from recon.metrics.frequency import (
    motion_energy_correlation,
    spatial_frequency_correlation,
    temporal_frequency_correlation,
)
from recon.metrics.movie import frame_correlation, pixel_correlation, psnr, ssim, video_correlation
from recon.metrics.pooling import pooled_frame_correlation
from recon.problem.coverage import unseen_share
from recon.problem.fidelities import FIDELITIES

FEW = ("ridge", "convolutional", "gradient published", "gradient map", "diffpir noisy", "deep_ensemble, learnt there")
ENCODERS: dict[str, Callable[[], Any]] = {
    "core_readout": lambda: core_readout_clips(core_readout(600), 10),
    "dwiseneuro": dwiseneuro_problem,
}


def test_devices_that_mix_are_found() -> None:
    with second_device() as device:
        there = torch.ones(3).to(device)
        assert ((there + 1).sum().item(), there.cpu().tolist(), there.device) == (6.0, [1.0, 1.0, 1.0], device)
        with pytest.raises(RuntimeError, match="add: tensors on two devices"):
            there + torch.ones(3)
        with pytest.raises(RuntimeError, match="randn: a generator of the CPU"):
            torch.randn(3, device=device, generator=torch.Generator())


@pytest.mark.parametrize("name", FEW)
def test_methods_give_the_same_movies(name: str) -> None:
    with second_device() as device:
        assert numbers(device, TINY).cases[name]()["max difference"] < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("double", [True, False])
def test_all_methods_give_the_same_movies(double: bool) -> None:
    with second_device(double=double) as device:
        # The shipped encoder's readout is a sparse matrix, which cannot be pretended to be elsewhere.
        cases = {name: case for name, case in numbers(device, TINY).cases.items() if name != "encoder core_readout"}
        assert not {name: row for name, case in cases.items() if (row := case())["max difference"] > 1e-5}


@pytest.mark.parametrize("row", [*(partial(encoder_row, pose) for pose in ENCODERS.values()), prior_row])
def test_encoders_and_the_prior_give_the_same_numbers(row: Callable[[torch.device], Any]) -> None:
    with second_device() as device:
        assert row(device)["max difference"] < 1e-5


def test_what_neurons_see_is_the_same() -> None:
    with second_device() as device:
        there = unseen_share(on_device(worlds.problem(), device), worlds.spectrum().to(device))
        assert there.device == device and torch.allclose(
            there.cpu(), unseen_share(worlds.problem(), worlds.spectrum()), atol=1e-5
        )


def test_the_prior_trains_there() -> None:
    with second_device() as device:
        rows = {name: case() for name, case in prior(device, TINY).cases.items()}
    assert rows["training, batch 2, float32"]["steps per s"] > 0 and len(rows) == 6


@pytest.mark.parametrize("name", ["ridge", "gradient map", "diffpir noisy"])
def test_a_device_without_float64_gives_the_same_movies(name: str) -> None:
    with second_device(double=False) as device:
        with pytest.raises(TypeError, match="cannot make float64"):
            torch.ones(3).to(device).double()
        assert numbers(device, TINY).cases[name]()["max difference"] < 1e-5


def test_a_device_without_float64_gives_the_same_scores() -> None:
    random = torch.Generator().manual_seed(0)
    truth, other = (torch.rand(2, 1, 12, 16, 16, generator=random) for _ in range(2))
    mask = torch.rand(16, 16, generator=random) > 0.3
    scores: list[Callable[..., Any]] = [psnr, ssim, frame_correlation, pixel_correlation, video_correlation]
    scores += [partial(pooled_frame_correlation, size=(4, 4)), motion_energy_correlation]
    scores += [lambda *movies: spatial_frequency_correlation(*movies)[1]]
    scores += [lambda *movies: temporal_frequency_correlation(*movies)[1]]
    for score in scores:
        for given in ((other, truth), (other, truth, mask)):
            with second_device(double=False) as device:
                found = score(*(part.to(device) for part in given))
                assert found.device == device and found.dtype == torch.float32
                found = found.cpu()
            torch.testing.assert_close(found, score(*given), rtol=1e-5, atol=1e-7, equal_nan=True)


def test_noise_is_fitted_on_a_device_without_float64() -> None:
    random = torch.Generator().manual_seed(0)
    rates, mask = torch.rand(3, 5, 40, generator=random), torch.ones(3, 5, 40, dtype=torch.bool)
    responses = rates + 0.1 * torch.randn(3, 5, 40, generator=random)
    for name in ("gaussian", "low_rank"):
        here = FIDELITIES[name]().fit(rates, responses, mask)
        with second_device(double=False) as device:
            there = FIDELITIES[name]().fit(rates.to(device), responses.to(device), mask.to(device))
            given = there(rates.to(device), responses.to(device), mask.to(device)).cpu()
        torch.testing.assert_close(given, here(rates, responses, mask), rtol=1e-5, atol=1e-5)
