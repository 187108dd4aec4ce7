"""Fisher information of the population response about each pixel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from recon.data.sensorium import SensoriumRecording
from recon.encoders.base import Encoder
from recon.files import digest, write_json
from recon.files.code_version import code_version, modules_of
from recon.problem.coverage import fisher_information
from recon.study.manifest import RUN, intact, seal
from recon.study.shared import Bench

CLIPS, PROBES, FRAMES = 40, 2, 90
"""Number of pieces of training movies, random sign patterns per piece, frames per piece."""


def information_map(recording: SensoriumRecording, encoder: Encoder, neurons: Tensor) -> Tensor:
    """Return the information per frame `[H,W]`, averaged over pieces of training movies."""
    generator = torch.Generator().manual_seed(0)
    found = (
        fisher_information(encoder, movie, behavior, neurons=neurons, generator=generator, probes=PROBES)
        for movie, behavior in _pieces(recording)
    )
    return torch.stack([each.mean((0, 1)).cpu() for each in found]).mean(0)


def write_information(bench: Bench) -> Path:
    """Write `information.json` of a run for its first encoder and *fit* neurons, unless it is up to date."""
    run, file = bench.settings.run, "information.json"
    path = run / file
    name, encoder = next(iter(bench.encoders.items()))
    neurons = bench.sets["fit"]
    code = code_version(__name__, *modules_of(encoder))
    key = digest([bench.recording.fingerprint(), bench.hashes[name], neurons.nonzero().flatten().tolist(), code])
    if not intact(run, file) or json.loads(path.read_text(encoding="utf-8"))["key"] != key:
        found = information_map(bench.recording, encoder, neurons)
        rows = [[float(f"{value:.4g}") for value in row] for row in found.tolist()]
        write_json(path, {"key": key, "encoder": name, "map": rows})
        seal(run, [file], of=RUN)
    return path


def _pieces(recording: SensoriumRecording) -> Iterator[tuple[Tensor, Tensor | None]]:
    indices = recording.trials("train")
    for index in indices[:: max(len(indices) // CLIPS, 1)][:CLIPS]:
        trial = recording.trial(index)
        yield trial.movie[None, :, :FRAMES], None if trial.behavior is None else trial.behavior[None, :, :FRAMES]
