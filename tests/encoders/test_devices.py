"""One task on several devices: replicas take turns and change no result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from worlds.bench import configuration
from worlds.commands import rows_of
from worlds.encoders import core_readout, judge, stimulus

from recon import cli
from recon.encoders.base import TemporalFirst, resolve_device
from recon.encoders.runtime.devices import replicate
from recon.study.benchmark import benchmark

TWO = [torch.device("cpu"), torch.device("cpu", 0)]


@pytest.mark.parametrize("make", [core_readout, judge])
def test_copies_are_asked_in_turn_and_give_rates_and_gradients_of_one(make: Any) -> None:
    encoder = make()
    both = replicate(encoder, TWO, first=1)
    assert isinstance(both, TemporalFirst) == isinstance(encoder, TemporalFirst)
    asked: list[int] = []
    for place, inner in enumerate(both.copies.copies):
        inner.register_forward_hook(lambda *_, place=place: asked.append(place))
    movie, behavior = stimulus(12)
    for _ in range(3):
        movie = movie.detach().requires_grad_(True)
        rates = both(movie, behavior)
        torch.testing.assert_close(rates, encoder(movie, behavior), rtol=0, atol=0)
        pulls = [torch.autograd.grad(one(movie, behavior).square().sum(), movie)[0] for one in (both, encoder)]
        torch.testing.assert_close(*pulls, rtol=0, atol=0)
    assert asked == [1, 0, 1, 0, 1, 0]
    assert both.spec == encoder.spec and both.canvas == encoder.canvas
    assert replicate(encoder, []) is encoder


def test_a_table_is_the_same_with_encoders_on_several_devices(world: Path, tmp_path: Path) -> None:
    tree = configuration(world) | {"run": str(tmp_path / "one"), "artefacts": str(tmp_path / "artefacts"), "window": 20}
    tree["rows"][1]["encoders"] = ["first", "second"]
    one = rows_of(benchmark(tree))
    assert rows_of(benchmark(tree | {"run": str(tmp_path / "two"), "devices": ["cpu", "cpu:0"]})) == one
    with pytest.raises(ValueError, match="device: expected auto, cpu, cuda or cuda:0, got 'nowhere'"):
        benchmark(tree | {"run": str(tmp_path / "three"), "devices": ["nowhere"]})


def with_cards(monkeypatch: pytest.MonkeyPatch, count: int, *, built: str | None = "13.0") -> None:
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_a_device_that_this_machine_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with_cards(monkeypatch, 2)
    assert resolve_device("cuda:1") == torch.device("cuda", 1) and resolve_device() == torch.device("cuda")
    with pytest.raises(ValueError, match=r"got 'cuda:2', but there are 2 graphics cards, counted from 0; use auto"):
        resolve_device("cuda:2")
    with_cards(monkeypatch, 0)
    assert resolve_device() == torch.device("cpu")
    for name in ("cuda", "cuda:7"):
        with pytest.raises(ValueError, match=f"got '{name}', but torch finds no CUDA driver or no graphics card; use"):
            resolve_device(name)
    with_cards(monkeypatch, 0, built=None)
    with pytest.raises(ValueError, match="got 'cuda', but this torch is built without CUDA"):
        resolve_device("cuda")
    for name in ("mps", "mps:1", "meta", "hpu", "nowhere", "", "cuda:-1"):
        with pytest.raises(ValueError, match=f"device: expected .*, got '{name}'"):
            resolve_device(name)


@pytest.mark.parametrize("change", [{"device": "cuda"}, {"devices": ["cpu", "cuda:7"]}, {"device": "mps"}])
def test_a_lacking_device_is_said_before_anything_is_read_or_simulated(
    change: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_cards(monkeypatch, 0)
    tree = configuration(tmp_path / "world") | {"run": str(tmp_path / "run"), "simulate": {"neurons": 20}} | change
    OmegaConf.save(OmegaConf.create(tree), tmp_path / "bench.yaml")
    assert cli.main(["benchmark", str(tmp_path / "bench.yaml")]) == 2
    said = capsys.readouterr().err
    assert "device: expected one of this machine, got " in said and said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bench.yaml"]
