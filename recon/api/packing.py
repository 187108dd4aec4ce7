"""Packing of a simulated recording into one small file: what ships inside the package.

A zip archive (LZMA) of .npy arrays: every video once, though it may be shown many times, and activity in half
precision with few bits, so that it compresses. Unpacked it is a recording in the canonical layout.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recon.data.layout import ABSENT, Array, is_canonical
from recon.data.open import open_recording
from recon.data.sensorium import SensoriumRecording
from recon.data.writer import RecordingWriter
from recon.errors import InputError
from recon.files import write_bytes
from recon.files.locks import one_at_a_time
from recon.files.paths import user_path

FORMAT = "recon-packed-1"
ABOUT = "about.json"
STEP = 8
"""Grey levels are rounded to the middle of steps of so many."""
BITS = 4
"""Bits of the mantissa of activity and behavior, of ten in half precision: relative errors of at most 3 %."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Timestamp of every file, so that equal recordings make equal archives."""
ACTIVITY = ("responses", "rates", "behavior", "pupil_center")


def pack(recording: Path | str, file: Path | str) -> Path:
    """Write a recording to a packed file, which gives it its name; grey levels and activity are rounded."""
    reader = open_recording(recording)
    if reader.acquisition is not None:
        raise InputError(f"{recording}: expected activity sampled at the frame rate, got acquisition times")
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_LZMA) as archive:
        trials = [_packed(archive, reader, i) for i, tier in enumerate(reader.tiers) if tier != ABSENT]
        for name, array in (("unit_ids", np.array(reader.unit_ids)), ("coordinates", reader.coordinates)):
            _put(archive, f"{name}.npy", _npy(array))
        _put(archive, ABOUT, json.dumps({**_about(reader, Path(file).stem), "trials": trials}).encode())
    target = user_path(file)
    write_bytes(target, memory.getvalue())
    return target


def unpacked(file: Path, folder: Path) -> SensoriumRecording:
    """Return the recording of a packed file, written to a folder unless it is there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(folder):
        if not is_canonical(folder):
            _unpack(file, folder)
    return SensoriumRecording(folder)


def _about(reader: SensoriumRecording, name: str) -> dict[str, Any]:
    rounding = {"grey_levels": 256 // STEP, "mantissa_bits": BITS}
    return {
        "format": FORMAT,
        "name": name,
        "frame_rate": reader.frame_rate,
        "degrees_per_pixel": reader.degrees_per_pixel,
        "made_by": {**reader.made_by, "rounded_to": rounding},
    }


def _packed(archive: zipfile.ZipFile, reader: SensoriumRecording, index: int) -> dict[str, Any]:
    """Add a trial to an archive; return what describes it."""
    trial, video = reader.trial(index), reader.video_ids[index]
    if f"videos/{video}.npy" not in archive.namelist():
        _put(archive, f"videos/{video}.npy", _npy(_grey(reader.frames(index))))
    behavior = (None, None) if trial.behavior is None else (trial.behavior[:2].numpy(), trial.behavior[2:].numpy())
    rates = None if trial.rates is None or trial.tier == "train" else trial.rates.numpy()
    for kind, array in zip(ACTIVITY, (trial.responses.numpy(), rates, *behavior), strict=True):
        if array is not None:
            _put(archive, f"{kind}/{index}.npy", _npy(few_bits(array)))
    captions, scenes = list(reader.captions(index)), list(reader.scenes(index))
    return {"trial": index, "tier": trial.tier, "video": video, "captions": captions, "scenes": scenes}


def few_bits(values: Array) -> Array:
    """Return values in half precision, rounded to `BITS` bits of mantissa.

    >>> few_bits(np.array([1.0, 1.04, 100.0])).tolist()
    [1.0, 1.0625, 100.0]
    """
    mantissa, exponent = np.frexp(values)
    rounded: Array = np.ldexp(np.round(mantissa * 2 ** (BITS + 1)) / 2 ** (BITS + 1), exponent)
    return rounded.astype(np.float16)


def _grey(frames: Array) -> Array:
    """Return frames `(T,H,W)` as pixels over time `(H,W,T)`, their grey levels in the middle of steps."""
    return np.ascontiguousarray(np.moveaxis(frames // STEP * STEP + STEP // 2, 0, -1).astype(np.uint8))


def _npy(array: Array) -> bytes:
    memory = io.BytesIO()
    np.save(memory, array, allow_pickle=False)
    return memory.getvalue()


def _put(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_LZMA
    archive.writestr(entry, content)


def _unpack(file: Path, folder: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        about = json.loads(archive.read(ABOUT))
        writer = RecordingWriter(
            folder,
            unit_ids=_array(archive, "unit_ids.npy"),
            coordinates=_array(archive, "coordinates.npy"),
            frame_rate=about["frame_rate"],
            degrees_per_pixel=about["degrees_per_pixel"],
            name=about["name"],
            made_by=about["made_by"],
        )
        with writer:
            for trial, arrays in _trials(archive, about["trials"]):
                writer.write_trial(
                    trial["trial"],
                    tier=trial["tier"],
                    video_id=trial["video"],
                    captions=trial["captions"],
                    scenes=trial["scenes"],
                    **arrays,
                )


def _trials(
    archive: zipfile.ZipFile, described: list[dict[str, Any]]
) -> Iterator[tuple[Mapping[str, Any], dict[str, Array]]]:
    """Yield the trials of an archive with their arrays."""
    names = set(archive.namelist())
    for trial in described:
        files = {kind: f"{kind}/{trial['trial']}.npy" for kind in ACTIVITY}
        arrays = {kind: _array(archive, name).astype(np.float32) for kind, name in files.items() if name in names}
        video = _array(archive, f"videos/{trial['video']}.npy")
        yield trial, {"video": np.ascontiguousarray(np.moveaxis(video, -1, 0)), **arrays}


def _array(archive: zipfile.ZipFile, name: str) -> Array:
    array: Array = np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
    return array
