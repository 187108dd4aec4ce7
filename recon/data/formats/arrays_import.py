"""Import of plain arrays and video files (movie, responses, behavior) as a recording in the canonical layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from recon.data.arrays import ArrayLike, open_source
from recon.data.colour import Luma, in_words, known_luma
from recon.data.duplicates.find import Progress, duplicate_groups, leaks, signature, split_by_content
from recon.data.formats.channels import TrialAlignment, TrialChannels, agreed, check_values, open_channels
from recon.data.formats.movies import MovieForm, MovieSource, Range, Several, open_movies, value_ranges
from recon.data.formats.trial_list import Trials, listed_trials
from recon.data.formats.trial_slices import Cut, TrialSlice, check_split, cut_continuous, cut_trials, onsets_of
from recon.data.grey_scale import TOLERANCE
from recon.data.layout import DEGREES_PER_PIXEL, MAX_FRAMES, TEST, VALIDATION, Array, grey_levels
from recon.data.missing import MaskedNeurons
from recon.data.resize import Resizing, Size, resizing
from recon.data.sensorium import SensoriumRecording
from recon.data.unit_ids import numbered
from recon.data.writer import RecordingWriter, check_destination
from recon.errors import InputError
from recon.files.paths import user_path

PAIRS = {"behavior": "pupil dilation and running speed", "pupil_center": "pupil centre x and y"}
"""The two channels of each kind of behavior."""
KEPT = 2**28
"""Bytes of videos that are kept in memory, so that video files are decoded once."""
FASTEST = 10_000.0
"""Highest frame rate in Hz."""


@dataclass(frozen=True)
class Inputs:
    """The opened sources: movies with their values of black and white, the movie of each trial, channels by name."""

    movies: tuple[MovieSource, ...]
    shown: tuple[int, ...]
    channels: Mapping[str, TrialChannels]
    ranges: Sequence[Range]
    resizing: Resizing
    kept: dict[tuple[int, int, int], Array] = field(default_factory=dict)
    """Videos made already, by movie, first and end frame: for the split, and to be written."""

    def video(self, piece: TrialSlice) -> Array:
        """Return a trial's frames `(T,H,W)` uint8, cropped, resized by area and rounded to grey levels."""
        key = self.shown[piece.source], piece.first, piece.end
        if key in self.kept:
            return self.kept[key]
        blocks = self.movies[key[0]].read(piece.first, piece.end)
        found = np.concatenate([self._levels(raw, self.ranges[key[0]]) for raw in blocks])
        if found.nbytes + sum(video.nbytes for video in self.kept.values()) <= KEPT:
            self.kept[key] = found
        return found

    def _levels(self, raw: Array, movie_range: Range) -> Array:
        low, high = movie_range
        slack = TOLERANCE * (high - low)
        if not (raw.min() >= low - slack and raw.max() <= high + slack):
            raise InputError(f"movie: expected values in {low}–{high}, got {raw.min()} to {raw.max()}; set movie_range")
        return grey_levels(self.resizing.apply((raw.astype(np.float32) - low) * (255 / (high - low))))

    def behavior(self, name: str, piece: TrialSlice) -> Array | None:
        """Return a trial's behavior or pupil centre `(2,T)`, NaN where it was not recorded; None if it never was."""
        there = name in self.channels
        return self.channels[name].read(piece.source, (piece.first, piece.end)) if there else None


