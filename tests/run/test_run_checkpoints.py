"""Checkpoints of the runner: of another run they are refused, damaged ones begin anew, an interrupt changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from worlds import linear as worlds

from recon.encoders.checkpoints import save_encoder
from recon.encoders.training.state import write_parts
from recon.errors import InputError
from recon.media import write_gif, write_mp4, write_png
from recon.methods import Gradient
from recon.methods.artefacts import save_artefact
from recon.methods.optimise.first_order import Adam
from recon.priors.weights_file import save_prior
from recon.problem.fidelities import save as save_fidelity
from recon.problem.fidelities.independent import Poisson
from recon.problem.problem import Observation, Problem
from recon.run.runner import reconstruct
from recon.types import Iterate

METHOD = Gradient(iterations=6, optimiser=Adam(0.02))


def changed(problem: Problem, **changes) -> Problem:
    (seen,) = problem.observations
    return replace(problem, observations=(replace(seen, measurement=replace(seen.measurement, **changes)),))


OTHERS = {
    "method": lambda problem: (replace(METHOD, iterations=7), problem, 0),
    "seed": lambda problem: (METHOD, problem, 1),
    "responses": lambda problem: (
        METHOD,
        changed(problem, responses=problem.observations[0].measurement.responses + 1),
        0,
    ),
    "frames": lambda problem: (METHOD, changed(problem, frames=torch.zeros(2, worlds.FRAMES, dtype=torch.bool)), 0),
    "neurons": lambda problem: (METHOD, changed(problem, neurons=torch.ones(worlds.NEURONS, dtype=torch.bool)), 0),
    "encoder": lambda problem: (
        METHOD,
        replace(problem, observations=(Observation(worlds.encoder(seed=1), problem.observations[0].measurement),)),
        0,
    ),
    "fidelity": lambda problem: (METHOD, replace(problem, fidelity=replace(problem.fidelity, epsilon=1e-4)), 0),
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_checkpoint_of_another_run_is_refused(name: str, tmp_path: Path) -> None:
    checkpoint, problem = tmp_path / "state.safetensors", worlds.problem()
    reconstruct(METHOD, problem, checkpoint=checkpoint, every=0.0)
    method, other, seed = OTHERS[name](problem)
    before = checkpoint.read_bytes()
    with pytest.raises(InputError, match=r"checkpoint .*: expected .*, got .*; remove it") as refused:
        reconstruct(method, other, seed=seed, checkpoint=checkpoint)
    assert "\n" not in str(refused.value)
    assert (name if name in ("method", "seed") else "problem") in str(refused.value)
    assert checkpoint.read_bytes() == before


def test_the_checkpoint_of_other_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = tmp_path / "state.safetensors"
    reconstruct(METHOD, worlds.problem(), checkpoint=checkpoint, every=0.0)
    monkeypatch.setattr("recon.run.identity.code_version", lambda *modules: "other")
    with pytest.raises(InputError, match="expected code other, got code "):
        reconstruct(METHOD, worlds.problem(), checkpoint=checkpoint)


def test_memory_and_devices_are_no_part_of_the_identity(tmp_path: Path) -> None:
    checkpoint = tmp_path / "state.safetensors"
    first = reconstruct(METHOD, worlds.problem(), checkpoint=checkpoint, every=0.0)
    again = reconstruct(METHOD, worlds.problem(window=4), checkpoint=checkpoint)
    assert again.iterations == first.iterations


def test_a_damaged_checkpoint_begins_anew(tmp_path: Path) -> None:
    checkpoint = tmp_path / "state.safetensors"
    reconstruct(METHOD, worlds.problem(), checkpoint=checkpoint, every=0.0)
    with safe_open(str(checkpoint), "pt") as file:
        tensors, about = {name: file.get_tensor(name) for name in list(file.keys())}, dict(file.metadata())
    for broken in ({**about, "diverged": '{"0": "x"}'}, {**about, "identity": "{}"}):
        save_file(tensors, str(checkpoint), broken)
        result = reconstruct(METHOD, worlds.problem(), checkpoint=checkpoint)
        assert result.statuses == ("finished", "finished") and result.evaluations == 7


@dataclass(frozen=True)
class Drawing:
    """A random walk; each step draws twice, and an interrupt may come in between."""

    interrupt_at: ClassVar[int] = 0

    def __call__(self, problem: Problem, generator: torch.Generator, state=None) -> Iterator[Iterate]:
        movie = state["movie"] if state else torch.full(problem.shape, 0.5)
        for step in range(int(state["step"]) + 1 if state else 1, 5):
            movie = movie + 0.01 * torch.randn(movie.shape, generator=generator)
            problem.meter.count(movie)
            if step == self.interrupt_at:
                raise KeyboardInterrupt
            movie = movie + 0.01 * torch.randn(movie.shape, generator=generator)
            kept = {"movie": movie, "step": torch.tensor([step])}
            yield Iterate(movie, {"misfit": torch.zeros(len(movie))}, kept)


def test_an_interrupt_within_a_step_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, checkpoint = reconstruct(Drawing(), worlds.problem()), tmp_path / "state.safetensors"
    monkeypatch.setattr(Drawing, "interrupt_at", 3)
    with pytest.raises(KeyboardInterrupt):
        reconstruct(Drawing(), worlds.problem(), checkpoint=checkpoint)
    monkeypatch.setattr(Drawing, "interrupt_at", 0)
    resumed = reconstruct(Drawing(), worlds.problem(), checkpoint=checkpoint)
    assert torch.equal(resumed.movie, whole.movie) and resumed.evaluations == whole.evaluations


def save_a_prior(path: Path) -> None:
    save_prior({"weight": torch.zeros(3)}, path, kind="tiny", about={}, card={})


PICTURE = np.zeros((3, 16, 16), np.uint8)
WRITERS: dict[str, Callable[[Path], object]] = {
    "checkpoint": lambda path: reconstruct(METHOD, worlds.problem(), checkpoint=path, every=0.0),
    "state of a training": lambda path: write_parts(path, {"model": {"weight": torch.zeros(3)}}, [1.0]),
    "fidelity": lambda path: save_fidelity(Poisson(), path),
    "artefact": lambda path: save_artefact({"weight": torch.zeros(3)}, path),
    "prior": save_a_prior,
    "encoder": lambda path: save_encoder(worlds.encoder(), path, card={}),
    "PNG": lambda path: write_png(path, PICTURE[0]),
    "GIF": lambda path: write_gif(path, PICTURE, frame_rate=30.0),
    "MP4": lambda path: write_mp4(path, PICTURE, frame_rate=30.0),
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_trusted_later_is_on_disk_before_it_is_renamed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file renamed before its content is on disk is empty after a power cut."""
    flushed, path, genuine = set[str](), tmp_path / "file.safetensors", Path.replace

    def fsync(descriptor: int) -> None:
        flushed.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    def renamed(aside: Path, target: Path) -> Path:
        assert str(aside) in flushed, f"{aside} was not flushed"
        flushed.remove(str(aside))
        return genuine(aside, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", renamed)
    WRITERS[name](path)
    assert path.stat().st_size and not flushed
    assert {file.name for file in tmp_path.iterdir()} <= {path.name, "file.json"}
