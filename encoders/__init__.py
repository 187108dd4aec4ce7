"""Forward models: movie (and behavior) → rates. Other packages depend only on `Encoder` and `Spec`."""

from __future__ import annotations

from recon.encoders.base import BEHAVIOR_CHANNELS, Encoder, Spec, freeze, resolve_device
from recon.encoders.registry import ENCODERS, load
from recon.encoders.wrap import wrap

__all__ = ["BEHAVIOR_CHANNELS", "ENCODERS", "Encoder", "Spec", "freeze", "load", "resolve_device", "wrap"]
