"""Fisher information: against the Jacobian of a small encoder, and as a run's file."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from worlds import linear as worlds
from worlds.bench import configuration

from recon.problem.coverage import fisher_information
from recon.study import fisher_information as information
from recon.study.benchmark import benchmark


def test_it_is_the_squared_jacobian_over_the_rates() -> None:
    encoder, movie = worlds.encoder(lags=2), worlds.movies(1, seed=2, frames=3)[0]
    neurons = torch.arange(worlds.NEURONS) < 4
    generator = torch.Generator().manual_seed(0)
    (found,) = fisher_information(encoder, movie[None], None, neurons=neurons, generator=generator, probes=4000)
    rates = encoder(movie[None])[0, neurons]
    jacobian = torch.autograd.functional.jacobian(lambda x: encoder(x[None])[0, neurons], movie)
    expected = (jacobian.square() / rates[..., None, None, None, None]).sum((0, 1, 2))
    assert torch.allclose(found, expected, rtol=0.15, atol=0.02 * float(expected.max()))


def test_neurons_that_are_left_out_say_nothing() -> None:
    encoder, movie = worlds.encoder(), worlds.movies(1, seed=2)[0]
    none = torch.zeros(worlds.NEURONS, dtype=torch.bool)
    none[0] = True
    (found,) = fisher_information(encoder, movie[None], None, neurons=none, generator=torch.Generator(), probes=2)
    seen = encoder.weights[0].abs().amax((0, 1)) > 1e-3 * float(encoder.weights[0].abs().max())
    assert float(found.mean(0)[~seen].sum()) < 0.01 * float(found.mean(0).sum())


def test_a_run_has_the_map_once_per_code(world: Path, tmp_path: Path, monkeypatch) -> None:
    tree = configuration(world) | {"run": str(tmp_path / "run"), "information": True}
    tree["rows"] = tree["rows"][:1]
    run = benchmark(tree)
    file = run / "information.json"
    found, stamp = json.loads(file.read_text()), file.stat().st_mtime_ns
    assert found["encoder"] == "first" and torch.tensor(found["map"]).shape == (16, 24)
    benchmark(tree)
    assert file.stat().st_mtime_ns == stamp
    monkeypatch.setattr(information, "code_version", lambda *modules: "other")
    benchmark(tree)
    assert json.loads(file.read_text())["key"] != found["key"]