def import_arrays(
    destination: Path | str,
    *,
    movie: Several,
    responses: Several,
    frame_rate: float,
    degrees_per_pixel: float | None = None,
    behavior: Several | None = None,
    pupil_center: Several | None = None,
    trials: Trials | None = None,
    tiers: Sequence[str] | None = None,
    unit_ids: ArrayLike | None = None,
    coordinates: ArrayLike | None = None,
    axes: str = "",
    response_axes: str = "",
    packed: tuple[int, int] | None = None,
    movie_range: Range | None = None,
    luma: str = "rec601",
    frame_size: Size | None = None,
    crop: bool = False,
    trim: bool = False,
    trial_frames: int = MAX_FRAMES,
    train_frames: int | None = None,
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    name: str = "",
    overwrite: bool = False,
    progress: Progress = iter,
) -> SensoriumRecording:
    """Import movies and the responses to them, cut into trials and tiers, and return the recording.

    **Movies**: arrays in memory, paths (`FILE`, `FILE:NAME`) or video files. One of shape `(T,H,W)` is a continuous
    movie; `(R,T,H,W)`, or a list of movies of any length, are trials. A colour axis of three is converted to grey with
    the weights `luma`. `axes` names the axes where shapes do not tell: t frames, h rows, w columns, c colours, and r
    trials ("thw", "hwt", "rthw", "thwc" …). `movie_range` (black, white) maps to 0–255; the default is 0–1 or 0–255,
    inferred from the extremes. `packed` (rows, columns): frames are packed bits.

    **Trials**: `trials` lists the movie that each trial showed, by number or file name, or is a CSV file with the
    columns movie, start and tier. `tiers` are theirs ("train", "validation", "test").

    **Channels**: responses `(N,T)`, behavior (pupil dilation, running speed) and pupil_center `(2,T)`, all trials one
    after the other (or from `start` in the list), `(R,N,T)`, or a list with one for each trial. The time axis is found
    by its length, or named by `response_axes` ("nt", "tn"). With `trim`, lengths may differ by one frame. NaN
    marks behavior that was not recorded; encoders that use it refuse the trial unless they were trained with dropout.

    A neuron that is NaN in some frames is masked: reading the recording leaves it out, and `made_by["notes"]` names it.

    **Scale**: `degrees_per_pixel` of the source; it is rescaled with `frame_size`, which keeps the aspect ratio, or
    crops centrally with `crop`.

    A continuous movie is split by time blocks; separate trials are drawn with `seed`. Equal and nearly equal videos
    always share a tier. With `train_frames`, the first frames of a continuous movie are for training (validation at
    their end) and all others for testing. Sentences about everything that was changed are in `made_by["notes"]`.
    """
    weights = known_luma(luma)
    _check_scale(frame_rate, degrees_per_pixel)
    check_destination(user_path(destination).absolute(), overwrite=overwrite)
    with ExitStack() as stack:
        movies = open_movies(movie, MovieForm(axes, packed, weights, frame_rate), stack)
        framed = resizing(movies[0].size, frame_size, crop=crop)
        listed = listed_trials(trials, tiers, labels=[one.label for one in movies])
        lengths = tuple(movies[number].frames for number in listed.movies)
        named = {"responses": responses, "behavior": behavior, "pupil_center": pupil_center}
        alignment = TrialAlignment(
            lengths, listed.starts, response_axes, trim, movies[0].size if len(movies) == 1 else ()
        )
        channels = _open_channels(named, alignment, stack)
        frames, trimmed = agreed(lengths, channels, trim=trim)
        cut = _cut(frames, listed.tiers, trial_frames, train_frames=train_frames, validation=validation)
        fractions = {VALIDATION: validation, TEST: test}
        check_split(cut.pieces, fractions)
        count = channels["responses"].count
        ids = np.arange(count) if unit_ids is None else _table("unit_ids", unit_ids, (count,), stack)
        places = None if coordinates is None else _table("coordinates", coordinates, (count, 3), stack)
        holed = {name: check_values(one, frames, gaps=name == "responses") for name, one in channels.items()}
        masked = MaskedNeurons(count, len(frames), holed["responses"])
        masked.known_ids(ids.tolist(), "responses")
        ranges, scale = value_ranges(movies, movie_range, weights)
        inputs = Inputs(movies, listed.movies, channels, ranges, framed)
        split = _tiers(inputs, cut.pieces, fractions, seed=seed, progress=progress)
        notes = [
            *_movie_notes(inputs, weights, degrees_per_pixel),
            *_missing(channels),
            *_masked(masked, ids),
            *trimmed,
            *cut.notes,
        ]
        notes += numbered(ids, where="unit_ids").notes
        writer = RecordingWriter(
            destination,
            unit_ids=ids,
            coordinates=places,
            frame_rate=frame_rate,
            degrees_per_pixel=framed.degrees(degrees_per_pixel) if degrees_per_pixel else DEGREES_PER_PIXEL,
            name=name,
            made_by={
                "command": "recon data import",
                "movie_range": list(inputs.ranges[0]),
                "seed": seed,
                "luma": weights if any(one.colour for one in movies) else "",
                "degrees_per_source_pixel": degrees_per_pixel,
                "notes": notes,
                "decided": {"scale": scale, **_decided(cut, channels)},
                **onsets_of(cut.pieces, listed.starts or (0,) * (len(frames) == 1), frame_rate),
            },
            overwrite=overwrite,
        )
        with writer:
            for index in progress(range(len(split))):
                _write(writer, index, inputs=inputs, piece=cut.pieces[index], tier=split[index])
    return SensoriumRecording(writer.destination)


def _open_channels(
    named: Mapping[str, Several | None], alignment: TrialAlignment, stack: ExitStack
) -> dict[str, TrialChannels]:
    found = {}
    for name, value in named.items():
        if value is not None:
            axes = alignment if name == "responses" else replace(alignment, axes="")
            found[name] = open_channels(name, value, axes, stack)
            if name in PAIRS and found[name].count != 2:
                raise InputError(
                    f"{name}: expected 2 channels over time, {PAIRS[name]}, got {found[name].count}; fill a missing "
                    "one with NaN"
                )
    return found


