"""Recordings of arrays in memory and of video files, through the importer of `recon data import`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recon.api.places import kept_recordings
from recon.api.recording import OpenRecording
from recon.data.arrays import ArrayLike
from recon.data.content import content_of
from recon.data.formats.arrays_import import import_arrays
from recon.data.formats.movies import Range, Several, each
from recon.data.formats.trial_list import Trials
from recon.data.layout import MAX_FRAMES, is_canonical
from recon.data.open import bar
from recon.data.resize import Size
from recon.data.sensorium import SensoriumRecording
from recon.files import digest
from recon.files.code_version import code_version
from recon.files.paths import named_part, user_path

IMPORTER = "recon.data.formats.arrays_import"


def from_arrays(
    movie: Several,
    responses: Several,
    *,
    frame_rate: float = 30.0,
    behavior: Several | None = None,
    pupil: Several | None = None,
    trials: Trials | None = None,
    tiers: Sequence[str] | None = None,
    unit_ids: ArrayLike | None = None,
    degrees_per_pixel: float | None = None,
    frame_size: Size | None = None,
    crop: bool = False,
    trim: bool = False,
    animal: str = "arrays",
    folder: Path | str | None = None,
    axes: str = "",
    response_axes: str = "",
    movie_range: Range | None = None,
    luma: str = "rec601",
    trial_frames: int = MAX_FRAMES,
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
) -> OpenRecording:
    """Return a recording of a movie and the responses to it: arrays in memory, files, or video files.

    `movie`: `(T,H,W)`, with colours `(T,H,W,3)`, in trials `(R,T,H,W)`, a list with a movie of any length for each
    trial, or paths (.npy, .npz:NAME, .h5:NAME, .mat:NAME, .mp4, .avi, .mkv). `responses`: `(N,T)` or `(T,N)`, all
    trials one after the other, `(R,N,T)`, or a list. `behavior` (pupil dilation, running speed) and `pupil` (x, y):
    `(2,T)` likewise; one of them is enough. `trials`: the movie that each trial showed, by number or file name, or a
    CSV file with the columns movie, start and tier. `tiers`: "train", "validation" or "test" for each trial; without
    them, fractions `validation` and `test` are held out, so that no video is in two tiers. `unit_ids` `(N,)` are the
    neurons' numbers, by which an encoder knows them (0, 1, … unless given).

    `degrees_per_pixel` is the visual angle of a pixel of `movie`. Frames are resized to `frame_size` of the same
    aspect ratio, or cropped to it with `crop`. `trim` allows for a difference of one frame between the lengths. Axes
    that shapes do not tell are named by `axes` ("hwt") and `response_axes` ("tn").

    It is written to `folder`, or to the cache folder under a name that is made of its content, so that the same arrays
    are imported once. What was changed is listed in `reader.made_by["notes"]`.

    >>> import recon
    >>> random = np.random.default_rng(0)
    >>> movie, responses = random.random((600, 9, 16)), random.random((20, 600))
    >>> recon.from_arrays(movie, responses, degrees_per_pixel=8.0, trial_frames=60).trials
    {'train': 8, 'oracle': 1, 'live_test_main': 1}
    """
    given = {"movie": movie, "responses": responses, "behavior": behavior, "pupil": pupil}
    sources = {name: [_content(part) for part in each(value)] for name, value in given.items() if value is not None}
    listed = _content(trials) if isinstance(trials, str | Path) else repr(trials if trials is None else list(trials))
    if trials is not None:  # which may name movies by their files
        listed += repr([Path(part).name if isinstance(part, str | Path) else "" for part in each(movie)])
    form = (frame_rate, degrees_per_pixel, frame_size, crop, trim, axes, response_axes, movie_range, luma)
    split = (listed, tiers if tiers is None else list(tiers), trial_frames, validation, test, seed, animal)
    named = "" if unit_ids is None else _content(unit_ids)
    key = digest([sources, repr(form), repr(split), named, code_version(IMPORTER)])[:12]
    place = user_path(folder) if folder else kept_recordings() / f"{animal}-{key}"
    if folder is None and is_canonical(place):
        return OpenRecording(SensoriumRecording(place))
    made = import_arrays(
        place,
        movie=movie,
        responses=responses,
        behavior=behavior,
        pupil_center=pupil,
        trials=trials,
        tiers=tiers,
        unit_ids=unit_ids,
        frame_rate=frame_rate,
        degrees_per_pixel=degrees_per_pixel,
        axes=axes,
        response_axes=response_axes,
        movie_range=movie_range,
        luma=luma,
        frame_size=frame_size,
        crop=crop,
        trim=trim,
        trial_frames=trial_frames,
        validation=validation,
        test=test,
        seed=seed,
        name=animal,
        progress=bar,
    )
    return OpenRecording(made)


def _content(value: ArrayLike) -> str:
    """Return a hash of the content of an array or a file, with the name of an array in it."""
    if isinstance(value, str | Path):
        file, key = named_part(value)
        return f"{content_of(file)}:{key}"
    array = np.ascontiguousarray(value)
    return hashlib.sha256(f"{array.dtype}{array.shape}".encode() + array.tobytes()).hexdigest()
