"""Trials to be written for an import: pieces of the movies that are not longer than the layout allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from recon.data.layout import MAX_FRAMES, TEST, TRAIN, VALIDATION
from recon.data.onsets import ONSETS
from recon.errors import InputError


@dataclass(frozen=True)
class TrialSlice:
    """A trial to be written: frames [first, end) of input trial `source`, and the requested tier ("" if open)."""

    source: int
    first: int
    end: int
    tier: str = ""


@dataclass(frozen=True)
class Cut:
    """The trials to be written, and sentences about long trials and frames that are left out."""

    pieces: tuple[TrialSlice, ...]
    notes: tuple[str, ...] = ()


def cut_trials(frames: Sequence[int], tiers: Sequence[str], trial_frames: int) -> Cut:
    """Return trials of any length; longer ones than `trial_frames` are cut evenly, so that no frame is lost."""
    _check_length(trial_frames)
    pieces = [
        TrialSlice(source, *span, tiers[source] if tiers else "")
        for source, count in enumerate(frames)
        for span in even_spans(count, trial_frames)
    ]
    long = [count for count in frames if count > trial_frames]
    note = f"{len(long)} trials of more than {trial_frames} frames are cut evenly: {len(pieces)} trials in all"
    return Cut(tuple(pieces), (note,) * bool(long))


def cut_continuous(frames: int, trial_frames: int, *, train_frames: int | None, validation: float) -> Cut:
    """Return trials of `trial_frames` frames of one movie; a remainder shorter than a quarter of a trial is left out.

    With `train_frames`, no trial crosses that frame, and the last fraction `validation` of the training trials is
    assigned to validation.
    """
    _check_length(trial_frames)
    if train_frames is None:
        pieces = tuple(TrialSlice(0, *span) for span in _spans(0, frames, trial_frames))
        return Cut(pieces, _left_out(frames, pieces))
    if not 0 < train_frames < frames:
        raise InputError(f"train_frames: expected 1–{frames - 1} of the movie's frames, got {train_frames}; correct it")
    training, testing = _spans(0, train_frames, trial_frames), _spans(train_frames, frames, trial_frames)
    held_out = max(round(validation * len(training)), 1) if validation > 0 else 0
    if held_out >= len(training):
        raise InputError(f"train_frames: expected at least two training trials, got {len(training)}; cut shorter")
    marked = [TRAIN] * (len(training) - held_out) + [VALIDATION] * held_out
    first = [TrialSlice(0, *span, tier) for span, tier in zip(training, marked, strict=True)]
    pieces = (*first, *(TrialSlice(0, *span, TEST) for span in testing))
    return Cut(pieces, _left_out(frames, pieces))


def check_split(pieces: Sequence[TrialSlice], fractions: Mapping[str, float]) -> None:
    """Raise InputError if trials without tiers cannot be split into training and each of the fractions."""
    if any(share < 0 for share in fractions.values()) or sum(fractions.values()) >= 1:
        raise InputError(f"split: expected fractions ≥ 0 of sum below 1, got {dict(fractions)}; leave some to train")
    needed = 1 + sum(share > 0 for share in fractions.values())
    if not pieces[0].tier and len(pieces) < needed:
        longest = max(piece.end - piece.first for piece in pieces)
        raise InputError(
            f"split: expected at least {needed} trials for training and {', '.join(fractions)}, got {len(pieces)} of "
            f"{longest} frames; cut shorter trials (trial_frames), or set a share to 0"
        )


def even_spans(frames: int, longest: int) -> list[tuple[int, int]]:
    """Return ranges [first, end) of nearly equal length, at most `longest`, that cover all frames.

    >>> even_spans(310, 300)
    [(0, 155), (155, 310)]
    """
    count = -(-frames // longest)
    edges = [frames * number // count for number in range(count + 1)]
    return list(pairwise(edges))


def _check_length(trial_frames: int) -> None:
    if not 1 <= trial_frames <= MAX_FRAMES:
        raise InputError(
            f"trial_frames: expected 1–{MAX_FRAMES}, got {trial_frames}; longer trials are cut into pieces"
        )


def _left_out(frames: int, pieces: Sequence[TrialSlice]) -> tuple[str, ...]:
    lost = frames - sum(piece.end - piece.first for piece in pieces)
    return (f"{lost} frames at the end of a tier are left out: less than a quarter of a trial",) * bool(lost)


def _spans(first: int, end: int, length: int) -> list[tuple[int, int]]:
    spans = [(t, min(t + length, end)) for t in range(first, end, length)]
    return spans if len(spans) == 1 or 4 * (spans[-1][1] - spans[-1][0]) >= length else spans[:-1]


def onsets_of(pieces: Sequence[TrialSlice], starts: Sequence[int], frame_rate: float) -> dict[str, list[float]]:
    """Return the onset of every trial in seconds, where responses are one continuous array."""
    if not starts:
        return {}
    return {ONSETS: [round((starts[piece.source] + piece.first) / frame_rate, 6) for piece in pieces]}
