"""The settings of one row, from what `reconstruct` and `calibrate` are told."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict, Unpack

from recon.api.asked import Asked, FidelityLike, fidelity_of, frames_of, neurons_of
from recon.api.encoder import EncoderLike, encoder_of
from recon.api.places import kept_artefacts
from recon.api.recording import OpenRecording
from recon.encoders.runtime.precision import Precision
from recon.files.paths import user_path
from recon.problem.clips import Clips
from recon.problem.conditions import Condition, Words
from recon.study.settings import Frames, Intervals, Neurons, Row, Settings

BATCH = 24
"""Clips optimised together, unless stated."""


class RowOptions(TypedDict):
    """How a row is posed and computed; see `reconstruct`."""

    clips: Clips
    judge: EncoderLike | None
    fidelity: FidelityLike
    condition: Condition
    words: Words
    frames: Frames | tuple[int, int]
    neurons: Neurons | tuple[float, float]
    window: int
    precision: Precision
    artefacts: Path | str | None
    batch: int | None
    seed: int
    device: str
    intervals: Intervals | None


def one_row(recording: OpenRecording, encoder: EncoderLike, asked: Asked, **told: Unpack[RowOptions]) -> Settings:
    """Return the settings of a benchmark of one row."""
    judge, device = told["judge"], told["device"]
    fidelity = fidelity_of(told["fidelity"])
    row = Row(asked.label, asked.method, fidelity=fidelity, condition=told["condition"], words=told["words"])
    return Settings(
        run=Path(),
        recording=recording.path,
        encoders={"encoder": encoder_of(encoder, device=device)},
        judge=None if judge is None else encoder_of(judge, device=device),
        rows=(row,),
        clips=told["clips"],
        frames=frames_of(told["frames"]),
        neurons=neurons_of(told["neurons"]),
        seed=told["seed"],
        device=device,
        batch=told["batch"] or BATCH,
        window=told["window"],
        precision=told["precision"],
        artefacts=user_path(told["artefacts"]) if told["artefacts"] else kept_artefacts(),
        intervals=told["intervals"],
    )
