"""Import of plain arrays (movie, responses, optional behavior and pupil) as a recording in the canonical layout."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recon.data.arrays import ArrayLike, ArraySource, open_channels, open_source
from recon.data.duplicates.find import Progress, duplicate_groups, leaks, signature, split_by_content
from recon.data.layout import MAX_FRAMES, TEST, TRAIN, VALIDATION, Array, grey_levels
from recon.data.resize import resize_area
from recon.data.sensorium import SensoriumRecording
from recon.data.writer import RecordingWriter
from recon.errors import InputError

Range = tuple[float, float]
BLOCK = 1024
"""Frames per read in the search for the value range."""


@dataclass(frozen=True)
class TrialSlice:
    """A trial to be written: frames [first, end) of input trial `source`, and the requested tier ("" if open)."""

    source: int
    first: int
    end: int
    tier: str = ""


@dataclass(frozen=True)
class Inputs:
    """The opened arrays, and the value range and frame size that convert the movie to frames of 0–255."""

    movie: ArraySource
    responses: ArraySource
    behavior: ArraySource | None
    pupil_center: ArraySource | None
    movie_range: Range
    frame_size: tuple[int, int]

    def video(self, piece: TrialSlice) -> Array:
        """Return a trial's frames `(T,H,W)` uint8, resized by area and rounded to grey levels."""
        low, high = self.movie_range
        raw = self.movie.read(piece.source, (piece.first, piece.end), "thw").astype(np.float32)
        if not (raw.min() >= low and raw.max() <= high):
            raise InputError(f"movie: expected values in {low}–{high}, got {raw.min()} to {raw.max()}; set movie_range")
        return np.ascontiguousarray(grey_levels(resize_area((raw - low) * (255 / (high - low)), self.frame_size)))

    def channels(self, source: ArraySource | None, piece: TrialSlice) -> Array | None:
        """Return a trial's channels over time `(N,T)`; None without a source."""
        return None if source is None else source.read(piece.source, (piece.first, piece.end), "nt")


def import_arrays(
    destination: Path | str,
    *,
    movie: ArrayLike,
    responses: ArrayLike,
    frame_rate: float,
    degrees_per_pixel: float,
    behavior: ArrayLike | None = None,
    pupil_center: ArrayLike | None = None,
    unit_ids: ArrayLike | None = None,
    coordinates: ArrayLike | None = None,
    axes: str = "thw",
    response_axes: str = "",
    packed: tuple[int, int] | None = None,
    movie_range: Range | None = None,
    frame_size: tuple[int, int] | None = None,
    trial_frames: int = MAX_FRAMES,
    train_frames: int | None = None,
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    name: str = "",
    overwrite: bool = False,
    progress: Progress = iter,
) -> SensoriumRecording:
    """Import a movie and the responses to it, cut into trials and tiers, and return the recording.

    Arrays are in memory or paths (`FILE`, `FILE:NAME`). `axes` names the movie's axes: t frames, h rows, w columns and
    optionally r trials, first ("thw", "hwt", "rthw" …). Responses are `(N,T)` or `(T,N)`; behavior (pupil dilation,
    running speed) and pupil_center are `(2,T)` or `(T,2)`; all have a leading trial axis if the movie has one. The time
    axis is found by its length, or named for the responses by `response_axes` ("nt" or "tn"). `movie_range` (black,
    white) maps to 0–255; the default is [0,1] or [0,255], inferred from the extremes. `packed` (rows, columns): frames
    are packed bits. A continuous movie is split by time blocks; separate trials are drawn with `seed`. Equal and nearly
    equal videos always share a tier. With `train_frames`, the first frames are for training (validation at their end)
    and all others for testing.
    """
    with ExitStack() as stack:
        opened = open_source("movie", movie, axes=axes, bits=packed, stack=stack)
        inputs = _open_inputs(
            stack,
            opened,
            responses=open_channels("responses", responses, movie=opened, stack=stack, axes=response_axes),
            behavior=behavior,
            pupil_center=pupil_center,
            movie_range=movie_range,
            frame_size=frame_size,
        )
        pieces = cut_trials(opened, trial_frames=trial_frames, train_frames=train_frames, validation=validation)
        count = inputs.responses.size("n")
        writer = RecordingWriter(
            destination,
            unit_ids=range(count) if unit_ids is None else _table("unit_ids", unit_ids, (count,), stack),
            coordinates=None if coordinates is None else _table("coordinates", coordinates, (count, 3), stack),
            frame_rate=frame_rate,
            degrees_per_pixel=degrees_per_pixel,
            name=name,
            made_by={"command": "recon data import", "movie_range": list(inputs.movie_range), "seed": seed},
            overwrite=overwrite,
        )
        with writer:
            groups = duplicate_groups([signature(inputs.video(pieces[i])) for i in progress(range(len(pieces)))])
            fractions = {VALIDATION: validation, TEST: test}
            tiers = _tiers(pieces, groups, fractions, seed if opened.size("r") > 1 else None)
            for i in progress(range(len(pieces))):
                _write(writer, i, inputs=inputs, piece=pieces[i], tier=tiers[i])
    return SensoriumRecording(writer.destination)


