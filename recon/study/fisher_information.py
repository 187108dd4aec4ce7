"""Fisher information of the population response about each pixel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from recon.data.sensorium import SensoriumRecording
from recon.encoders.base import Encoder, device_of
from recon.files import digest, write_json
from recon.files.code_version import code_version, modules_of
from recon.study.manifest import RUN, intact, seal
from recon.study.shared import Bench

CLIPS, PROBES, FRAMES = 40, 2, 90
"""Number of pieces of training movies, random sign patterns per piece, frames per piece."""


@torch.enable_grad()
def fisher_information(
    encoder: Encoder, movie: Tensor, behavior: Tensor | None, *, neurons: Tensor, generator: torch.Generator
) -> Tensor:
    """Return Σ_{n,t} (∂r_n(t)/∂pixel)² / r_n(t) `[T,H,W]` of Poisson responses, for a movie `[C,T,H,W]`.

    Estimated without a loop over neurons: for random signs ε, the squared gradient of Σ ε·r/√r̄ has this expectation
    (Hutchinson 1989).
    """
    device = device_of(encoder)
    leaf = movie[None].to(device).requires_grad_(True)
    rates = encoder(leaf, None if behavior is None else behavior[None].to(device))[:, neurons.to(device)]
    scaled = rates / rates.detach().clamp_min(1e-3 * float(rates.detach().mean())).sqrt()
    total = torch.zeros(movie.shape[1:])
    for _ in range(PROBES):
        signs = torch.randint(0, 2, scaled.shape, generator=generator).to(scaled) * 2 - 1
        (gradient,) = torch.autograd.grad((signs * scaled).sum(), leaf, retain_graph=True)
        total += gradient[0].square().sum(0).cpu() / PROBES
    return total


def information_map(recording: SensoriumRecording, encoder: Encoder, neurons: Tensor) -> Tensor:
    """Return the information per frame `[H,W]`, averaged over pieces of training movies."""
    generator = torch.Generator().manual_seed(0)
    maps = [
        fisher_information(encoder, movie, behavior, neurons=neurons, generator=generator).mean(0)
        for movie, behavior in _pieces(recording)
    ]
    return torch.stack(maps).mean(0)


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
        yield trial.movie[:, :FRAMES], None if trial.behavior is None else trial.behavior[:, :FRAMES]
