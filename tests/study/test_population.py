"""Smaller populations: what is left out is left out of everything; the published defect keeps it as silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from worlds.bench import configuration

from recon import config
from recon.data.neuron_sets import left_out_neurons, neuron_sets
from recon.encoders.field_centres import field_centres
from recon.errors import InputError
from recon.problem.problem import Problem
from recon.study.benchmark import benchmark
from recon.study.settings import Settings
from recon.study.shared import Bench, plan
from recon.study.task import Task

MAP = {"preset": "map_spectrum", "iterations": 2}


def task_of(world: Path, population: dict[str, Any]) -> Task:
    row = {"label": "x", "method": MAP, "population": population}
    settings = config.record(Settings, config.expand(configuration(world) | {"rows": [row]}), where="benchmark")
    bench = Bench(settings, plan(settings))
    return Task(bench, bench.plans[0], bench.batches[0])


def influence(problem: Problem, neurons: Tensor) -> float:
    """Return by how much the movie's gradient changes when the encoder's rates of some neurons are tripled."""
    movie = torch.full(problem.shape, 0.5)
    encoder: Any = problem.observations[0].encoder
    _, before = problem.value_and_gradient(movie)
    encoder.scale[neurons] *= 3
    _, after = problem.value_and_gradient(movie)
    encoder.scale[neurons] /= 3
    return float((after - before).norm() / before.norm())


def test_left_out_neurons_have_no_gradient_and_silent_ones_do(world: Path) -> None:
    half, silent = task_of(world, {"share": 0.5}), task_of(world, {"share": 0.5, "silent": True})
    assert int(half.left_out.sum()) > 3
    assert influence(half.pose(), half.left_out) == 0.0
    assert influence(silent.pose(), silent.left_out) > 0.01
    for task in (half, silent):
        assert not bool(task.pose().observations[0].measurement.responses[:, task.left_out].any())


def test_what_is_left_out_is_not_shown_to_what_is_fitted(world: Path) -> None:
    task = task_of(world, {"share": 0.5})
    assert not bool((task.sets["fit"] & task.left_out).any())
    assert bool((task.sets["report"] >= task.left_out).all())
    assert torch.equal(task.bench.sets["report"] | task.left_out, task.sets["report"])


def test_smaller_shares_are_nested_and_seeds_differ() -> None:
    sets, units = neuron_sets(range(500)), range(500)
    quarter, half = (left_out_neurons(sets, units, share=share) for share in (0.25, 0.5))
    assert bool((half <= quarter).all())
    assert not torch.equal(half, left_out_neurons(sets, units, share=0.5, seed=1))
    assert not bool(left_out_neurons(sets, units, share=1.0).any())


def test_rows_of_an_ablation_differ_and_say_how_many_neurons_they_had(world: Path, tmp_path: Path) -> None:
    rows = [{"label": f"{share}", "method": MAP, "population": {"share": share}} for share in (1.0, 0.5)]
    run = benchmark(configuration(world) | {"rows": rows, "run": str(tmp_path / "run")})
    header, *lines = [line.split(",") for line in (run / "results.csv").read_text().splitlines()]
    found = {(line[header.index("method")], int(line[header.index("neurons")])) for line in lines}
    assert len({label for label, _ in found}) == 2
    assert min(count for _, count in found) < max(count for _, count in found)


def test_a_share_outside_its_range_is_refused(world: Path) -> None:
    with pytest.raises(ValueError, match=r"population\.share: expected greater than 0"):
        task_of(world, {"share": 0.0})


def test_a_number_of_neurons_is_exact_and_nested_with_shares() -> None:
    sets, units = neuron_sets(range(500)), range(500)
    few, more = (left_out_neurons(sets, units, count=count) for count in (16, 64))
    quarter = left_out_neurons(sets, units, share=0.25)
    assert [int((sets["fit"] & ~out).sum()) for out in (few, more)] == [16, 64]
    assert bool((more <= few).all()) and bool((quarter <= more).all())
    with pytest.raises(InputError, match=r"population\.count: expected at most the \d+ neurons to fit, got 500"):
        left_out_neurons(sets, units, count=500)


def test_a_part_of_the_screen_keeps_the_neurons_that_look_at_it(world: Path) -> None:
    part, all_of_them = task_of(world, {"coverage": 0.3}), task_of(world, {})
    centres = field_centres(part.encoders["first"])
    inside = (centres.abs() <= 0.3**0.5).all(1)
    assert torch.equal(part.sets["fit"], part.bench.sets["fit"] & inside)
    assert 0 < int(part.sets["fit"].sum()) < int(all_of_them.sets["fit"].sum()) and part.key != all_of_them.key
    few = task_of(world, {"coverage": 0.3, "count": 2})
    assert int(few.sets["fit"].sum()) == 2 and bool((few.sets["fit"] <= part.sets["fit"]).all())
    with pytest.raises(InputError, match=r"population: expected neurons to fit, got none of 24; raise its coverage"):
        _ = task_of(world, {"coverage": 1e-9}).left_out


def test_a_number_and_a_share_are_not_both_taken(world: Path) -> None:
    with pytest.raises(InputError, match=r"expected count or share, got 3 neurons and a share of 0\.5"):
        task_of(world, {"share": 0.5, "count": 3})
