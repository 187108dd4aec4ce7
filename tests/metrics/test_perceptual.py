"""LPIPS: absent without weights and network; with a weights file it is the lpips package's own figure."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from recon.metrics.perceptual import BACKBONE_VARIABLE, SLICES, lpips, lpips_available, lpips_reason

SIZES = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No backbone in the cache, none in the environment, and no network."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("network is off in this test")

    monkeypatch.delenv(BACKBONE_VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(socket.socket, "connect", refuse)


def weights() -> dict[str, Tensor]:
    """Stand-in weights of AlexNet's convolutions; only the loading is tested, no score comes from them."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for index, (out, into, kernel) in SIZES.items():
        scale = (into * kernel**2) ** -0.5
        state[f"features.{index}.weight"] = scale * torch.randn(out, into, kernel, kernel, generator=generator)
        state[f"features.{index}.bias"] = torch.full((out,), 0.01 * index)
    return state


def movies() -> tuple[Tensor, Tensor]:
    x = torch.rand(2, 2, 1, 3, 36, 40, generator=torch.Generator().manual_seed(1))
    return x[0], x[1]


def test_absent_gives_nan_and_says_how_to_get_it() -> None:
    x, y = movies()
    assert lpips_available() is None
    assert lpips(x, y).isnan().all() and lpips(x, y).shape == (2,)
    reason = lpips_reason()
    assert reason is not None and reason.startswith("not available") and BACKBONE_VARIABLE in reason


@pytest.mark.parametrize("place", ["cache", "file", "folder"])
def test_weights_are_found_and_used(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lpips import LPIPS

    folder = tmp_path / ("torch/hub/checkpoints" if place == "cache" else "weights")
    folder.mkdir(parents=True)
    path = folder / ("alexnet-owt-7be5be79.pth" if place != "folder" else "alexnet.safetensors")
    torch.save(weights(), path) if place != "folder" else save_file(weights(), path)
    if place != "cache":
        monkeypatch.setenv(BACKBONE_VARIABLE, str(path if place == "file" else folder))
    assert lpips_available() == str(path) and lpips_reason() is None

    before = torch.get_rng_state()
    x, y = movies()
    values = lpips(x, y)
    assert torch.equal(before, torch.get_rng_state())
    reference = LPIPS(net="alex", pnet_rand=True, verbose=False)
    for index, name in SLICES.items():
        slice_name, position = name.split(".")
        convolution = getattr(reference.net, slice_name)[int(position) - int(_first(slice_name))]
        convolution.weight.data = weights()[f"features.{index}.weight"]
        convolution.bias.data = weights()[f"features.{index}.bias"]
    with torch.no_grad():
        colour = [movie[0].transpose(0, 1).expand(-1, 3, -1, -1) for movie in (x, y)]
        frames = reference(*colour, normalize=True)
    torch.testing.assert_close(values[0], frames.mean())
    torch.testing.assert_close(lpips(x, x), torch.zeros(2))


def _first(slice_name: str) -> int:
    """First layer of each slice in the package's network, whose layers keep their numbers as names."""
    return {"slice1": 0, "slice2": 2, "slice3": 5, "slice4": 8, "slice5": 10}[slice_name]


def test_pixels_that_do_not_count_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(weights(), tmp_path / "alexnet.pth")
    monkeypatch.setenv(BACKBONE_VARIABLE, str(tmp_path))
    x, y = movies()
    pixels = torch.zeros(36, 40, dtype=torch.bool)
    pixels[:, :20] = True
    other = x.clone()
    other[..., 20:] = 0.0
    assert torch.equal(lpips(other, y, pixels), lpips(x, y, pixels))


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "alexnet.pth")
    monkeypatch.setenv(BACKBONE_VARIABLE, str(tmp_path))
    with pytest.raises(ValueError, match="expected torchvision's AlexNet weights"):
        lpips(*movies())
