"""LPIPS and ST-LPIPS: absent without weights and network; else the figures of the packages themselves."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from worlds.alexnet import weights

from recon.errors import InputError
from recon.metrics import METRICS
from recon.metrics.networks import ALEXNET, FOLDER_VARIABLE, INCEPTION, SHIFT_TOLERANT, SLICES
from recon.metrics.perceptual import LPIPS_SIDE, STLPIPS_SIDE, lpips, st_lpips


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No backbone in the cache, none in the environment, and no network."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("network is off in this test")

    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(socket.socket, "connect", refuse)


def movies() -> tuple[Tensor, Tensor]:
    x = torch.rand(2, 2, 1, 3, 36, 40, generator=torch.Generator().manual_seed(1))
    return x[0], x[1]


def needs_stlpips() -> None:
    if SHIFT_TOLERANT.located() is None:
        pytest.skip("stlpips-pytorch is not installed: pip install recon[perceptual]")


def test_absent_gives_nan_and_says_how_to_get_it() -> None:
    x, y = movies()
    assert ALEXNET.located() is None
    assert lpips(x, y).isnan().all() and lpips(x, y).shape == (2,)
    assert METRICS["lpips"].unavailable((36, 40)) == "not available"
    for network, file in ((ALEXNET, "alexnet-owt"), (INCEPTION, "inception_v3_google")):
        with pytest.raises(InputError, match=f"could not be downloaded.*; download https.*{file}.*{FOLDER_VARIABLE}"):
            network.fetched()


@pytest.mark.parametrize("place", ["cache", "file", "folder"])
def test_weights_are_found_and_used(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("torch/hub/checkpoints" if place == "cache" else "weights")
    folder.mkdir(parents=True)
    path = folder / ("alexnet-owt-7be5be79.pth" if place != "folder" else "alexnet.safetensors")
    torch.save(weights(), path) if place != "folder" else save_file(weights(), path)
    if place != "cache":
        monkeypatch.setenv(FOLDER_VARIABLE, str(path if place == "file" else folder))
    assert ALEXNET.fetched() == path and not METRICS["lpips"].unavailable((36, 40))

    before = torch.get_rng_state()
    x, y = movies()
    values = lpips(x, y)
    assert torch.equal(before, torch.get_rng_state())
    torch.testing.assert_close(values[0], by_package(weights(), x, y))
    torch.testing.assert_close(lpips(x, x), torch.zeros(2))


def by_package(state: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
    """LPIPS of the first of two batches of movies by the lpips package, on a backbone."""
    from lpips import LPIPS

    reference = LPIPS(net="alex", pnet_rand=True, verbose=False)
    for index, name in SLICES.items():
        slice_name, position = name.split(".")
        convolution = getattr(reference.net, slice_name)[int(position) - int(_first(slice_name))]
        convolution.weight.data = state[f"features.{index}.weight"]
        convolution.bias.data = state[f"features.{index}.bias"]
    with torch.no_grad():
        frames = reference(*colour(x, y), normalize=True)
    return frames.mean()


def colour(*movies: Tensor) -> list[Tensor]:
    """The frames of the first of a batch of movies, as images of three channels."""
    return [movie[0].transpose(0, 1).expand(-1, 3, -1, -1) for movie in movies]


def _first(slice_name: str) -> int:
    """First layer of each slice in the package's network, whose layers keep their numbers as names."""
    return {"slice1": 0, "slice2": 2, "slice3": 5, "slice4": 8, "slice5": 10}[slice_name]


def test_lpips_on_a_learnt_backbone_is_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_stlpips()
    learnt = torch.load(SHIFT_TOLERANT.fetched(), map_location="cpu", weights_only=True)
    names = {0: "slice1.0", 3: "slice2.5", 6: "slice3.9", 8: "slice4.11", 10: "slice5.13"}
    parts = [(index, name, part) for index, name in names.items() for part in ("weight", "bias")]
    state = {f"features.{index}.{part}": learnt[f"net.{name}.{part}"] for index, name, part in parts}
    torch.save(state, tmp_path / "alexnet.pth")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    x, y = movies()
    torch.testing.assert_close(lpips(x, y)[0], by_package(state, x, y), rtol=1e-6, atol=0)


def test_st_lpips_is_its_packages() -> None:
    needs_stlpips()
    from stlpips_pytorch.stlpips import LPIPS

    x, y = movies()
    reference = LPIPS(net="alex", variant="shift_tolerant", verbose=False)
    with torch.no_grad():
        frames = reference(*colour(x, y), normalize=True)
    torch.testing.assert_close(st_lpips(x, y)[0], frames.mean(), rtol=1e-6, atol=0)
    torch.testing.assert_close(st_lpips(x, x), torch.zeros(2))


@pytest.mark.parametrize(("score", "side"), [("lpips", LPIPS_SIDE), ("st_lpips", STLPIPS_SIDE)])
def test_small_frames_are_undefined(score: str, side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if score == "st_lpips":
        needs_stlpips()
    torch.save(weights(), tmp_path / "alexnet.pth")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    metric, movie = METRICS[score], torch.rand(1, 1, 2, 40, 40)
    for short in (movie[..., : side - 1, :], movie[..., : side - 1]):
        assert metric.function(short, short.flip(2), None).isnan().all()
        assert "undefined for frames of" in metric.unavailable((short.shape[-2], short.shape[-1]))
    just = movie[..., :side, :side]
    assert metric.function(just, just.flip(2), None).isfinite().all() and metric.unavailable((side, side)) == ""


def test_pixels_that_do_not_count_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(weights(), tmp_path / "alexnet.pth")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    x, y = movies()
    pixels = torch.zeros(36, 40, dtype=torch.bool)
    pixels[:, :20] = True
    other = x.clone()
    other[..., 20:] = 0.0
    assert torch.equal(lpips(other, y, pixels), lpips(x, y, pixels))


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "alexnet.pth")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(ValueError, match="expected torchvision's AlexNet weights"):
        lpips(*movies())
