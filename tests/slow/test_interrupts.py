"""Runs and trainings interrupted at ten random evaluations each end as uninterrupted ones, to the last bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from worlds import dwise_training as dwise
from worlds import linear as worlds
from worlds.bench import bench_of, configuration
from worlds.interrupts import bits, interrupt_at, plain
from worlds.method_table import METHOD_TABLE

from recon.encoders.dwiseneuro.sampling import WindowSampling
from recon.encoders.dwiseneuro.train import train_dwise
from recon.methods import fitted
from recon.problem.problem import Problem
from recon.run.runner import reconstruct
from recon.study.task import Task
from recon.train.autoencoder import train_autoencoder
from recon.train.encoder import train_encoder
from recon.train.prior import train_prior

pytestmark = pytest.mark.slow
INTERRUPTS, FEWER = 10, 3
"""Interrupts of each method, and of each with a problem of several observations, in windows or in portions."""
START = {"preset": "map_spectrum", "iterations": 2}
PRESETS: dict[str, dict[str, Any]] = {
    "red_diff": {"preset": "diffusion_red_diff", "iterations": 4, "start": START},
    "diffpir": {"preset": "diffusion_posterior", "levels": 3},
    "split_gibbs": {"preset": "diffusion_gibbs", "iterations": 4, "burn": 2, "levels": 2, "start": START},
    "egg": {"preset": "diffusion_egg", "levels": 4},
    "dps": {"preset": "diffusion_dps", "levels": 4},
    "bauer2025": {"preset": "bauer2025", "iterations": 6},
    "map_spectrum": {"preset": "map_spectrum", "iterations": 8},
}
LEARNERS = [name for name, method in METHOD_TABLE.items() if "Learning(" in repr(method)]


def in_portions(problem: Problem) -> Problem:
    """The problem one sample at a time, as after a lack of memory."""
    problem.portions.limit(1, 0)
    return problem


POSED: dict[str, tuple[dict[str, Any], Callable[[Problem], Problem]]] = {
    "one observation": ({"encoders": ["first"]}, lambda problem: problem),
    "two observations": ({"encoders": ["first", "second"]}, lambda problem: problem),
    "windows": ({"encoders": ["first"]}, lambda problem: replace(problem, window=32)),
    "portions": ({"encoders": ["first"]}, in_portions),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("posed", POSED)
@pytest.mark.parametrize("name", PRESETS)
def test_presets_interrupted_at_ten_evaluations(name: str, posed: str, world: Path, tmp_path: Path) -> None:
    changes, change = POSED[posed]
    rows = [{"label": name, "method": PRESETS[name]} | changes]
    bench = bench_of(configuration(world) | {"run": str(tmp_path), "clips": {"count": 2}, "rows": rows})
    task = Task(bench, bench.plans[0], bench.batches[0])
    method = task.method()
    with interrupt_at(0) as evaluations:
        whole = plain(reconstruct(method, change(task.pose())))
    assert evaluations[0] >= INTERRUPTS
    count = INTERRUPTS if posed == "one observation" else FEWER
    for moment in Random(name + posed).sample(range(1, evaluations[0] + 1), count):
        state = tmp_path / f"{moment}.safetensors"
        with interrupt_at(moment), pytest.raises(KeyboardInterrupt):
            reconstruct(method, change(task.pose()), checkpoint=state)
        # Another process poses the problem anew; portions that fitted into memory come from the checkpoint.
        again = task.pose() if posed == "portions" and state.exists() else change(task.pose())
        assert plain(reconstruct(method, again, checkpoint=state)) == whole, f"{moment} of {evaluations[0]}"


@pytest.mark.parametrize("name", LEARNERS)
def test_decoders_interrupted_at_ten_evaluations_of_their_training(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learnt(folder: Path) -> dict[str, Any]:
        fitted(METHOD_TABLE[name], worlds.training(folder))
        assert not list(folder.glob("*.training"))
        files = sorted(folder.glob("[!.]*.safetensors"))
        return {f"{path.name} {name}": bits(value) for path in files for name, value in load_file(path).items()}

    monkeypatch.setattr("recon.encoders.training.loop.SAVE_SECONDS", -1.0)
    with interrupt_at(0) as evaluations:
        whole = learnt(tmp_path / "whole")
    for moment in Random(name).sample(range(1, evaluations[0] + 1), INTERRUPTS):
        with interrupt_at(moment), suppress(KeyboardInterrupt):
            learnt(tmp_path / str(moment))
        assert learnt(tmp_path / str(moment)) == whole, f"{moment} of {evaluations[0]}"


def core_readout(world: Path, folder: Path) -> None:
    core = {"lags": 4, "temporal": 2, "features": 4, "hidden": 4}
    training = {"steps": 8, "batch": 2, "frames": 30, "validate_every": 3, "warmup_frames": 20}
    tree = {"recording": str(world / "recording"), "output": str(folder / "tiny.safetensors")}
    train_encoder(tree | {"architecture": {"core": core}, "training": training, "validations": 2})


def autoencoder(world: Path, folder: Path) -> None:
    learning = {"steps": 8, "validate_every": 3}
    tree = {"recording": str(world / "recording"), "output": str(folder / "tiny.safetensors")}
    tree |= {"settings": {"latents": 3, "width": 4}, "learning": learning, "batch": 2, "frames": 8}
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        train_autoencoder(tree)


def dwiseneuro(world: Path, folder: Path) -> None:
    recipe = replace(dwise.RECIPE, sampling=WindowSampling(samples=16, batch=4))
    mice, state = (dwise.mouse(6), dwise.mouse(4, seed=1, name="b")), folder / "tiny.training"
    run = train_dwise(mice, dwise.SETTINGS, recipe, device=torch.device("cpu"), checkpoint=state)
    save_file(run.averaged.state_dict(), folder / "tiny.safetensors")


def prior(world: Path, folder: Path) -> None:
    learning = {"steps": 4, "validate_every": 2, "warmup": 1}
    tree = {"output": str(folder / "tiny.safetensors"), "artefacts": str(folder / "artefacts")}
    tree |= {"settings": {"widths": [4, 6], "depth": 1, "steering": 8}, "learning": learning}
    train_prior(tree | {"clips": 2, "batch": 2, "frames": 8, "text": "minilm"})


TRAININGS: dict[str, tuple[Callable[[Path, Path], None], int]] = {
    "core_readout": (core_readout, INTERRUPTS),
    "autoencoder": (autoencoder, INTERRUPTS),
    "dwiseneuro": (dwiseneuro, INTERRUPTS),
    "prior": (prior, FEWER),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_trainings_interrupted_at_ten_evaluations(
    name: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, count = TRAININGS[name]
    for module in ("recon.encoders.training.loop", "recon.encoders.dwiseneuro.train"):
        monkeypatch.setattr(f"{module}.SAVE_SECONDS", -1.0)
    monkeypatch.setattr("recon.encoders.dwiseneuro.train.SAVE_SHARE", math.inf)
    for setting, value in {"HELD_OUT": 3, "HELD_OUT_FRAMES": 12, "LENGTH": 10}.items():
        monkeypatch.setattr(f"recon.train.captioned.{setting}", value)
    monkeypatch.setattr("recon.train.prior.MEASURED", 4)

    def trained(folder: Path) -> dict[str, Any]:
        folder.mkdir(exist_ok=True)
        train(world, folder)
        return {key: bits(value) for key, value in load_file(folder / "tiny.safetensors").items()}

    with interrupt_at(0) as evaluations:
        whole = trained(tmp_path / "whole")
    for moment in Random(name).sample(range(1, evaluations[0] + 1), count):
        with interrupt_at(moment), suppress(KeyboardInterrupt):
            trained(tmp_path / str(moment))
        assert trained(tmp_path / str(moment)) == whole, f"{moment} of {evaluations[0]}"
