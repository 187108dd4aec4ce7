"""A recording as a plain folder of Sensorium 2023: the field's files, and meta/recording.json."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from recon.data.duplicates.find import Progress
from recon.data.header import HEADER_FILE
from recon.data.layout import STATISTICS, TIERS_FILE, TRAIN, VARIABLES, data_file, save_array
from recon.data.sensorium import SensoriumRecording
from recon.data.training_statistics import write_statistics
from recon.data.writer import OWN, RECORDING
from recon.data.written.folders import new_folder, write_text
from recon.data.written.header import header_of
from recon.data.written.trials import all_neurons, left_out, timed_trials
from recon.errors import InputError


def write(recording: SensoriumRecording, destination: Path, *, overwrite: bool, progress: Progress) -> list[str]:
    """Write a folder of Sensorium 2023; return sentences about what it does not hold."""
    if recording.path.resolve() == destination.resolve():
        raise InputError(f"{destination}: expected another folder than the recording's, got the same; name another")
    with new_folder(destination, RECORDING, OWN, overwrite=overwrite) as folder:
        lengths: dict[int, int] = {}
        for trial in timed_trials(recording, progress):
            lengths[trial.index] = trial.frames
            for variable, array in trial.arrays.items():
                save_array(data_file(folder, variable, trial.index), array)
        save_array(folder / TIERS_FILE, np.array(recording.tiers))
        neurons = all_neurons(recording)
        save_array(folder / "meta/neurons/unit_ids.npy", neurons.unit_ids)
        save_array(folder / "meta/neurons/cell_motor_coordinates.npy", neurons.coordinates)
        if neurons.areas:
            save_array(folder / "meta/neurons/area.npy", np.array(neurons.areas))
        _statistics(recording, folder, lengths)
        write_text(folder / HEADER_FILE, json.dumps(header_of(recording), indent=2, ensure_ascii=False) + "\n")
    return left_out(recording)


def _statistics(recording: SensoriumRecording, folder: Path, lengths: dict[int, int]) -> None:
    """Copy the recording's training statistics; without them, compute them."""
    known = [f"meta/statistics/{variable}/all/{name}.npy" for variable in VARIABLES for name in STATISTICS]
    known = [name for name in known if (recording.path / name).is_file()]
    for name in known:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(recording.path / name, folder / name)
    if not known:
        training = [index for index in lengths if recording.tiers[index] == TRAIN]
        write_statistics(folder, trials=training or sorted(lengths), frames=max(lengths.values()))
