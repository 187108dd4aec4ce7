"""The state of a training on disk, so that a killed run goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from encoders.checkpoints import write_atomically

if TYPE_CHECKING:
    from encoders.training import Training

SCALARS = ("score", "best_step", "step", "seconds")


def save_state(run: Training, path: Path) -> None:
    """Write all that the next steps depend on, at once or not at all."""
    tensors = {"generator": run.generator.get_state()}
    for part, values in _parts(run).items():
        tensors |= {f"{part}/{name}": value.detach().cpu().contiguous() for name, value in values.items()}
    scalars = json.dumps([float(getattr(run, name)) for name in SCALARS])
    tensors["scalars"] = torch.frombuffer(bytearray(scalars.encode()), dtype=torch.uint8)
    write_atomically(path, save({name: value.clone() for name, value in tensors.items()}))


def load_state(run: Training, path: Path) -> None:
    """Put a saved state into a run that was started with the same encoder, clips and settings."""
    try:
        tensors = load(path.read_bytes())
        _restore(run, tensors)
    except (SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{path}: expected the state of a training of this encoder, got {error}; delete it to start again"
        ) from error


def _restore(run: Training, tensors: dict[str, Tensor]) -> None:
    run.learner.load_state_dict(_part(tensors, "learner"))
    run.averaged.load_state_dict(_part(tensors, "averaged"))
    run.best = _part(tensors, "best")
    run.generator.set_state(tensors["generator"])
    moments = _part(tensors, "optimiser")
    state: dict[str, Any] = run.optimiser.state_dict()
    state["state"] = {}
    for name, value in moments.items():
        index, key = name.split("/")
        state["state"].setdefault(int(index), {})[key] = value
    run.optimiser.load_state_dict(state)
    score, best_step, step, run.seconds = json.loads(bytes(tensors["scalars"].tolist()))
    run.score, run.best_step, run.step = score, int(best_step), int(step)


def _parts(run: Training) -> dict[str, dict[str, Tensor]]:
    moments = run.optimiser.state_dict()["state"]
    flat = {f"{index}/{key}": value for index, entry in moments.items() for key, value in entry.items()}
    learner, averaged = run.learner.state_dict(), run.averaged.state_dict()
    return {"learner": learner, "averaged": averaged, "best": run.best, "optimiser": flat}


def _part(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name[len(part) + 1 :]: value for name, value in tensors.items() if name.startswith(f"{part}/")}
