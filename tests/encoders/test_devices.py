"""One task on several devices: replicas take turns and change no result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from worlds.bench import configuration
from worlds.commands import rows_of
from worlds.encoders import core_readout, judge, stimulus

from recon.encoders.base import TemporalFirst
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
