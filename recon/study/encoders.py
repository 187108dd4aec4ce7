"""The encoders of a run: built, given their neurons, checked against the recording, frozen, on their device."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from recon import config
from recon.encoders.base import Encoder, Unnamed, freeze
from recon.encoders.runtime.malloc import keep_freed_memory
from recon.encoders.runtime.precision import Precision, in_precision
from recon.study.provenance import check_encoder
from recon.types import Recording


def make_recording(path: Path, wanted: Mapping[str, Any], *, progress: bool) -> None:
    """Simulate the recording of a configuration, unless it is there: of a planted population, or of an `encoder`."""
    from recon.simulate.encoded import EncodedSettings, show_to_encoder
    from recon.simulate.recording import is_there, simulate
    from recon.simulate.settings import SimulationSettings

    if "encoder" not in wanted:
        simulate(path, config.record(SimulationSettings, wanted, where="simulate"), progress)
        return
    chosen = config.record(EncodedSettings, wanted, where="simulate")
    made_by = {"settings": json.loads(json.dumps(asdict(chosen), default=str))}
    if not is_there(path, made_by):
        encoder: Encoder = config.build("encoder", chosen.encoder, where="simulate.encoder")
        show_to_encoder(path, chosen, freeze(encoder), made_by=made_by)


@dataclass(frozen=True)
class Arithmetic:
    """Where and how encoders compute: device, precision, and whether torch.compile translates them first.

    Translating takes minutes, and on a CPU a C++ compiler.
    """

    device: torch.device
    precision: Precision = "float32"
    compiled: bool = False


def ready_encoder(tree: Mapping[str, Any], recording: Recording, arithmetic: Arithmetic, *, where: str) -> Encoder:
    """Return the encoder of a configuration, ready to be inverted; raises ValueError where it does not fit."""
    if arithmetic.device.type == "cpu":
        keep_freed_memory()
    encoder: Encoder = config.build("encoder", tree, where=where)
    if isinstance(encoder, Unnamed) and len(encoder.spec.neuron_ids) == len(recording.unit_ids):
        encoder.for_neurons(recording.unit_ids)
    check_encoder(encoder, recording, where)
    ready = in_precision(freeze(encoder).to(arithmetic.device), arithmetic.precision)
    if arithmetic.compiled:
        ready.compile()
    return ready
