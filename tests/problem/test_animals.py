"""Several animals that saw the same clips, reconstructed jointly."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from worlds.bench import configuration, make_world, write_encoder

from recon.config import expand, record
from recon.data.sensorium import SensoriumRecording
from recon.metrics.movie import video_correlation
from recon.simulate.recording import simulate
from recon.simulate.settings import TINY
from recon.study.benchmark import benchmark
from recon.study.seen import seen_by
from recon.study.settings import Settings
from recon.study.shared import Bench, plan
from recon.study.task import Task


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("animals")
    make_world(folder)
    other = SensoriumRecording(simulate(folder / "other", replace(TINY, seed=1, neurons=30), progress=False))
    write_encoder(folder / "other.safetensors", other, seed=5)
    return folder


def tree_of(world: Path, **row: object) -> dict:
    tree = configuration(world)
    encoder = {"name": "core_readout", "weights": str(world / "other.safetensors")}
    tree["animals"] = {"b": {"recording": str(world / "other"), "encoder": encoder}}
    tree["rows"] = [{"label": "both", "method": {"preset": "map_spectrum", "iterations": 2}, "animals": ["b"], **row}]
    return tree


def task_of(tree: dict) -> Task:
    settings = record(Settings, expand(tree), where="benchmark")
    bench = Bench(settings, plan(settings))
    return Task(bench, bench.plans[0], bench.batches[0])


def test_the_energy_of_two_animals_is_the_sum_of_theirs(world: Path) -> None:
    both, alone = (task_of(tree_of(world, animals=names)).pose() for names in (["b"], []))
    assert [len(seen.encoder.spec.neuron_ids) for seen in both.observations] == [24, 30]
    movie = torch.rand(both.shape, generator=torch.Generator().manual_seed(0))
    parts = [both.alone(index).energy(movie) for index in (0, 1)]
    assert torch.allclose(both.energy(movie), parts[0] + parts[1])
    assert torch.equal(parts[0], alone.energy(movie)) and bool((parts[1] > 0).all())
    gradients = [both.value_and_gradient(movie, observation=index)[1] for index in (0, 1)]
    assert torch.allclose(both.value_and_gradient(movie)[1], gradients[0] + gradients[1], atol=1e-6)


def test_the_other_animals_activity_is_that_of_the_same_clips(world: Path) -> None:
    task = task_of(tree_of(world))
    own, other = task.pose().observations
    (animal,) = task.animals
    for sample, trial in enumerate(task.batch.trials):
        same = next(i for i, name in enumerate(animal.recording.video_ids) if name == trial.video_id)
        shown = animal.recording.trial(same)
        assert torch.equal(shown.movie, trial.movie)
        fit = animal.sets["fit"]
        assert torch.allclose(other.measurement.responses[sample, fit], shown.responses[fit])
        assert not other.measurement.responses[sample, animal.sets["report"]].any()
    assert own.measurement.responses.shape[1] == 24


@pytest.mark.parametrize("condition", ["wrong_clip", "predicted", "repeats_joint", "repeat_average"])
def test_conditions_hold_for_all_animals(world: Path, condition: str) -> None:
    task = task_of(tree_of(world, condition=condition))
    seen = task.pose().observations
    count = len(seen) // 2
    assert count == (1 if condition != "repeats_joint" else TINY.repeats)
    recorded = task_of(tree_of(world)).pose().observations
    assert all(not torch.equal(a.measurement.responses, recorded[1].measurement.responses) for a in seen[count + 1 :])
    assert {a.animal for a in seen[:count]} == {""} and {a.animal for a in seen[count:]} == {"b"}


@pytest.mark.parametrize("name", ["gaussian", "mixture"])
def test_noise_is_fitted_to_each_animal(world: Path, name: str) -> None:
    problem = task_of(tree_of(world, fidelity={"name": name})).pose()
    assert problem.fidelity_of(problem.observations[0]) is problem.fidelity
    assert problem.fidelity_of(problem.observations[1]) is not problem.fidelity
    assert bool(torch.isfinite(problem.energy(torch.full(problem.shape, 0.5))).all())


def test_decoders_read_their_own_animal_and_whatever_has_encoders_reads_both(world: Path, tmp_path: Path) -> None:
    tree = tree_of(world) | {"run": str(tmp_path / "run")}
    tree["rows"] += [
        {"label": "ridge", "method": {"name": "ridge"}},
        {"label": "ridge, both", "method": {"name": "ridge"}, "animals": ["b"]},
        {"label": "published", "method": {"preset": "bauer2025", "iterations": 2}, "animals": ["b"]},
    ]
    run = benchmark(tree)
    with (run / "results.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    scores: dict[str, list[str]] = {}
    for row in rows:
        scores.setdefault(row["method"], []).append(row["video_correlation"])
    assert scores["ridge"] == scores["ridge, both"] != scores["both"]
    joint = next(row for row in rows if row["method"] == "both")
    assert joint["encoder"] == "first+b" and int(joint["neurons"]) > 30
    said: list[str] = []
    benchmark(tree, say=said.append)
    assert all(line.endswith("done already") for line in said)


@pytest.mark.slow  # two optimisations
def test_two_animals_tell_more_than_one(world: Path) -> None:
    """A movie that is sought from both animals' noise-free rates is nearer to the truth than from one's."""
    found = {}
    for names in ([], ["b"]):
        method = {"preset": "map_spectrum", "iterations": 40}
        task = task_of(tree_of(world, animals=names, condition="predicted", method=method))
        *_, last = task.method()(task.pose(), torch.Generator().manual_seed(0))
        found[len(names)] = float(video_correlation(last.movie, task.batch.movie).mean())
    assert found[1] > found[0]


@pytest.mark.slow
def test_another_video_is_refused(world: Path, tmp_path: Path) -> None:
    different = replace(TINY, seed=1, neurons=30, clip_frames=80)
    simulate(tmp_path / "different", different, progress=False)
    tree = tree_of(world)
    tree["animals"]["b"]["recording"] = str(tmp_path / "different")
    with pytest.raises(ValueError, match=r"animals.b: expected the video .* got other pixels in its trial"):
        task_of(tree).pose()
    fewer = simulate(tmp_path / "fewer", replace(TINY, seed=1, neurons=30, test_clips=1), progress=False)
    tree["animals"]["b"]["recording"] = str(fewer)
    with pytest.raises(ValueError, match="got no trial of it; choose clips that both animals saw"):
        task_of(tree).pose()


def test_unknown_animals_are_refused(world: Path) -> None:
    with pytest.raises(ValueError, match=r"row both: expected animals of \['b'\], got \['c'\]"):
        task_of(tree_of(world, animals=["c"]))


def test_the_page_says_that_another_animal_was_fitted(world: Path) -> None:
    assert seen_by(task_of(tree_of(world, method={"name": "ridge"})).saw).count("animal") == 0  # decoders ignore it
    assert "; fitted with 1 other animal that saw the clips" in seen_by(task_of(tree_of(world)).saw)
