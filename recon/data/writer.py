"""Atomic writing of recordings in the canonical layout: complete or not at all."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from recon.data.behavior_rows import known_or_zero
from recon.data.content_ids import ContentIds
from recon.data.header import read_header
from recon.data.hidden_folders import open_hidden, replace_folder
from recon.data.layout import ABSENT, MAX_FRAMES, TIERS, TIERS_FILE, TRAIN, Array, data_file, save_array
from recon.data.missing import check_responses
from recon.data.stimulus_kinds import STIMULI_FILE
from recon.data.training_statistics import write_statistics
from recon.data.unit_ids import NAMES, Ids, numbered
from recon.errors import InputError
from recon.files import check_ours
from recon.files.paths import user_path
from recon.types import AcquisitionTimes

RECORDING = "recording"
OWN = re.compile(r"data/\w+/\d+\.npy|meta/.+|ceiling\.(csv|png)|(.+/)?\.(recon\.json|DS_Store|lock)")
"""Names of the files of a recording."""


class RecordingWriter:
    """Context manager that writes trials to a hidden folder beside `destination`, which `finish` renames.

    `unit_ids` `(N,)` are distinct whole numbers, or texts, which are numbered and kept as names;
    `coordinates` `(N,3)` in µm (zeros if unknown), `frame_rate` in Hz.
    `signal` is one of `recon.data.layout.SIGNALS`, "" if unknown.
    Leaving the context calls `finish`; after an error it removes the hidden folder instead.
    """

    def __init__(
        self,
        destination: Path | str,
        *,
        unit_ids: Ids | Array,
        coordinates: Array | None = None,
        frame_rate: float = 30.0,
        degrees_per_pixel: float = 1.45,
        name: str = "",
        signal: str = "",
        acquisition: AcquisitionTimes | None = None,
        made_by: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.destination = user_path(destination).absolute()
        ids = numbered(unit_ids, where="unit_ids")
        self.unit_ids, self.names = np.array(ids.numbers, dtype=np.int64), ids.names
        self.coordinates = np.zeros((len(self.unit_ids), 3)) if coordinates is None else np.asarray(coordinates)
        self.acquisition = acquisition
        self.overwrite = overwrite
        times = None if acquisition is None else {"rate": acquisition.rate, "phase": list(acquisition.phase)}
        self._header = {
            "name": name or self.destination.name,
            "frame_rate": frame_rate,
            "degrees_per_pixel": degrees_per_pixel,
            "acquisition": times,
            **({"signal": signal} if signal else {}),
            **({} if made_by else {"zeros": "counts"}),
            "made_by": dict(made_by or {}),
        }
        self._trials: dict[int, dict[str, Any]] = {}
        self._ids = ContentIds()
        self._frame_size: tuple[int, int] | None = None
        self._check_settings()
        with self._disk():
            self._aside, self._lock = open_hidden(self.destination, RECORDING)

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.discard()

    def write_trial(
        self,
        index: int,
        *,
        tier: str,
        video: Array,
        responses: Array | None = None,
        behavior: Array | None = None,
        pupil_center: Array | None = None,
        video_id: str | None = None,
        captions: Sequence[str] = (),
        scenes: Sequence[Mapping[str, Any]] = (),
        rates: Array | None = None,
    ) -> None:
        """Write one trial: video `(T,H,W)` 0–255, responses and rates `(N,T)`, behavior and pupil_center `(2,T)`.

        `responses` is None if withheld; neurons with NaN in a row of it will be masked. Behavior is NaN where it was
        not recorded. `video_id` defaults to the content hash, and stands for one content only.
        """
        arrays = {"responses": responses, "behavior": behavior, "pupil_center": pupil_center, "rates": rates}
        self._check_trial(index, tier, video, arrays)
        video_id = self._ids.of(index, video, video_id)
        with self._disk():
            self._save("videos", index, np.moveaxis(video, 0, -1))
            for variable, array in arrays.items():
                if array is not None:
                    self._save(variable, index, array)
        self._frame_size = (int(video.shape[1]), int(video.shape[2]))
        self._trials[index] = {
            "tier": tier,
            "frames": len(video),
            "video_id": video_id,
            "captions": list(captions),
            "scenes": [dict(scene) for scene in scenes],
        }

    def write_truth(self, name: str, array: Array) -> None:
        """Write a ground-truth parameter per neuron (simulations only) to `meta/truth/<name>.npy`."""
        with self._disk():
            save_array(self._aside / "meta/truth" / f"{name}.npy", array)

    def write_areas(self, areas: Sequence[str]) -> None:
        """Write the area of every unit to `meta/neurons/area.npy`."""
        if len(areas) != len(self.unit_ids):
            raise InputError(f"areas: expected {len(self.unit_ids)}, one per unit, got {len(areas)}; name every unit")
        with self._disk():
            save_array(self._aside / "meta/neurons/area.npy", np.array([str(area) for area in areas]))

    def write_stimuli(self, kinds: Sequence[str]) -> None:
        """Write the stimulus kind of every trial, "" if unknown, to `meta/trials/stimulus_ids.npy`."""
        with self._disk():
            save_array(self._aside / STIMULI_FILE, np.array([str(kind) for kind in kinds]))

    def finish(self) -> Path:
        """Write metadata and statistics, move the folder to its destination and return it; idempotent."""
        if not self._aside.exists():
            return self.destination
        if not self._trials:
            raise InputError("recording: expected at least one trial, got none; call write_trial before finish")
        with self._disk():
            self._write_meta()
            training = [i for i, trial in sorted(self._trials.items()) if trial["tier"] == TRAIN]
            longest = max(trial["frames"] for trial in self._trials.values())
            write_statistics(self._aside, trials=training or sorted(self._trials), frames=longest)
            self._publish()
        return self.destination

    def discard(self) -> None:
        """Remove the hidden folder; after `finish` there is none."""
        self._lock.release()
        shutil.rmtree(self._aside, ignore_errors=True)

    def _check_settings(self) -> None:
        count = len(self.unit_ids)
        if self.coordinates.shape != (count, 3):
            raise InputError(f"coordinates: expected shape ({count}, 3) in µm, got {self.coordinates.shape}")
        if self.acquisition is not None and len(self.acquisition.plane) != count:
            raise InputError(f"acquisition: expected a plane for {count} neurons, got {len(self.acquisition.plane)}")
        check_destination(self.destination, overwrite=self.overwrite)

    def _check_trial(self, index: int, tier: str, video: Array, arrays: Mapping[str, Array | None]) -> None:
        if tier not in TIERS or tier == ABSENT:
            raise InputError(f"tier of trial {index}: expected one of {TIERS[:-1]}, got {tier!r}; rename it")
        if index < 0 or index in self._trials:
            raise InputError(f"trial {index}: expected a new index ≥ 0, got a taken or negative one; count upwards")
        _check_video(index, video, self._frame_size)
        frames, count = len(video), len(self.unit_ids)
        shapes = {"responses": (count, frames), "rates": (count, frames)}
        for variable, array in arrays.items():
            expected = shapes.get(variable, (2, frames))
            if array is not None and array.shape != expected:
                raise InputError(f"{variable} of trial {index}: expected {expected}, got {array.shape}; cut to fit")
            if variable == "responses" and array is not None:
                check_responses(array, f"{variable} of trial {index}")
            elif array is not None and not np.isfinite(known_or_zero(variable, array)).all():
                raise InputError(f"{variable} of trial {index}: expected finite values, got NaN or infinity; fill them")

    def _write_meta(self) -> None:
        meta, last = self._aside / "meta", max(self._trials)
        described = [self._trials.get(i, {"tier": ABSENT, "video_id": ""}) for i in range(last + 1)]
        save_array(self._aside / TIERS_FILE, np.array([trial["tier"] for trial in described]))
        save_array(meta / "trials/video_ids.npy", np.array([trial["video_id"] for trial in described]))
        save_array(meta / "neurons/unit_ids.npy", self.unit_ids)
        if self.names:
            save_array(self._aside / NAMES, np.array(self.names))
        save_array(meta / "neurons/cell_motor_coordinates.npy", self.coordinates)
        if self.acquisition is not None:
            save_array(meta / "neurons/plane.npy", np.asarray(self.acquisition.plane, dtype=np.int64))
        lines = [
            json.dumps({"trial": i, "captions": trial["captions"], "scenes": trial["scenes"]}, ensure_ascii=False)
            for i, trial in sorted(self._trials.items())
            if trial["captions"] or trial["scenes"]
        ]
        if lines:
            (meta / "trials/captions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (meta / "recording.json").write_text(json.dumps(self._header, indent=2, ensure_ascii=False) + "\n", "utf-8")

    def _publish(self) -> None:
        """Rename the hidden folder to the destination; one that another process wrote alike is kept."""
        if not self.overwrite and self._is_made():
            return
        check_destination(self.destination, overwrite=self.overwrite)
        replace_folder(self._aside, self.destination)

    def _is_made(self) -> bool:
        """Return whether the destination holds a recording with the same `made_by`; False if `made_by` is empty."""
        mine = json.loads(json.dumps(self._header["made_by"]))
        return bool(mine) and bool(read_header(self.destination)["made_by"] == mine)

    def _save(self, variable: str, index: int, array: Array) -> None:
        compact = array if array.dtype == np.uint8 else array.astype(np.float32)
        save_array(data_file(self._aside, variable, index), compact)

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"{self.destination}: expected to write the recording, got {error}; "
                "free space or choose another destination (nothing there was changed)"
            ) from error


def check_destination(destination: Path, *, overwrite: bool, kind: str = RECORDING, own: re.Pattern[str] = OWN) -> None:
    """Raise InputError unless the destination is new, or to be overwritten and of our `kind` with nothing else in it.

    `own` matches the names of the files of a folder of this kind.
    """
    if destination.exists() and not overwrite and (not destination.is_dir() or any(destination.iterdir())):
        raise InputError(f"{destination}: expected a new folder, got one with content; choose another or overwrite it")
    check_ours(destination, kind, also=" or remove that one")
    files = (path for path in sorted(destination.rglob("*")) if path.is_symlink() or not path.is_dir())
    names = (path.relative_to(destination).as_posix() for path in files)
    if other := next((name for name in names if not own.fullmatch(name)), ""):
        raise InputError(f"{destination}: expected nothing but a {kind}, got {other}; move it elsewhere first")


def _check_video(index: int, video: Array, frame_size: tuple[int, int] | None) -> None:
    if video.ndim != 3 or not 0 < len(video) <= MAX_FRAMES:
        raise InputError(f"video of trial {index}: expected (T,H,W), 1–{MAX_FRAMES} frames, got {video.shape}; cut it")
    if frame_size is not None and video.shape[1:] != frame_size:
        raise InputError(f"video of trial {index}: expected frames of {frame_size}, got {video.shape[1:]}; resize them")
    low, high = float(video.min()), float(video.max())
    if not (low >= 0 and high <= 255):
        raise InputError(f"video of trial {index}: expected grey levels 0–255, got {low} to {high}; rescale it")
