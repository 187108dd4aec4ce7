"""Sessions with known ground truth in NWB: the Allen Brain Observatory, MICrONS and Allen Neuropixels."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
from worlds.formats import UNITS, VIDEO, Film, activity, film, spikes


def write_allen(path: Path, *, repeats: int = 2, seconds: float = 12.0) -> tuple[Path, list[Film]]:
    """Write an NWB 1.0 file as from the Allen Brain Observatory: ΔF/F at 30 Hz, one natural movie shown repeatedly.

    Stimulus times are in imaging frames; pupil tracking is lost for a while.
    """
    one = film(seconds, rate=30.0, start=0.0, seed=3)
    rate, start = 30.1, 5.0
    times = start + np.arange(round((repeats * (seconds + 1) + 10) * rate)) / rate
    firsts = [round((2 + repeat * (seconds + 1)) * rate) for repeat in range(repeats)]
    spans = np.concatenate([first + np.round(np.arange(len(one.frames)) / 30 * rate).astype(int) for first in firsts])
    films = [Film(one.frames, times[spans[k * len(one.frames) : (k + 1) * len(one.frames)]]) for k in range(repeats)]
    pipeline = "processing/brain_observatory_pipeline"
    with h5py.File(path, "w") as file:
        file["nwb_version"] = "NWB-1.0.5"
        file[f"{pipeline}/DfOverF/imaging_plane_1/data"] = activity(films, times).T.astype(np.float32)
        file[f"{pipeline}/DfOverF/imaging_plane_1/timestamps"] = times
        file[f"{pipeline}/ImageSegmentation/cell_specimen_ids"] = 517400000 + np.arange(UNITS)
        file[f"{pipeline}/BehavioralTimeSeries/running_speed/data"] = np.sin(times)
        file[f"{pipeline}/BehavioralTimeSeries/running_speed/timestamps"] = times
        pupil = np.cos(times)
        pupil[round(10 * rate) : round(11.5 * rate)] = np.nan
        file[f"{pipeline}/EyeTracking/pupil_size/data"] = pupil
        file[f"{pipeline}/EyeTracking/pupil_size/timestamps"] = times
        shown = "stimulus/presentation/natural_movie_one_stimulus"
        file[f"{shown}/data"] = np.tile(np.arange(len(one.frames)), repeats).astype(np.float32)
        file[f"{shown}/frame_duration"] = np.stack([spans, spans + 1], 1)
        file["stimulus/templates/natural_movie_one_image_stack/data"] = one.frames
        file["stimulus/presentation/spontaneous_stimulus/frame_duration"] = np.array([[0, 10]])
    return path, films


def write_microns(path: Path, films: list[Film]) -> Path:
    """Write a MICrONS scan with pynwb: bleaching raw fluorescence of two fields at 6.3 Hz, clips named by their hash.

    The second field is imaged some milliseconds later.
    """
    import pynwb
    from pynwb.behavior import EyeTracking, PupilTracking, SpatialSeries
    from pynwb.epoch import TimeIntervals
    from pynwb.image import ImageSeries
    from pynwb.ophys import Fluorescence, ImageSegmentation, OpticalChannel

    file = pynwb.NWBFile("a scan", "scan", datetime(2017, 1, 1, tzinfo=UTC))
    end = films[-1].onsets[-1] + 5
    times = np.arange(0, end, 1 / 6.3009)
    device = file.create_device("Microscope")
    plane = file.create_imaging_plane(
        name="ImagingPlane1",
        optical_channel=OpticalChannel("channel", "green", 500.0),
        description="field",
        device=device,
        excitation_lambda=920.0,
        indicator="GCaMP6s",
        location="V1",
    )
    segmentation, traces = ImageSegmentation(), Fluorescence()
    ophys = file.create_processing_module("ophys", "processed 2p data")
    ophys.add(segmentation)
    ophys.add(traces)
    for number, own in ((1, slice(0, UNITS // 2)), (2, slice(UNITS // 2, UNITS))):
        table = segmentation.create_plane_segmentation(f"masks {number}", plane, f"PlaneSegmentation{number}")
        for _ in range(own.stop - own.start):
            table.add_roi(image_mask=np.ones((2, 2)))
        late = 0.06 * (number - 1)
        relative = activity(films, times + late)[:, own]
        raw = 900 * np.exp(-times / 400)[:, None] * (1 + relative)
        traces.create_roi_response_series(
            name=f"RoiResponseSeries{number}",
            data=raw.astype(np.float32),
            timestamps=times + late,
            unit="n.a.",
            rois=table.create_roi_table_region("all", region=list(range(own.stop - own.start))),
        )
    frames = np.concatenate([each.frames for each in films])
    clock = np.concatenate([each.onsets for each in films])
    file.add_acquisition(ImageSeries("Video", data=frames, unit="n.a.", timestamps=clock))
    clips = TimeIntervals("Clip", "10 second clips")
    clips.add_column("condition_hash", "hash of the condition")
    for number, each in enumerate(films):
        step = float(np.median(np.diff(each.onsets)))
        clips.add_row(start_time=each.onsets[0], stop_time=each.onsets[-1] + step, condition_hash=f"hash{number}=")
    file.add_time_intervals(clips)
    fast = np.arange(0, end, 0.015)
    file.add_acquisition(pynwb.TimeSeries("treadmill_velocity", data=np.sin(fast), unit="cm/s", timestamps=fast))
    slow = np.arange(0, end, 0.05)
    pupil = PupilTracking()
    pupil.add_timeseries(pynwb.TimeSeries("pupil_major_radius", data=20 + np.cos(slow), unit="n.a.", timestamps=slow))
    position = np.stack([np.sin(slow), np.cos(slow)], 1)
    eye = EyeTracking(SpatialSeries("eye_position", data=position, reference_frame="screen", timestamps=slow))
    file.add_acquisition(pupil)
    file.add_acquisition(eye)
    with pynwb.NWBHDF5IO(path, "w") as stream:
        stream.write(file)
    with h5py.File(path, "r+") as written:  # name used by pynwb until 2023
        written.move("acquisition/Video", VIDEO)
    return path


def write_neuropixels(path: Path, *, repeats: int = 2, seconds: float = 12.0) -> tuple[Path, list[Film]]:
    """Write an Allen Neuropixels session with pynwb: units with areas, a movie as template and table."""
    import pynwb
    from pynwb.epoch import TimeIntervals
    from pynwb.image import ImageSeries

    one = film(seconds, rate=30.0, start=0.0, seed=4)
    films = [Film(one.frames, one.onsets + 2 + repeat * (seconds + 2)) for repeat in range(repeats)]
    file = pynwb.NWBFile("a session", "715093703", datetime(2019, 1, 19, tzinfo=UTC))
    device = file.create_device("probe")
    for number, area in enumerate(("VISp", "CA1")):
        group = file.create_electrode_group(f"probe{number}", "probe", area, device)
        file.add_electrode(id=850 + number, location=area, group=group)
    file.add_unit_column("peak_channel_id", "channel of largest amplitude")
    for number, times in enumerate(spikes(films, films[-1].onsets[-1] + 3)):
        file.add_unit(id=951000 + number, spike_times=times, peak_channel_id=850 + number % 2)
    file.add_stimulus_template(
        ImageSeries("natural_movie_one_image_stack", data=one.frames, unit="n.a.", rate=30.0, starting_time=0.0)
    )
    table = TimeIntervals("natural_movie_one_presentations", "frames of the movie")
    table.add_column("frame", "number of the frame")
    for each in films:
        for number, onset in enumerate(each.onsets):
            table.add_row(start_time=onset, stop_time=onset + 1 / 30, frame=float(number))
    file.add_time_intervals(table)
    running = file.create_processing_module("running", "running wheel")
    times = np.arange(0, films[-1].onsets[-1] + 3, 1 / 60)
    running.add(pynwb.TimeSeries("running_speed", data=np.sin(times), unit="cm/s", timestamps=times))
    with pynwb.NWBHDF5IO(path, "w") as stream:
        stream.write(file)
    return path, films