def cut_trials(
    movie: ArraySource, *, trial_frames: int, train_frames: int | None, validation: float
) -> tuple[TrialSlice, ...]:
    """Return the trials cut from a movie; a remainder shorter than a quarter of a trial is dropped.

    With `train_frames`, no trial crosses that frame, and the last fraction `validation` of the training trials is
    assigned to validation.
    """
    length, sources = movie.size("t"), movie.size("r")
    if not 1 <= trial_frames <= MAX_FRAMES:
        raise InputError(f"trial_frames: expected 1–{MAX_FRAMES}, got {trial_frames}; the layout ends there")
    if train_frames is None:
        return tuple(TrialSlice(r, *span) for r in range(sources) for span in _spans(0, length, trial_frames))
    if "r" in movie.axes or not 0 < train_frames < length:
        raise InputError(f"train_frames: expected 1–{length - 1} of a movie without trials, got {train_frames}")
    training, testing = _spans(0, train_frames, trial_frames), _spans(train_frames, length, trial_frames)
    held_out = max(round(validation * len(training)), 1) if validation > 0 else 0
    if held_out >= len(training):
        raise InputError(f"train_frames: expected at least two training trials, got {len(training)}; cut shorter")
    marked = [TRAIN] * (len(training) - held_out) + [VALIDATION] * held_out
    pieces = [TrialSlice(0, *span, tier) for span, tier in zip(training, marked, strict=True)]
    return (*pieces, *(TrialSlice(0, *span, TEST) for span in testing))


def find_range(movie: ArraySource) -> Range:
    """Return the values of black and white, (0, 1) or (0, 255), inferred from a movie's extremes."""
    if movie.bits is not None:
        return (0.0, 1.0)
    blocks = [(r, t) for r in range(movie.size("r")) for t in range(0, movie.size("t"), BLOCK)]
    extremes = [_extremes(movie.read(r, (t, t + BLOCK), "thw")) for r, t in blocks]
    low, high = min(e[0] for e in extremes), max(e[1] for e in extremes)
    if low >= 0 and high <= 1:
        return (0.0, 1.0)
    if low >= 0 and high <= 255:
        return (0.0, 255.0)
    raise InputError(f"movie: expected values in 0–1 or 0–255, got {low} to {high}; set movie_range to (black, white)")


def _open_inputs(
    stack: ExitStack,
    movie: ArraySource,
    *,
    responses: ArraySource,
    behavior: ArrayLike | None,
    pupil_center: ArrayLike | None,
    movie_range: Range | None,
    frame_size: tuple[int, int] | None,
) -> Inputs:
    if (behavior is None) != (pupil_center is None):
        raise InputError("behavior and pupil_center: expected both or neither, got one; give constants for the other")
    if movie_range is not None and not movie_range[0] < movie_range[1]:
        raise InputError(f"movie_range: expected (black, white) with black < white, got {movie_range}")
    return Inputs(
        movie,
        responses,
        None if behavior is None else _pair("behavior", behavior, movie, stack),
        None if pupil_center is None else _pair("pupil_center", pupil_center, movie, stack),
        movie_range or find_range(movie),
        frame_size or (movie.size("h"), movie.size("w")),
    )


def _pair(name: str, value: ArrayLike, movie: ArraySource, stack: ExitStack) -> ArraySource:
    source = open_channels(name, value, movie=movie, stack=stack)
    if source.size("n") != 2:
        raise InputError(f"{name}: expected 2 channels over time, got {source.size('n')}; see the layout in README")
    return source


def _tiers(
    pieces: Sequence[TrialSlice], groups: Sequence[int], fractions: dict[str, float], seed: int | None
) -> list[str]:
    if not pieces[0].tier:
        return list(split_by_content(groups, fractions, seed=seed))
    asked = [piece.tier for piece in pieces]
    found = leaks(asked, groups, range(len(asked)))
    if found:
        raise InputError(
            f"train_frames: expected different videos in training and test, got {len(found)} training trials (first: "
            f"{found[0].trial}) that occur in {found[0].tier} (trial {found[0].other}); "
            "leave train_frames out to split by content"
        )
    return asked


def _write(writer: RecordingWriter, index: int, *, inputs: Inputs, piece: TrialSlice, tier: str) -> None:
    responses = inputs.channels(inputs.responses, piece)
    writer.write_trial(
        index,
        tier=tier,
        video=inputs.video(piece),
        responses=responses,
        behavior=inputs.channels(inputs.behavior, piece),
        pupil_center=inputs.channels(inputs.pupil_center, piece),
    )


def _spans(first: int, end: int, length: int) -> list[tuple[int, int]]:
    spans = [(t, min(t + length, end)) for t in range(first, end, length)]
    return spans if len(spans) == 1 or 4 * (spans[-1][1] - spans[-1][0]) >= length else spans[:-1]


def _extremes(block: Array) -> Range:
    low, high = float(block.min()), float(block.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError("movie: expected finite values, got NaN or infinity; cut those frames out")
    return low, high


def _table(name: str, value: ArrayLike, shape: tuple[int, ...], stack: ExitStack) -> Array:
    table = np.asarray(open_source(name, value, axes="nc"[: len(shape)], stack=stack).stored[:])
    if table.shape != shape:
        raise InputError(f"{name}: expected shape {shape} for the neurons of responses, got {table.shape}")
    return table
