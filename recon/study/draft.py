"""A first configuration for a recording: methods that can run on it, clips, scored frames, and a batch that fits."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recon import config
from recon.data.layout import ABSENT, CALIBRATION, TEST, TIERS, TRAIN, VALIDATION
from recon.data.open import open_recording
from recon.data.sensorium import SensoriumRecording
from recon.encoders.base import BEHAVIOR_CHANNELS, Encoder, Spec, device_of
from recon.encoders.checkpoints import architecture_name, save_encoder
from recon.encoders.core_readout.model import CoreReadout
from recon.errors import InputError
from recon.files.paths import user_path
from recon.study.settings import Frames, Row, Settings
from recon.study.shared import Bench, plan, planned
from recon.study.validation import row_problems, validated

MOST_CLIPS = 8
WARMUP, TAIL = 5 / 3, 4 / 15
"""Seconds at the start and at the end of a clip that are not scored: 50 and 8 frames at 30 Hz."""
RATE = 30.0
"""Frame rate (Hz) at which the lags of presets are stated."""
SHARE_OF_MEMORY = 0.25
COPIES = 48
"""Movies that an optimiser keeps: variable, gradient, pairs of L-BFGS, and intermediate results."""
FIRST = ("mean", "ridge", "map_spectrum")
"""Presets of the first rows: chance, a linear decoder, input optimisation."""
CONTROL = "map_spectrum"
"""Row that is repeated with the responses to another clip."""
LAGGED = {"ridge": {"first": -1, "last": 14, "bases": 5}}
"""Lags of presets, in frames at `RATE`: at another rate the row states its own."""


@dataclass(frozen=True)
class Places:
    """Paths that the configuration states; without an `encoder` it names the `weights` that are to be trained."""

    recording: Path
    run: Path
    weights: Path
    encoder: str = ""
    judge: str = ""


@dataclass(frozen=True)
class Draft:
    """A configuration, facts about its recording, presets that can run too, and why others cannot."""

    tree: Mapping[str, Any]
    facts: Mapping[str, str]
    others: tuple[str, ...]
    left_out: Mapping[str, str]


def draft(places: Places) -> Draft:
    """Return a configuration that can run on a recording; raises InputError where none can."""
    recording = open_recording(places.recording)
    with tempfile.TemporaryDirectory(prefix="recon-") as folder:
        known = _named(places.encoder) if places.encoder else _stand_in(recording, Path(folder))
        tree = _settings(recording, places, known)
        expanded = config.expand(tree)
        settings = config.record(Settings, expanded, where="init")
        bench = Bench(settings, plan(settings))
        why = {entry.row.label: next(row_problems(bench, entry), "") for entry in bench.plans}
        tree["rows"] = [row for row in tree["rows"] if not why[row["label"]]]
        if not tree["rows"]:
            raise InputError(f"init: expected a method that can run on {recording.path}, got none: {why[FIRST[0]]}")
        tree |= {"frames": asdict(scored_frames(bench)), "batch": batch_that_fits(bench)}
        validated(config.expand(tree), where="init")
        why |= {name: reason for name, reason in _other_presets(bench) if name not in why}
    if not places.encoder:
        tree["encoders"] = {"own": {"name": "core_readout", "weights": str(places.weights)}}
    rows = {row["label"] for row in tree["rows"]}
    others = tuple(name for name, reason in why.items() if not reason and name not in rows)
    return Draft(tree, _facts(recording, bench), others, {name: reason for name, reason in why.items() if reason})


def scored_frames(bench: Bench) -> Frames:
    """Return the unscored frames at the ends of clips: the encoders' history, and 1.7 s and 0.27 s where they fit."""
    shortest, rate = min(batch.frames for batch in bench.batches), bench.recording.frame_rate
    history = max(encoder.spec.context[0] for encoder in bench.encoders.values())
    warmup, tail = max(round(WARMUP * rate), history), round(TAIL * rate)
    if shortest < warmup + tail + rate:
        return Frames(min(warmup, shortest // 3), min(tail, shortest // 6))
    return Frames(warmup, tail)


def batch_that_fits(bench: Bench) -> int:
    """Return how many clips can be optimised together in a quarter of the free memory; at least 1."""
    longest, most = max(batch.frames for batch in bench.batches), max(len(batch.clips) for batch in bench.batches)
    encoder = max(bench.encoders.values(), key=lambda one: len(one.spec.neuron_ids))
    return max(min(int(SHARE_OF_MEMORY * free_memory(bench.device) / bytes_of_clip(encoder, longest)), most), 1)


def bytes_of_clip(encoder: Encoder, frames: int) -> float:
    """Return the memory that input optimisation takes per clip, measured on a piece as long as two contexts."""
    short, kept = min(2 * (1 + sum(encoder.spec.context)), frames), list[int]()
    movie = torch.full((1, encoder.spec.channels, short, *encoder.spec.frame_size), 0.5, device=device_of(encoder))
    behavior = torch.zeros(1, len(BEHAVIOR_CHANNELS), short, device=movie.device)

    def count(saved: Tensor) -> Tensor:
        kept.append(saved.nbytes)
        return saved

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count, lambda saved: saved):
        encoder(movie.requires_grad_(True), behavior if encoder.spec.behavior else None)
    return (sum(kept) + COPIES * movie.nbytes) * frames / short


def free_memory(device: torch.device) -> float:
    """Return the free memory of a device in bytes; half of the machine's where it tells no more."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    pages = os.sysconf("SC_AVPHYS_PAGES") if "SC_AVPHYS_PAGES" in os.sysconf_names else os.sysconf("SC_PHYS_PAGES") / 2
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def _named(encoder: str) -> dict[str, str]:
    """Return the configuration of an encoder: of a weights file or shipped name, or of a factory, MODULE:NAME."""
    if ":" in encoder and not user_path(encoder).exists():
        return {"name": encoder}
    return {"name": architecture_name(encoder), "weights": encoder}


def _stand_in(recording: SensoriumRecording, folder: Path) -> dict[str, str]:
    """Write an untrained encoder, in place of one that is still to be trained; return its configuration."""
    spec = Spec(recording.frame_size, recording.unit_ids, recording.frame_rate, recording.degrees_per_pixel)
    encoder = CoreReadout(spec)
    encoder.initialise(torch.Generator().manual_seed(0))
    save_encoder(encoder, folder / "untrained.safetensors", card={})
    return {"name": "core_readout", "weights": str(folder / "untrained.safetensors")}


def _settings(recording: SensoriumRecording, places: Places, encoder: Mapping[str, str]) -> dict[str, Any]:
    tier, videos = _tier(recording)
    judge = {"judge": _named(places.judge)} if places.judge else {}
    return {
        "run": str(places.run),
        "recording": str(places.recording),
        "clips": {"tier": tier, "count": min(videos, MOST_CLIPS)},
        "frames": {"warmup": 0, "tail": 0},
        "encoders": {"own": dict(encoder)},
        **judge,
        "batch": MOST_CLIPS,
        "rows": list(_rows(recording.frame_rate)),
    }


def _tier(recording: SensoriumRecording) -> tuple[str, int]:
    """Return the tier of the clips, a test tier if any has responses, and its number of videos."""
    known = (TRAIN, VALIDATION, TEST, CALIBRATION, ABSENT)
    for tier in (TEST, *(name for name in TIERS if name not in known), VALIDATION):
        shown = {recording.video_ids[index] for index in recording.trials(tier) if recording.has_responses(index)}
        if shown:
            return tier, len(shown)
    raise InputError(
        f"{recording.path}: expected test or validation trials with responses, got none; import it with other tiers "
        "(--test, --validation)"
    )


def _rows(rate: float) -> Iterator[dict[str, Any]]:
    """Yield the first rows, with lags in frames of a recording at `rate` (Hz)."""
    factor = rate / RATE
    for name in FIRST:
        method: dict[str, Any] = {"preset": name}
        if name in LAGGED and not math.isclose(factor, 1, rel_tol=0.1):
            lags = LAGGED[name]
            method["lags"] = lags | {end: round(lags[end] * factor) for end in ("first", "last")}
        yield {"label": name, "method": method}
        if name == CONTROL:
            yield {"label": f"{name}, wrong clip", "method": method, "condition": "wrong_clip"}


def _other_presets(bench: Bench) -> Iterator[tuple[str, str]]:
    """Yield the packaged presets, each with the reason why it cannot run on the recording, or nothing."""
    for file in sorted((config.CONFIGS / "methods").glob("*.yaml")):
        tree = config.expand({"label": file.stem, "method": {"preset": file.stem}})
        (entry,) = planned(config.convert(Row, tree, where=file.stem), where=file.stem, seed=0)
        yield file.stem, next(row_problems(bench, entry), "")


def _scale(size: Sequence[int], pitch: float, rate: float) -> str:
    return f"{'×'.join(map(str, size))} pixels of {pitch:g}° at {rate:g} Hz"


def _facts(recording: SensoriumRecording, bench: Bench) -> dict[str, str]:
    """Return what the comments of the configuration say about the recording."""
    tiers = {tier: len(recording.trials(tier)) for tier in dict.fromkeys(recording.tiers) if tier != ABSENT}
    lengths = sorted({batch.frames for batch in bench.batches})
    return {
        "neurons": str(len(recording.unit_ids)),
        "movie": _scale(recording.frame_size, recording.degrees_per_pixel, recording.frame_rate),
        "trials": ", ".join(f"{count} {tier}" for tier, count in tiers.items()),
        "clips": " or ".join(f"{frames} frames ({frames / recording.frame_rate:.1f} s)" for frames in lengths),
    }