def _cut(
    frames: tuple[int, ...], tiers: tuple[str, ...], trial_frames: int, *, train_frames: int | None, validation: float
) -> Cut:
    if len(frames) == 1 and not tiers:
        return cut_continuous(frames[0], trial_frames, train_frames=train_frames, validation=validation)
    if train_frames is not None:
        raise InputError(f"train_frames: expected one continuous movie, got {len(frames)} trials; give tiers instead")
    return cut_trials(frames, tiers, trial_frames)


def _check_scale(frame_rate: float, degrees_per_pixel: float | None) -> None:
    if not 0 < frame_rate <= FASTEST:
        raise InputError(f"frame_rate: expected above 0 and at most {FASTEST:g} Hz, got {frame_rate:g}; correct it")
    if degrees_per_pixel is not None and not 0 < degrees_per_pixel <= 360:
        raise InputError(
            f"degrees_per_pixel: expected above 0 and at most 360 for a pixel of the source, got {degrees_per_pixel:g};"
            " correct it"
        )


def _movie_notes(inputs: Inputs, luma: Luma, degrees: float | None) -> list[str]:
    framed, (height, width) = inputs.resizing, inputs.resizing.size
    colour = any(movie.colour for movie in inputs.movies)
    notes = [f"movie: colour is converted to grey levels, {in_words(luma)}"] * colour + framed.notes()
    notes += [f"{movie.label}: {remark}" for movie in inputs.movies for remark in movie.remarks]
    if degrees is None:
        return [*notes, f"degrees per pixel are unknown: {DEGREES_PER_PIXEL:g} is assumed"]
    new = framed.degrees(degrees)
    shown = f"the movie covers {height * new:.4g}×{width * new:.4g}°"
    rescaled = f"degrees per pixel: {degrees:g} in the source, {new:.4g} after resizing; {shown}"
    return [*notes, rescaled] if framed.size != framed.kept else notes


def _missing(channels: Mapping[str, TrialChannels]) -> list[str]:
    missing = [name for name in PAIRS if name not in channels] if len(channels) == 2 else []
    return [f"{name}: not recorded, unknown (NaN) in all frames" for name in missing]


def _decided(cut: Cut, channels: Mapping[str, TrialChannels]) -> dict[str, str]:
    absent = [PAIRS[name] for name in PAIRS if name not in channels]
    missing = {"missing": f"{', '.join(absent)} in all trials"} if absent else {}
    return {"tiers": "as given" if cut.pieces[0].tier else "split by content", **missing}


def _masked(masked: MaskedNeurons, ids: Array) -> list[str]:
    return [f"masked: {masked.named(ids.tolist())}"] if masked.rows else []


def _tiers(
    inputs: Inputs, pieces: Sequence[TrialSlice], fractions: dict[str, float], *, seed: int, progress: Progress
) -> list[str]:
    """Return the tiers that were asked for, unless they leak, or a split by content."""
    shown = [(inputs.shown[piece.source], piece.first, piece.end) for piece in pieces]
    first = {key: index for index, key in reversed(list(enumerate(shown)))}
    unique = sorted(first.values())
    signatures = [signature(inputs.video(pieces[index])) for index in progress(unique)]
    known = dict(zip((shown[index] for index in unique), signatures, strict=True))
    groups = duplicate_groups([known[key] for key in shown])
    if not pieces[0].tier:
        continuous = len({piece.source for piece in pieces}) == 1
        return list(split_by_content(groups, fractions, seed=None if continuous else seed))
    asked = [piece.tier for piece in pieces]
    found = leaks(asked, groups, range(len(asked)))
    if found:
        raise InputError(
            f"tiers: expected different videos in training and test, got {len(found)} training trials (first: "
            f"{found[0].trial}) that occur in {found[0].tier} (trial {found[0].other}); "
            "leave tiers and train_frames out to split by content"
        )
    return asked


def _write(writer: RecordingWriter, index: int, *, inputs: Inputs, piece: TrialSlice, tier: str) -> None:
    writer.write_trial(
        index,
        tier=tier,
        video=inputs.video(piece),
        responses=inputs.channels["responses"].read(piece.source, (piece.first, piece.end)),
        behavior=inputs.behavior("behavior", piece),
        pupil_center=inputs.behavior("pupil_center", piece),
    )


def _table(name: str, value: ArrayLike, shape: tuple[int, ...], stack: ExitStack) -> Array:
    table = np.asarray(open_source(name, value, axes="nc"[: len(shape)], stack=stack).stored[:])
    if table.shape != shape:
        raise InputError(f"{name}: expected shape {shape} for the neurons of responses, got {table.shape}")
    return table
