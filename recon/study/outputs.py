"""Files of a benchmark and of its tasks: inputs, environment, movies, clips."""

from __future__ import annotations

import io
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from recon import config
from recon.errors import InputError
from recon.files import read_table, write_bytes, write_json
from recon.files.code_version import SOURCE, installed_version, library_versions
from recon.metrics import COSTS, METRICS
from recon.metrics.intervals.bounds import Declared
from recon.problem.clips import Batch
from recon.study.manifest import RUN, check_file, seal
from recon.study.settings import Settings
from recon.types import Uncertainty

FIRST = (
    "recording",
    "trial",
    "video_id",
    "method",
    "encoder",
    "fidelity",
    "bins",
    "neurons",
    "seed",
    "condition",
    "status",
    "iterations",
)
LAST = ("behavior", "text", "animals", "pretrained", "oracle", "message")
"""Columns of results.csv before and after those of costs and scores."""


INPUT_FILES = ("recording.json", "config.yaml", "environment.json", "neuron_sets.json", "clips.h5")
"""Files that `write_inputs` writes."""


RESULTS = "results.csv"
"""The table of a run."""


def read_results(path: Path) -> list[dict[str, str]]:
    """Return the rows of a run's table; raises InputError for an absent, damaged or other one."""
    if not path.is_file():
        raise InputError(f"{path}: expected the table of a run, got none; finish the run first")
    check_file(path)
    rows = read_table(path)
    if rows and "method" not in rows[0]:
        raise InputError(f"{path}: expected the table of a run, got columns {', '.join(rows[0])}; name another")
    return rows


def columns(settings: Settings | None = None) -> tuple[str, ...]:
    """Return the columns of a run's results.csv: those of every run, each optional column next to its relative."""
    added: dict[str, tuple[str, ...]] = {}
    asked: tuple[str, ...] = ()
    if settings is not None:
        asked = settings.perceptual.scores
        added["frame_correlation"] = settings.pooled_columns
        added["psnr"] = settings.oracle_columns
        added["response_correlation_true"] = settings.masked_columns
    metrics = [metric for metric in METRICS.values() if not metric.asked or metric.name in asked]
    scores = [column for metric in metrics for column in metric.columns]
    return tuple(name for known in (*FIRST, *COSTS, *scores, *LAST) for name in (known, *added.get(known, ())))


def movie_file(
    batch: Batch, movie: Tensor, uncertainty: Uncertainty | None = None, declared: Declared | None = None
) -> bytes:
    """Return an HDF5 file with one group per trial: `reconstruction` (T,H,W), float16 in [0,1], mean over channels.

    For a sampler also `deviation` (T,H,W), the standard deviation over its draws. With calibrated intervals also
    `lower` and `upper`, their bounds at 90 %, and `sd`, the calibrated standard deviation.
    """
    layers = {"reconstruction": movie} | ({} if uncertainty is None else {"deviation": uncertainty.deviation.cpu()})
    if declared is not None:
        layers |= {"lower": declared.bounds.lower, "upper": declared.bounds.upper, "sd": declared.deviation}
    grey = {name: layer.mean(1).half().numpy() for name, layer in layers.items()}
    names = [str(trial.index) for trial in batch.trials]
    groups = {name: {kind: layer[i] for kind, layer in grey.items()} for i, name in enumerate(names)}
    return hdf5_file(groups, {name: {} for name in groups})


def clips_file(batches: Sequence[Batch], settings: Settings) -> bytes:
    """Return an HDF5 file with one group per trial: `truth` (T,H,W) uint8, and attributes of the clip."""
    groups: dict[str, dict[str, np.ndarray[Any, Any]]] = {}
    about: dict[str, dict[str, Any]] = {}
    for batch in batches:
        for trial in batch.trials:
            grey = (trial.movie.mean(0) * 255).round().clamp(0, 255).to(torch.uint8)
            groups[str(trial.index)] = {"truth": grey.numpy()}
            about[str(trial.index)] = {
                "caption": trial.caption,
                "video_id": trial.video_id,
                "frame_rate": batch.recording.frame_rate,
                "warmup": settings.frames.warmup,
                "tail": settings.frames.tail,
            }
    return hdf5_file(groups, about)


def write_inputs(
    settings: Settings, tree: Mapping[str, Any], *, sets: Mapping[str, Tensor], batches: Sequence[Batch], device: str
) -> None:
    """Write the resolved configuration, the environment, and the recording's name, neuron sets and clips, sealed."""
    run, recording = settings.run, batches[0].recording
    write_json(run / "recording.json", {"name": recording.name, "activity": recording.activity})
    write_bytes(run / "config.yaml", to_yaml(config.inscribed(tree)))
    write_json(run / "environment.json", environment(device))
    write_json(run / "neuron_sets.json", {name: mask.nonzero().flatten().tolist() for name, mask in sets.items()})
    write_bytes(run / "clips.h5", clips_file(batches, settings))
    seal(run, INPUT_FILES, of=RUN)


def to_yaml(tree: Mapping[str, Any]) -> bytes:
    """Return a mapping as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(dict(tree))).encode()


def environment(device: str) -> dict[str, Any]:
    """Return library versions, machine, device and commit: recorded with a run, not part of any key."""
    return {
        "packages": {"recon": installed_version("recon")} | library_versions(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "device": device,
        "accelerator": torch.cuda.get_device_name() if device.startswith("cuda") else None,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "git_commit": _commit(),
    }


def hdf5_file(
    groups: Mapping[str, Mapping[str, np.ndarray[Any, Any]]], about: Mapping[str, Mapping[str, Any]]
) -> bytes:
    """Return an HDF5 file: groups of arrays; `about` holds the attributes of each group.

    Built in memory, so that a single write succeeds or leaves nothing, also on a full disk.
    """
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        for name, arrays in groups.items():
            group = file.create_group(name)
            group.attrs.update(about[name])
            for key, array in arrays.items():
                group.create_dataset(key, data=array, compression="gzip", compression_opts=4, shuffle=True)
    return memory.getvalue()


def _commit() -> str | None:
    """Return the commit of this project's checkout; None for an installed package, also inside another repository."""
    if not (SOURCE / ".git").exists():
        return None
    try:
        asked = ["git", "-C", str(SOURCE), "rev-parse", "HEAD"]
        found = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
