"""A benchmark that runs in seconds: tiny simulated recording, untrained encoder, two rows."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from recon import config
from recon.data.sensorium import SensoriumRecording
from recon.encoders.base import Spec
from recon.encoders.checkpoints import save_encoder
from recon.encoders.core_readout.core import CoreSettings
from recon.encoders.core_readout.model import CoreReadout, CoreReadoutSettings
from recon.simulate.recording import simulate
from recon.simulate.settings import TINY
from recon.study.settings import Settings
from recon.study.shared import Bench, plan

SMALL = CoreReadoutSettings(core=CoreSettings(lags=3, temporal=2, kernel=2, features=4, mixing=1, hidden=4))


@functools.cache
def original() -> Path:
    """Simulate the recording and write the encoders once per process; `make_world` copies them."""
    folder = Path(tempfile.mkdtemp(prefix="recon-world-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    recording = SensoriumRecording(simulate(folder / "recording", TINY, progress=False))
    for seed in range(3):
        write_encoder(folder / f"encoder{seed}.safetensors", recording, seed=seed)
    return folder


def make_world(folder: Path) -> Path:
    """Write recording, encoders and bench.yaml into a folder; return the path of the YAML file."""
    shutil.copytree(original(), folder, dirs_exist_ok=True)
    OmegaConf.save(OmegaConf.create(configuration(folder)), folder / "bench.yaml")
    return folder / "bench.yaml"


def write_encoder(
    path: Path,
    recording: SensoriumRecording,
    *,
    seed: int,
    neurons: int | None = None,
    behavior: tuple[str, ...] = ("running_speed",),
) -> None:
    """Write an untrained encoder of a recording's (first) neurons."""
    units = recording.unit_ids[:neurons]
    spec = Spec(recording.frame_size, units, degrees_per_pixel=recording.degrees_per_pixel, behavior=behavior)
    encoder = CoreReadout(spec, SMALL)
    encoder.initialise(torch.Generator().manual_seed(seed))
    save_encoder(encoder, path, card={})


def configuration(folder: Path) -> dict[str, Any]:
    """Return a benchmark with a learnt decoder and input optimisation in the folder's world."""
    encoders = [{"name": "core_readout", "weights": str(folder / f"encoder{seed}.safetensors")} for seed in range(3)]
    return {
        "run": str(folder / "run"),
        "recording": str(folder / "recording"),
        "artefacts": str(folder / "artefacts"),
        "encoders": {"first": encoders[0], "second": encoders[1]},
        "judge": encoders[2],
        "clips": {"count": 3},
        "frames": {"warmup": 20, "tail": 4},
        "neurons": {"selection": 0.1, "report": 0.2},
        "device": "cpu",
        "rows": [
            {"label": "ridge", "method": {"name": "ridge"}},
            {"label": "map", "method": {"preset": "map_spectrum", "iterations": 3}},
        ],
    }


def bench_of(tree: dict[str, Any]) -> Bench:
    """Return what the tasks of a benchmark share, for its configuration."""
    settings = config.record(Settings, config.expand(tree), where="benchmark")
    return Bench(settings, plan(settings))
