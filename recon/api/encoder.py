"""Encoders as Python objects: shipped, from a file or folder, of a configuration, or the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recon import config
from recon.encoders.base import Encoder, freeze, resolve_device
from recon.encoders.checkpoints import load_encoder as load_weights
from recon.errors import InputError
from recon.files.paths import user_path

EncoderLike = Encoder | str | Path | Mapping[str, Any]
"""An encoder, or what `load_encoder` makes one of."""


def load_encoder(name: EncoderLike, *, device: str = "auto", **settings: Any) -> Encoder:
    """Return an encoder, frozen and on a device: "auto" is CUDA if available, else the CPU.

    `name` is a shipped name, a weights file, a folder with one, a configuration such as `{"name": "dwiseneuro",
    "weights": "model.pth", "mouse": "dynamic29515"}`, or an encoder. An encoder of the user's own comes from
    `recon.wrap(module, spec)`, or by "module:factory", which imports and runs that module. `settings` are those of a
    configuration, checked as in YAML: `load_encoder("my_lab:build", weights="theirs.pth", neurons=200)`.

    >>> import recon
    >>> recon.load_encoder("example", device="cpu")  # doctest: +ELLIPSIS
    Encoder CoreReadout
      neurons       200, rates raw
      movie         36 × 64 pixels, 70° × 124° (1.94° per pixel), 30 Hz
      ...
      held-out r    0.240
      noise-free r  0.596
      command       recon train encoder configs/train/example.yaml
    """
    chosen = {"name": _registered(name, settings), **settings} if settings else name
    found = chosen if isinstance(chosen, Encoder) else _made(chosen)
    return freeze(found).to(resolve_device(device))


def encoder_of(encoder: EncoderLike, *, device: str = "auto") -> Encoder:
    """Return an encoder as it is, so that the user's own goes on learning; anything else as `load_encoder` does."""
    return encoder if isinstance(encoder, Encoder) else load_encoder(encoder, device=device)


def _registered(name: EncoderLike, settings: Mapping[str, Any]) -> str:
    """Return a name that takes settings; raises InputError for a file, a mapping or an encoder."""
    if isinstance(name, str) and name in config.registries()["encoder"]:
        return name
    given = ", ".join(settings)
    raise InputError(
        f"load_encoder: expected no settings beside {name!r}, got {given}; only names of `recon list` and "
        "module:factory take them"
    )


def _made(name: str | Path | Mapping[str, Any]) -> Encoder:
    if isinstance(name, Mapping):
        made: Encoder = config.build("encoder", config.expand(name))
        return made
    if user_path(name).is_dir():
        return load_weights(_only_file(user_path(name)))
    if ":" in str(name) and not user_path(name).is_file():
        return _made({"name": str(name)})
    return load_weights(name)


def _only_file(folder: Path) -> Path:
    """Return the weights file of a folder; raises InputError unless there is one."""
    files = sorted(folder.glob("*.safetensors"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise InputError(f"{folder}: expected one weights file (.safetensors), got {found}; name the file")
    return files[0]
