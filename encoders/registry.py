"""Registry of encoders: their names in configurations and in `load`, and the arguments of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from recon.encoders.base import Encoder
from recon.encoders.checkpoints import load_encoder
from recon.encoders.ensemble import Ensemble
from recon.encoders.sensorium.movies2023 import Statistics
from recon.encoders.sensorium.static2022 import Normalisation
from recon.errors import InputError, did_you_mean
from recon.errors.ranges import Whole


def core_readout(weights: str) -> Encoder:
    """Factorised convolutional core and full Gaussian readout, from a weights file or a shipped name."""
    return load_encoder(weights, architecture="core_readout")


def judge(weights: str) -> Encoder:
    """Full space–time convolutions and separable masks: scores reconstructions made with the other encoders."""
    return load_encoder(weights, architecture="judge")


def glm(weights: str) -> Encoder:
    """Generalised linear model: a few separable space–time filters per cell, from a weights file."""
    return load_encoder(weights, architecture="glm")


def linear(weights: str) -> Encoder:
    """Linear space–time filters with an optional link, from a weights file: small and exact."""
    return load_encoder(weights, architecture="linear")


def dwiseneuro(
    weights: str,
    mouse: str,
    *,
    windows: Whole = 0,
    checkpointing: Literal["auto", "always", "never"] = "auto",
    channels_last: bool = True,
) -> Encoder:
    """DwiseNeuro, winner of Sensorium 2023: one mouse's view of a published .pth or converted .safetensors file."""
    from recon.encoders.dwiseneuro.encoder import load_dwiseneuro

    return load_dwiseneuro(weights, mouse, windows=windows, checkpointing=checkpointing, channels_last=channels_last)


def sensorium2022(
    weights: str,
    kind: Literal["cnn", "ln"],
    mouse: str = "",
    *,
    normalisation: Normalisation | None = None,
    response_transform: Literal["divided by std", "raw"] = "divided by std",
) -> Encoder:
    """Static baselines of Sensorium 2022, frame by frame, from a published state dict: "cnn" (sota) or "ln"."""
    from recon.encoders.sensorium.static2022 import load_sensorium2022

    transform = response_transform
    return load_sensorium2022(weights, kind, mouse=mouse, normalisation=normalisation, response_transform=transform)


def sensorium2023(
    weights: str,
    mouse: str = "",
    *,
    statistics: Statistics | None = None,
    padded: bool | None = None,
    memory: Whole | None = None,
    response_transform: Literal["divided by std", "raw"] = "divided by std",
) -> Encoder:
    """Baselines of Sensorium 2023, one mouse of a published state dict: factorised or full 3-D core, or 2-D + GRU."""
    from recon.encoders.sensorium.movies2023 import load_sensorium2023

    return load_sensorium2023(
        weights, mouse, statistics=statistics, padded=padded, memory=memory, response_transform=response_transform
    )


def ensemble(members: tuple[Encoder, ...]) -> Encoder:
    """Mean rates of several encoders of the same population."""
    return Ensemble(members)


ENCODERS: dict[str, Callable[..., Encoder]] = {
    "core_readout": core_readout,
    "judge": judge,
    "glm": glm,
    "linear": linear,
    "dwiseneuro": dwiseneuro,
    "sensorium2022": sensorium2022,
    "sensorium2023": sensorium2023,
    "ensemble": ensemble,
}


def load(name: str, **arguments: Any) -> Encoder:
    """Build a registered encoder: `load("core_readout", weights="v1_seed0")`."""
    if name not in ENCODERS:
        known = f"{', '.join(ENCODERS)}{did_you_mean(name, ENCODERS)}"
        raise InputError(f"encoder: expected one of {known}, got {name!r}; `recon list` explains them")
    return ENCODERS[name](**arguments)
