"""The encoders of a run: built, given their neurons, checked against the recording, frozen, on their device."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from recon import config
from recon.encoders.base import Encoder, Unnamed, freeze
from recon.encoders.dry_run import dry_run
from recon.encoders.identity import is_users
from recon.encoders.of_neurons import OfNeurons
from recon.encoders.runtime.precision import Precision, in_precision
from recon.errors import InputError
from recon.types import Recording


@dataclass(frozen=True)
class Arithmetic:
    """Where and how encoders compute: device, precision, and whether torch.compile translates them first.

    Translating takes minutes, and on a CPU a C++ compiler.
    """

    device: torch.device
    precision: Precision = "float32"
    compiled: bool = False


def ready_encoder(
    tree: Mapping[str, Any] | Encoder, recording: Recording, arithmetic: Arithmetic, *, where: str
) -> Encoder:
    """Return the encoder of a configuration, frozen and on its device; raises InputError where it does not fit.

    No setting of the process changes: products are rounded as `precision.products` says where the encoder is called.
    An encoder built in Python is copied: the user's own stays on its device, and goes on learning where it did. One of
    a class of the user's is called on a few frames, see `dry_run`.
    """
    encoder: Encoder = config.build("encoder", tree, where=where)
    given = encoder is tree
    if given:
        encoder = copy.deepcopy(encoder)
    if isinstance(encoder, Unnamed) and len(encoder.spec.neuron_ids) == len(recording.all_unit_ids):
        encoder.for_neurons(recording.all_unit_ids)
    encoder = _of_recorded(encoder, recording)
    check_encoder(encoder, recording, where)
    if given and is_users(encoder):
        _try(encoder, where)
    ready = in_precision(freeze(encoder).to(arithmetic.device), arithmetic.precision)
    if arithmetic.compiled:
        ready.compile()
    return ready


def _try(encoder: Encoder, where: str) -> None:
    try:
        dry_run(encoder)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _of_recorded(encoder: Encoder, recording: Recording) -> Encoder:
    """Return an encoder of all neurons of a recording without those that the recording masks."""
    if recording.all_unit_ids == recording.unit_ids or encoder.spec.neuron_ids != recording.all_unit_ids:
        return encoder
    return OfNeurons(encoder, recording.unit_ids)


def check_encoder(encoder: Encoder, recording: Recording, where: str) -> None:
    """Refuse an encoder of other neurons, another order of them, another frame size or another frame rate."""
    spec, units = encoder.spec, recording.unit_ids
    if len(spec.neuron_ids) != len(units):
        raise InputError(
            f"{where}: expected {len(units)} neurons as in {recording.path}, got {len(spec.neuron_ids)} in its file; "
            "train one on this recording with `recon train encoder`"
        )
    if spec.neuron_ids != units:
        first = next(i for i, pair in enumerate(zip(spec.neuron_ids, units, strict=True)) if pair[0] != pair[1])
        raise InputError(
            f"{where}: expected neuron {units[first]} at place {first} as in {recording.path}, got "
            f"{spec.neuron_ids[first]}; train an encoder on this recording, or wrap a module whose neurons are in its "
            "order with in_recording_order=True"
        )
    if spec.frame_size != recording.frame_size or spec.frame_rate != recording.frame_rate:
        raise InputError(
            f"{where}: expected frames {recording.frame_size} at {recording.frame_rate:g} Hz as in {recording.path}, "
            f"got an encoder of {spec.frame_size} at {spec.frame_rate:g} Hz; resample the recording or train another"
        )
