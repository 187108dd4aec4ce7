"""Variants of published weights: folders that hold half precision only, `model.fp16.safetensors`."""

from __future__ import annotations

import re
from pathlib import Path

from recon.files.paths import user_path

WEIGHTS = re.compile(
    r"[^.]+?(?:\.(?P<variant>[A-Za-z0-9_]+))?(?:-\d+-of-\d+)?(?:\.(?P<last>\w+))?\.(?:safetensors|bin)"
)
"""Names of weights files of diffusers and transformers, whole or in shards, with or without a variant."""
PREFERRED = ("fp16", "bf16")


def weights_variant(source: str | Path, part: str | None = None) -> str | None:
    """Return the variant to ask for in a folder of weights or its subfolder `part`; None where plain ones are there.

    The libraries look for plain weights unless told otherwise. A model hub's id gives None.
    """
    folder = user_path(source) / (part or "")
    found = [WEIGHTS.fullmatch(file.name) for file in sorted(folder.glob("*"))]
    variants = [one["variant"] or one["last"] for one in found if one is not None]
    if not variants or None in variants:
        return None
    return next((name for name in PREFERRED if name in variants), variants[0])
