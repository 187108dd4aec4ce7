"""Identity of a network: a hash of its weights and its description."""

from __future__ import annotations

import hashlib
from typing import TypeGuard

from torch import nn

from recon.encoders.base import Encoder
from recon.encoders.description import description


def weights_hash(module: nn.Module, about: object = None) -> str:
    """Return 16 hexadecimal digits: a hash of a module's parameters and buffers and of the description `about`."""
    digest = hashlib.sha256(repr(about).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def state_hash(encoder: Encoder) -> str:
    """Return 16 hexadecimal digits: a hash of an encoder's class, Spec, parameters and buffers.

    A user's encoder counts with its source, or else with its classes and plain attributes.
    """
    own = [part.source_digest or description(part) for part in encoder.modules() if _is_users(part)]
    return weights_hash(encoder, (type(encoder).__name__, encoder.spec, *own))


def is_users(module: nn.Module) -> bool:
    """Return whether a module is, or holds, an encoder that is no class of recon or whose module a user wrapped."""
    return any(map(_is_users, module.modules()))


def _is_users(part: nn.Module) -> TypeGuard[Encoder]:
    return isinstance(part, Encoder) and bool(part.source_digest or not type(part).__module__.startswith("recon."))
