"""Training folders of digital twins: one file per trial and variable, and repeats for evaluation.

Layout of the MICrONS team's fnn models (demos/4, "prepare data to train digital twin"), all at 30 Hz: `stimuli`
`(T,H,W,1)` uint8, `perspectives` `(T,2)` eye position, `modulations` `(T,2)` pupil radius and treadmill velocity,
`units` `(T,N)` responses. `training` flags each trial as training or validation. An evaluation folder has the same
variables, each with one subfolder of repeats per video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recon.data.colour import grey
from recon.data.formats.joined import presentations, stream
from recon.data.formats.session import Session, Stream
from recon.data.grey_scale import GreyScale, StoredMovie, agreed, kind_of, measured, scale_in_words
from recon.data.layout import TEST, TRAIN, VALIDATION, Array, load_array
from recon.errors import InputError

RATE = 30.0
UNITS, STIMULI, PERSPECTIVES, MODULATIONS, TRAINING = "units", "stimuli", "perspectives", "modulations", "training"
BEHAVIOR = {
    "pupil_dilation": (MODULATIONS, 0),
    "running_speed": (MODULATIONS, 1),
    "pupil_x": (PERSPECTIVES, 0),
    "pupil_y": (PERSPECTIVES, 1),
}
"""Variable and column of every behavior stream."""


@dataclass(frozen=True)
class TwinTrial:
    """One trial: file `name` in the folder of every variable under `root`; repeats share `content`."""

    root: Path
    name: str
    content: str
    tier: str

    def load(self, variable: str) -> Array:
        """Load a variable of the trial."""
        return load_array(self.root / variable / self.name)

    def shape(self, variable: str, axes: int) -> tuple[int, ...]:
        """Return the shape of a variable without loading it; raises InputError unless it has `axes` axes."""
        file = self.root / variable / self.name
        shape: tuple[int, ...] = load_array(file, mapped=True).shape
        if len(shape) != axes or 0 in shape:
            raise InputError(f"{file}: expected {axes} axes, time first, got shape {shape}; copy the folder again")
        return shape


def looks_like(path: Path) -> bool:
    """Return whether a folder is, or contains, a training or evaluation folder."""
    return path.is_dir() and bool(_parts(path))


def read(path: Path) -> Session:
    """Return the session of a folder: training and validation trials as flagged, repeats as test trials.

    Behavior stays normalised as published; a variable that is NaN throughout is left out.
    """
    trials = [trial for part in _parts(path) for trial in _trials(part)]
    if not trials:
        raise InputError(f"{path}: expected trials in {UNITS}/*.npy, got none; copy the folder again")
    frames = [_frames(trial) for trial in trials]
    count = trials[0].shape(UNITS, 2)[1]
    scales = agreed(_measured(trial) for trial in trials)
    colour = any(trial.shape(STIMULI, 4)[-1] == 3 for trial in trials)
    notes = ["trials have no times: each is taken as published, at 30 Hz", "behavior is in standard deviations"]
    behavior = {name: _column(trials, frames, *where) for name, where in BEHAVIOR.items() if _recorded(trials, *where)}
    notes += [f"{name} is missing in all trials" for name in BEHAVIOR if name not in behavior]
    return Session(
        name=path.resolve().name,
        unit_ids=range(count),
        responses=stream(frames, RATE, count, lambda number: trials[number].load(UNITS)),
        shown=presentations(
            frames,
            RATE,
            lambda number: _movie(trials[number], scales),
            contents=[trial.content for trial in trials],
            tiers=[trial.tier for trial in trials],
        ),
        behavior=behavior,
        rate=RATE,
        notes=notes,
        decided={"scale": scale_in_words(scales, "rec601" if colour else None)},
    )


def _parts(path: Path) -> list[Path]:
    """Return the data folders among the folder itself and its training and evaluation subfolders, in this order."""
    folders = [path, *sorted(path.glob("training_data*")), *sorted(path.glob("evaluation_data*"))]
    return [folder for folder in folders if all((folder / name).is_dir() for name in (UNITS, STIMULI))]


def _trials(part: Path) -> list[TwinTrial]:
    found = sorted((part / UNITS).rglob("*.npy"))
    return [_trial(part, file) for file in found if not file.name.startswith(".")]


def _trial(part: Path, file: Path) -> TwinTrial:
    name = file.relative_to(part / UNITS)
    if name.parent != Path():
        return TwinTrial(part, str(name), f"{part.name}/{name.parent}", TEST)
    flag = load_array(part / TRAINING / name.name)
    if flag.size != 1:
        raise InputError(
            f"{part / TRAINING / name.name}: expected true or false, got shape {flag.shape}; write it again"
        )
    return TwinTrial(part, str(name), f"{part.name}/{name.stem}", TRAIN if bool(flag.item()) else VALIDATION)


def _frames(trial: TwinTrial) -> int:
    shown, units = trial.shape(STIMULI, 4)[0], trial.shape(UNITS, 2)[0]
    if shown != units:
        raise InputError(
            f"{trial.root / UNITS / trial.name}: expected {shown} samples, one for each frame, got {units}; cut both "
            "to one length"
        )
    return int(shown)


def _measured(trial: TwinTrial) -> StoredMovie:
    frames = load_array(trial.root / STIMULI / trial.name, mapped=True)
    if frames.dtype.kind not in "fiub" or frames.shape[-1] not in (1, 3):
        raise InputError(
            f"{trial.root / STIMULI / trial.name}: expected frames (T,H,W,1) or (T,H,W,3), got {frames.dtype} "
            f"{frames.shape}; copy the folder again"
        )
    return measured(str(trial.root / STIMULI / trial.name), frames, frames.dtype)


def _movie(trial: TwinTrial, scales: Mapping[str, GreyScale]) -> Array:
    """Return the frames of a trial `(T,H,W)`, grey levels 0–255."""
    frames = trial.load(STIMULI)
    return scales[kind_of(frames.dtype)].levels(grey(frames) if frames.shape[-1] == 3 else frames[..., 0])


def _column(trials: Sequence[TwinTrial], frames: Sequence[int], variable: str, column: int) -> Stream:
    def read(number: int) -> Array:
        there = (trials[number].root / variable / trials[number].name).is_file()
        return _values(trials[number], variable)[:, column, None] if there else np.full((frames[number], 1), np.nan)

    return stream(frames, RATE, 1, read)


def _values(trial: TwinTrial, variable: str) -> Array:
    file = trial.root / variable / trial.name
    values = load_array(file)
    if values.ndim != 2 or values.shape[1] < 2 or values.dtype.kind not in "fiu":
        raise InputError(f"{file}: expected two columns of numbers, got {values.dtype} {values.shape}; copy it again")
    return values


def _recorded(trials: Sequence[TwinTrial], variable: str, column: int) -> bool:
    """Return whether any trial has finite values in a column; stops at the first."""
    there = (trial for trial in trials if (trial.root / variable / trial.name).is_file())
    return any(bool(np.isfinite(_values(trial, variable)[:, column]).any()) for trial in there)
