"""Lazy reader of the Sensorium 2023 folder layout, the canonical format on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

from recon.data.behavior_rows import behavior_rows, known_or_zero
from recon.data.content import content_hashes
from recon.data.header import (
    acquisition_times,
    check_statistic,
    parsed_header,
    read_captions,
    read_header,
    read_neurons,
    read_tiers,
    read_video_ids,
)
from recon.data.layout import (
    ABSENT,
    GROUPS_FILE,
    STATISTICS,
    VARIABLES,
    Array,
    content_id,
    data_file,
    load_array,
)
from recon.data.missing import check_finite, recorded, silent, valid_frames
from recon.data.neuron_scan import masked_neurons
from recon.data.stimulus_kinds import stimulus_kinds
from recon.data.unit_ids import recorded_ids
from recon.errors import InputError
from recon.files import digest
from recon.files.paths import user_path
from recon.types import Caption, Recording, Trial

LEARNT_TIERS = ("train", "oracle")
WITHHELD = ("live_test_main", "live_test_bonus", "final_test_main", "final_test_bonus")
"""Tiers whose responses the publisher withheld at first: zero in every trial of the tier."""
PARTS = ("data", "meta")
POPULATION = ("meta/neurons/", "meta/statistics/")
"""Folders that describe all trials alike."""


class SensoriumRecording(Recording):
    """One mouse folder of Sensorium 2023; metadata is read on opening, arrays on request.

    The valid frames of a trial end where all its arrays are padded with NaN, at most after 300 frames. `masked` are the
    neurons with NaN inside a trial: they are left out of all arrays, `unit_ids` included. A trial has a movie but no
    responses if their file is absent or all NaN, or was withheld by the publisher (`WITHHELD`). Behavior is NaN where
    it was not recorded.

    `lenient`: ids of neurons that cannot be used are kept as a complaint in `units`, for a check.
    """

    def __init__(self, path: Path | str, *, lenient: bool = False) -> None:
        self.path = user_path(path)
        entries = read_header(self.path)
        header = parsed_header(self.path, entries)
        self.name = header.name or self.path.resolve().name
        self.frame_rate, self.degrees_per_pixel = header.frame_rate, header.degrees_per_pixel
        self.signal = header.signal
        self.made_by: Mapping[str, Any] = entries["made_by"]
        self.counts_zeros = header.zeros == "counts" or bool(self.made_by)
        """True if zeros are counts in every tier: a recording of ours leaves out withheld responses."""
        self.tiers = read_tiers(self.path)
        self.units = recorded_ids(self.path, lenient=lenient)
        listed = [index for index, tier in enumerate(self.tiers) if tier != ABSENT]
        count = len(self.all_unit_ids)
        self.masked = masked_neurons(self.path, listed, count)
        self.unit_ids = self.masked.known_ids(self.all_unit_ids, self.path)
        self.coordinates = self._neuron_file("cell_motor_coordinates.npy", np.zeros((count, 3)))
        planes = np.zeros(count, dtype=np.int64)
        planes = planes if header.acquisition is None else self._neuron_file("plane.npy", planes)
        self.acquisition = acquisition_times(self.path, header, planes)
        self.frame_size = self._first_frame_size()
        self._ids = read_video_ids(self.path, trials=len(self.tiers))
        self._known: dict[int, tuple[int, str]] = {}
        """Cache of the number of valid frames and the content hash of the trials read so far."""

    @property
    def all_unit_ids(self) -> tuple[int, ...]:
        """Unit ids of the rows of all files, masked neurons included."""
        return self.units.numbers

    @property
    def areas(self) -> tuple[str, ...]:
        """Cortical area of every neuron; empty if unknown."""
        file = self.path / "meta/neurons/area.npy"
        return tuple(str(area) for area in self._neuron_file("area.npy", np.array([""]))) if file.exists() else ()

    @cached_property
    def stimuli(self) -> tuple[str, ...]:
        """Stimulus kind of every trial; "" if unknown."""
        return stimulus_kinds(self.path, self.name, self.tiers)

    @property
    def activity(self) -> str:
        """Source of the responses: "recorded", "simulated" (by a planted population) or "predicted" (by an encoder)."""
        settings, stated = self.made_by.get("settings"), self.made_by.get("activity")
        if isinstance(stated, str):
            return stated
        if not isinstance(settings, Mapping):
            return "recorded"
        return "predicted" if "encoder" in settings else "simulated"

    @property
    def video_ids(self) -> tuple[str, ...]:
        """Content id of every trial, equal for repeats: from the sidecar, else hashes of all frames (computed once)."""
        if not self._ids:
            self._ids = tuple("" if tier == ABSENT else content_id(self.frames(i)) for i, tier in enumerate(self.tiers))
        return self._ids

    @video_ids.setter
    def video_ids(self, ids: tuple[str, ...]) -> None:
        if len(ids) != len(self.tiers):
            raise InputError(f"{self.path}: expected {len(self.tiers)} video ids, one per trial, got {len(ids)}")
        self._ids = ids

    @cached_property
    def _captions(self) -> dict[int, dict[str, Any]]:
        return read_captions(self.path)

    def captions(self, index: int) -> tuple[str, ...]:
        """Return the caption of a trial and its paraphrases; empty if there are none."""
        return tuple(self._captions.get(index, {}).get("captions", ()))

    def scenes(self, index: int) -> tuple[Mapping[str, Any], ...]:
        """Return the scenes of a trial (between cuts): first frame, end, captions, source."""
        return tuple(self._captions.get(index, {}).get("scenes", ()))

    def spoken(self, index: int) -> tuple[Caption, ...]:
        """Return the captions of a trial's scenes, or of the whole trial if it has no scenes."""
        scenes = self.scenes(index)
        if scenes:
            return tuple(Caption(scene["first"], scene["end"], tuple(scene.get("captions", ()))) for scene in scenes)
        whole = self.captions(index)
        return (Caption(0, len(self.frames(index)), whole),) if whole else ()

    def frames(self, index: int) -> Array:
        """Return a trial's valid frames `(T,H,W)` in 0–255, also if its responses are withheld."""
        arrays = self.arrays(index)
        return np.moveaxis(arrays["videos"], -1, 0)

    def has_responses(self, index: int) -> bool:
        """Return whether a trial has responses: the file exists, is not all NaN, and its tier was not withheld."""
        file = data_file(self.path, "responses", index)
        return self.tiers[index] not in {ABSENT, *self.withheld_tiers} and recorded(file)

    @cached_property
    def withheld_tiers(self) -> tuple[str, ...]:
        """Test tiers of a published recording whose responses are zero in all trials: the publisher withheld them."""
        asked = () if self.counts_zeros else tuple(tier for tier in WITHHELD if tier in self.tiers)
        return tuple(tier for tier in asked if all(map(self._silent, self.trials(tier))))

    def _silent(self, index: int) -> bool:
        file = data_file(self.path, "responses", index)
        return not file.exists() or silent(file)

    def trial(self, index: int) -> Trial:
        """Read one trial, with its movie scaled to [0,1] and behavior and pupil stacked to `[4,T]`."""
        arrays = self.arrays(index)
        if "responses" not in arrays or self.tiers[index] in self.withheld_tiers:
            raise InputError(
                f"{data_file(self.path, 'responses', index)}: expected responses, got "
                f"{'only zeros' if 'responses' in arrays else 'none'}; the responses of this {self.tiers[index]} trial "
                "were not recorded or withheld, so take trials of another tier"
            )
        frames = np.moveaxis(arrays["videos"], -1, 0)
        self._known[index] = len(frames), "" if self._ids else content_id(frames)
        return self._build_trial(index, arrays, (0, len(frames)))

    def length(self, index: int) -> int:
        """Return the number of valid frames of a trial; the first call reads the trial."""
        return self._known[index][0] if index in self._known else self.trial(index).movie.shape[1]

    def part(self, index: int, first: int, end: int) -> Trial:
        """Return frames [first, end) of a trial; the first call reads and checks the whole trial."""
        length = self.length(index)
        if not 0 <= first < end <= length:
            raise InputError(f"trial {index}: expected frames within 0–{length}, got {first}–{end}; ask for fewer")
        files = {name: data_file(self.path, name, index) for name in VARIABLES}
        mapped = {name: load_array(file, mapped=True) for name, file in files.items() if file.exists()}
        cut = {name: array[..., first:end] for name, array in mapped.items()}
        return self._build_trial(index, {**cut, "responses": cut["responses"][self.masked.kept]}, (first, end))

    def arrays(self, index: int) -> dict[str, Array]:
        """Return a trial's arrays by variable, checked and cut to the valid frames; absent variables are omitted."""
        if not 0 <= index < len(self.tiers) or self.tiers[index] == ABSENT:
            raise InputError(f"{self.path}: expected a trial of 0–{len(self.tiers) - 1} with files, got {index}")
        files = {name: data_file(self.path, name, index) for name in VARIABLES}
        loaded = {name: load_array(file) for name, file in files.items() if name == "videos" or file.exists()}
        for name, array in loaded.items():
            self._check_shape(files[name], name, array)
        if "responses" in loaded and not recorded(files["responses"]):
            del loaded["responses"]
        end = valid_frames({files[name]: array for name, array in loaded.items()})
        cut = {name: array[..., :end] for name, array in loaded.items()}
        if "responses" in cut:
            cut["responses"] = cut["responses"][self.masked.kept]
        for name, array in cut.items():
            check_finite(files[name], known_or_zero(name, array))
        return cut

    def statistic(self, variable: str, name: str, *, frames: int) -> Array:
        """Return a published training statistic `(..., frames)` of a variable."""
        if variable not in VARIABLES or name not in STATISTICS:
            raise InputError(f"statistic: expected one of {VARIABLES} and {STATISTICS}, got {variable!r} and {name!r}")
        file = self.path / "meta/statistics" / variable / "all" / f"{name}.npy"
        array, timeless = load_array(file), 0 if variable == "videos" else 1
        if variable == "responses":
            check_statistic(file, array, neurons=len(self.all_unit_ids), kept=self.masked.kept)
            array = array[self.masked.kept]
        else:
            check_statistic(file, known_or_zero(variable, array))
        if array.ndim == timeless:
            return np.broadcast_to(array[..., None], (*array.shape, frames))
        if array.shape[-1] < frames:
            raise InputError(f"{variable}/{name}: expected ≥ {frames} frames, got {array.shape[-1]}; ask for fewer")
        return array[..., :frames]

    def fingerprint(self) -> str:
        """Return a short hash of the names and contents of all files under `data` and `meta`.

        Content groups are excluded, because they are derived from the videos. Arrays are read later than they are
        hashed: a recording that changes while a command runs is not noticed by this command.
        """
        contents = content_hashes(self.path, inside=PARTS)
        contents.pop(GROUPS_FILE.as_posix(), None)
        return digest(contents)[:12]

    def learning_fingerprint(self) -> str:
        """Return a short hash of everything that learning can see: neurons, statistics, training, validation trials.

        A trial counts with its index, tier, video id, captions and the contents of its files. Test trials, the truth of
        a simulation and the name do not count.
        """
        contents = content_hashes(self.path, inside=PARTS)
        trials = {index: tier for tier in LEARNT_TIERS for index in self.trials(tier)}
        seen = {str(index) for index in trials}
        files = {
            name: content
            for name, content in contents.items()
            if name.startswith(POPULATION) or (name.startswith("data/") and PurePath(name).stem in seen)
        }
        described = [
            (index, tier, self._ids[index] if self._ids else "", self.captions(index), self.scenes(index))
            for index, tier in trials.items()
        ]
        about = (self.frame_size, self.frame_rate, self.degrees_per_pixel, repr(self.acquisition))
        masked = self.masked.masked.tolist()  # a neuron with NaN in a test trial alone is not learnt from either
        return digest([about, described, files, *([masked] if masked else [])])[:12]

    def _first_frame_size(self) -> tuple[int, int]:
        """Return the height and width of the first readable video, so that a damaged file does not prevent opening."""
        files = (data_file(self.path, "videos", i) for i, tier in enumerate(self.tiers) if tier != ABSENT)
        for file in files:
            with contextlib.suppress(ValueError):
                height, width, _ = load_array(file, mapped=True).shape
                return int(height), int(width)
        raise InputError(f"{self.path / 'data/videos'}: expected .npy videos, got none; unpack the recording again")

    def _neuron_file(self, name: str, default: Array) -> Array:
        array = read_neurons(self.path / "meta/neurons" / name, default, neurons=len(self.all_unit_ids))
        return array[self.masked.kept]

    def _build_trial(self, index: int, arrays: Mapping[str, Array], span: tuple[int, int]) -> Trial:
        rates = data_file(self.path, "rates", index)
        return Trial(
            index,
            self.tiers[index],
            torch.from_numpy(np.moveaxis(arrays["videos"], -1, 0).astype(np.float32) / 255)[None],
            torch.from_numpy(arrays["responses"].astype(np.float32)),
            behavior_rows(arrays),
            self._ids[index] if self._ids else self._known[index][1],
            torch.from_numpy(self._rates(rates, span).astype(np.float32)) if rates.exists() else None,
            next(iter(self.captions(index)), ""),
        )

    def _rates(self, file: Path, span: tuple[int, int]) -> Array:
        rates: Array = load_array(file)[self.masked.kept][..., slice(*span)]
        return rates

    def _check_shape(self, file: Path, variable: str, array: Array) -> None:
        leading = {"videos": self.frame_size, "responses": (len(self.all_unit_ids),)}.get(variable, (2,))
        if array.dtype.kind not in "fiu" or array.ndim != len(leading) + 1 or array.shape[:-1] != leading:
            raise InputError(
                f"{file}: expected numbers of shape {(*leading, 'T')}, got {array.dtype} {array.shape}; "
                "time is the last axis, and responses have one row for each of unit_ids.npy"
            )
