"""Identity of a network: a hash of its weights and its description."""

from __future__ import annotations

import hashlib

from torch import nn

from recon.encoders.base import Encoder


def weights_hash(module: nn.Module, about: object = None) -> str:
    """Return 16 hexadecimal digits: a hash of a module's parameters and buffers and of the description `about`."""
    digest = hashlib.sha256(repr(about).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def state_hash(encoder: Encoder) -> str:
    """Return 16 hexadecimal digits: a hash of an encoder's class, Spec, parameters and buffers."""
    return weights_hash(encoder, (type(encoder).__name__, encoder.spec))
