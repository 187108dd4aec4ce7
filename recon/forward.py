"""The encoders of a run: built, given their neurons, checked against the recording, frozen, on their device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from encoders.base import Encoder, Unnamed, freeze
from encoders.precision import Precision, in_precision
from recon import config
from recon.keys import check_encoder
from recon.types import Recording


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
    encoder: Encoder = config.build("encoder", tree, where=where)
    if isinstance(encoder, Unnamed) and len(encoder.spec.neuron_ids) == len(recording.unit_ids):
        encoder.for_neurons(recording.unit_ids)
    check_encoder(encoder, recording, where)
    ready = in_precision(freeze(encoder).to(arithmetic.device), arithmetic.precision)
    if arithmetic.compiled:
        ready.compile()
    return ready
