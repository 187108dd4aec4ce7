"""The configuration of a benchmark, from Python objects: clips, encoders, and rows of methods."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypedDict, Unpack

from torch import nn

from recon import config
from recon.api.asked import FRAMES, NEURONS, FidelityLike, MethodLike, frames_of, neurons_of
from recon.api.encoder import EncoderLike, load_encoder
from recon.api.places import kept_artefacts
from recon.api.recording import ClipSet
from recon.encoders import ENCODERS
from recon.encoders.base import Encoder
from recon.encoders.checkpoints import architectures
from recon.errors import InputError
from recon.files.paths import user_path
from recon.study.settings import Frames, Neurons

ENCODER = "encoder"
"""Name of the only encoder of a comparison."""
SETTINGS = ("name", "preset", "tuned")
"""Keys of a method's settings; a mapping with `method` and none of these is a row."""


class Options(TypedDict, total=False):
    """What `compare` and `ablate` may be told about a run; see `compare`."""

    judge: EncoderLike | None
    frames: Frames | tuple[int, int]
    neurons: Neurons | tuple[float, float]
    run: Path | str | None
    artefacts: Path | str | None
    settings: Mapping[str, Any]
    batch: int | None
    seed: int
    device: str


def configuration(
    clips: ClipSet, encoder: EncoderLike | Mapping[str, EncoderLike], **options: Unpack[Options]
) -> dict[str, Any]:
    """Return the configuration of a benchmark without its rows.

    Without `run` the run is in a temporary folder, removed when Python ends.
    """
    judge, batch = options.get("judge"), options.get("batch")
    return {
        "run": str(options.get("run") or _temporary()),
        "recording": str(clips.recording.path),
        "clips": {key: value for key, value in asdict(clips.choice).items() if value is not None},
        "encoders": encoders_of(encoder),
        **({} if judge is None else {"judge": _encoder(judge)}),
        "frames": asdict(frames_of(options.get("frames", FRAMES))),
        "neurons": asdict(neurons_of(options.get("neurons", NEURONS))),
        "artefacts": str(options.get("artefacts") or kept_artefacts()),
        **({} if batch is None else {"batch": batch}),
        "seed": options.get("seed", 0),
        "device": options.get("device", "auto"),
        **options.get("settings", {}),
    }


def encoders_of(encoder: EncoderLike | Mapping[str, EncoderLike]) -> dict[str, Any]:
    """Return the encoders by name; rows use the first unless they name others."""
    if isinstance(encoder, Mapping) and "name" not in encoder:
        return {str(name): _encoder(one) for name, one in encoder.items()}
    return {ENCODER: _encoder(encoder)}


def rows_of(methods: Mapping[str, MethodLike] | Sequence[str], fidelity: FidelityLike) -> list[dict[str, Any]]:
    """Return the rows of a benchmark: a label, a method, and what else a row states.

    >>> rows_of(["ridge"], "poisson")
    [{'fidelity': {'name': 'poisson'}, 'method': {'preset': 'ridge'}, 'label': 'ridge'}]
    """
    named = methods if isinstance(methods, Mapping) else {name: name for name in methods}
    if not named:
        raise InputError("methods: expected at least one, got none; name a preset, such as map_spectrum")
    shared = {"fidelity": {"name": fidelity} if isinstance(fidelity, str) else fidelity}
    return [{**shared, **_row(method), "label": label} for label, method in named.items()]


def settings_of(method: MethodLike) -> Any:
    """Return the settings of a preset's name; settings and objects as they are."""
    return {"preset": method} if isinstance(method, str) else method


def _row(method: MethodLike) -> dict[str, Any]:
    if isinstance(method, Mapping) and "method" in method and not set(SETTINGS) & set(method):
        return {**method, "method": settings_of(method["method"])}
    return {"method": settings_of(method)}


def _encoder(encoder: EncoderLike) -> Any:
    """Return an encoder for a configuration: by name where a file has it, so that the run can be repeated from it."""
    if isinstance(encoder, Mapping):
        return config.expand(encoder)
    if isinstance(encoder, nn.Module) and not isinstance(encoder, Encoder):
        raise InputError(
            f"encoder: expected an Encoder, got the torch module {type(encoder).__name__}; recon.wrap(module, spec) "
            "makes one of it"
        )
    if not isinstance(encoder, str | Path):
        return encoder
    made = load_encoder(encoder, device="cpu")
    kind = next((name for name, known in architectures().items() if known.encoder is type(made)), "")
    place = user_path(encoder)
    weights = str(place.resolve()) if place.is_file() else str(encoder)
    return {"name": kind, "weights": weights} if kind in ENCODERS and not place.is_dir() else made


def _temporary() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="recon-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / "run"
