"""Search for videos with the same content (exact, near or excerpts), and splits by content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from recon.data.layout import ABSENT, TRAIN, Array, content_id
from recon.data.resize import resize_area
from recon.data.sensorium import SensoriumRecording
from recon.errors import InputError

Progress = Callable[[Sequence[int]], Iterable[int]]
"""Wrapper for the indices of a long loop, for example a progress bar."""

CODE_SIZE, REDUCED_SIZE = (8, 9), (9, 16)
CODE_STEP = 1.0
"""Minimum difference in grey levels that sets a bit; otherwise noise determines the hash of flat regions."""
CODE_DISTANCE = 10
"""Maximum Hamming distance (of 64 bits) between hashes of near duplicates; unrelated videos have 32 ± 4."""
GREY_LEVELS, SHARE = 1.0, 0.85
EXCERPT_FRAMES = 15
"""Minimum number of matching frames at one shift to compare two videos as excerpts (0.5 s at 30 Hz)."""
COMMON_FRAME = 32
"""Maximum number of videos that share a frame; more common frames (black, titles) are ignored."""


@dataclass(frozen=True)
class Signature:
    """Signature of a video for comparison: video hash, frame hashes `(T,)`, reduced frames `(T,9,16)`, content hash."""

    code: int
    frame_codes: Array
    reduced: Array
    content: str


Kind = Literal["exact", "near", "re-encoded", "shifted"]


@dataclass(frozen=True)
class Match:
    """Two videos with the same content: `second` starts `shift` frames into `first` (before it if negative)."""

    first: int
    second: int
    kind: Kind
    shift: int = 0


def signature(frames: Array) -> Signature:
    """Return the signature of a video `(T,H,W)` 0–255.

    The difference hash of a frame has 64 bits: whether each of 8×9 area means is brighter than its left neighbour. The
    video hash is the XOR over five evenly spaced frames, as in the folds of lRomul/sensorium.
    """
    codes = frame_codes(frames)
    five = np.linspace(0, len(frames) - 1, 5).round().astype(int)
    reduced = resize_area(frames, REDUCED_SIZE).astype(np.float16)
    return Signature(int(np.bitwise_xor.reduce(codes[five])), codes, reduced, content_id(frames))


def frame_codes(frames: Array) -> Array:
    """Return the 64-bit difference hash of every frame `(T,)`, uint64."""
    rises = np.diff(resize_area(frames, CODE_SIZE), axis=-1) > CODE_STEP
    return np.packbits(rises.reshape(len(frames), -1), axis=1).view(np.uint64)[:, 0]


def same_content(first: Signature, second: Signature, *, shift: int = 0) -> bool:
    """Return whether more than 85 % of the frames that two videos share at a shift agree within one grey level.

    Reduced frames are compared by RMS: the mean would miss a small bright object that moved, and the maximum would
    reject a noisy copy.
    """
    length = min(len(first.reduced) - shift, len(second.reduced))
    one = first.reduced[shift : shift + length].astype(np.float32)
    gap = np.sqrt(np.square(one - second.reduced[:length].astype(np.float32)).mean((1, 2)))
    return bool((gap <= GREY_LEVELS).mean() > SHARE)


def duplicate_groups(signatures: Sequence[Signature]) -> tuple[int, ...]:
    """Return a group label per video: the index of the first video with the same content (union–find)."""
    return joined(len(signatures), matches(signatures))


def matches(signatures: Sequence[Signature]) -> tuple[Match, ...]:
    """Return the pairs of equal or nearly equal videos and of excerpts; a minimal set that connects every group."""
    proposed = (*_equal(signatures), *_near(signatures), *_excerpts(signatures))
    return confirmed(len(signatures), proposed, lambda one: one if _agrees(signatures, one) else None)


def confirmed(
    count: int, proposed: Iterable[Match], check: Callable[[Match], Match | None], *, known: Sequence[Match] = ()
) -> tuple[Match, ...]:
    """Return the proposed pairs that `check` confirms, possibly changed; it skips pairs that are already connected."""
    parents = list(joined(count, known))
    found = []
    for one in proposed:
        match = None if _root(parents, one.first) == _root(parents, one.second) else check(one)
        if match is not None:
            _join(parents, match.first, match.second)
            found.append(match)
    return tuple(found)


def joined(count: int, found: Iterable[Match]) -> tuple[int, ...]:
    """Return for each of `count` videos the first video to which the pairs connect it.

    >>> joined(4, [Match(2, 3, "exact"), Match(1, 3, "near")])
    (0, 1, 1, 1)
    """
    parents = list(range(count))
    for match in found:
        _join(parents, match.first, match.second)
    return tuple(_root(parents, i) for i in range(count))


def split_by_content(
    groups: Sequence[int], fractions: Mapping[str, float], *, seed: int | None = None
) -> tuple[str, ...]:
    """Return a tier per video such that no group spans two tiers; the remainder of `fractions` is "train".

    With a seed, groups are drawn at random; without one, they are assigned by time, the latest to the last tier named.

    >>> split_by_content([0, 1, 2, 0, 4, 5, 6, 7, 8, 9], {"oracle": 0.1, "live_test_main": 0.2})[-3:]
    ('oracle', 'live_test_main', 'live_test_main')
    """
    if any(share < 0 for share in fractions.values()) or sum(fractions.values()) >= 1:
        raise InputError(f"split: expected fractions ≥ 0 of sum below 1, got {dict(fractions)}; leave some to train")
    members = {group: [i for i, g in enumerate(groups) if g == group] for group in dict.fromkeys(groups)}
    order = sorted(members, key=lambda group: members[group][0], reverse=True)
    if seed is not None:
        order = [int(group) for group in np.random.default_rng(seed).permutation(sorted(members))]
    tiers = [TRAIN] * len(groups)
    for tier, share in reversed(list(fractions.items())):
        for group in _take(order, members, round(share * len(groups)) if share else 0, at_least=share > 0):
            order.remove(group)
            for i in members[group]:
                tiers[i] = tier
    if not order:
        raise InputError(
            f"split: expected different videos for training and each of {list(fractions)}, got {len(members)}; "
            "record more, cut shorter trials, or ask for fewer tiers"
        )
    return tuple(tiers)


@dataclass(frozen=True)
class Leak:
    """A training trial whose video also occurs, exactly or nearly, in another tier."""

    trial: int
    other: int
    tier: str


def leaks(tiers: Sequence[str], groups: Sequence[int], trials: Sequence[int]) -> tuple[Leak, ...]:
    """Return every training trial whose group has trials of another tier, paired with one of them."""
    held_out = {group: (i, tier) for i, tier, group in zip(trials, tiers, groups, strict=True) if tier != TRAIN}
    return tuple(
        Leak(i, *held_out[group])
        for i, tier, group in zip(trials, tiers, groups, strict=True)
        if tier == TRAIN and group in held_out
    )


def check_split(recording: SensoriumRecording, *, progress: Progress = iter) -> tuple[Leak, ...]:
    """Return the training trials whose video occurs, exactly or nearly, in another tier; empty for a clean split."""
    trials = [i for i, tier in enumerate(recording.tiers) if tier != ABSENT]
    signatures = [signature(recording.frames(i)) for i in progress(trials)]
    return leaks([recording.tiers[i] for i in trials], duplicate_groups(signatures), trials)


def _take(order: Sequence[int], members: Mapping[int, list[int]], count: int, *, at_least: bool) -> list[int]:
    """Return groups in order up to `count` videos, skipping those that overshoot; the smallest if none fits."""
    taken: list[int] = []
    room = max(count, 1) if at_least else count
    for group in order:
        if len(members[group]) <= room:
            taken.append(group)
            room -= len(members[group])
    if at_least and not taken and order:
        taken = [min(order, key=lambda group: len(members[group]))]
    return taken


def _agrees(signatures: Sequence[Signature], match: Match) -> bool:
    first, second = signatures[match.first], signatures[match.second]
    return match.kind == "exact" or same_content(first, second, shift=match.shift)


def _equal(signatures: Sequence[Signature]) -> Iterator[Match]:
    """Yield pairs of a video and the first video with equal grey levels."""
    firsts: dict[str, int] = {}
    for i, item in enumerate(signatures):
        if firsts.setdefault(item.content, i) != i:
            yield Match(firsts[item.content], i, "exact")


def _near(signatures: Sequence[Signature]) -> Iterator[Match]:
    """Yield pairs of videos whose hashes differ in at most `CODE_DISTANCE` bits."""
    codes = np.array([s.code for s in signatures], dtype=np.uint64)
    for j in range(1, len(codes)):
        distance = np.bitwise_count(codes[:j] ^ codes[j])
        for i in np.flatnonzero(distance <= CODE_DISTANCE):
            yield Match(int(i), j, "near")


def _excerpts(signatures: Sequence[Signature]) -> Iterator[Match]:
    """Return pairs of videos with at least `EXCERPT_FRAMES` matching frame hashes at one shift."""
    votes: dict[tuple[int, int, int], int] = {}
    for places in _shared_frames(signatures):
        for a, (i, s) in enumerate(places):
            for j, t in places[a + 1 :]:
                key = (i, j, s - t) if s >= t else (j, i, t - s)
                votes[key] = votes.get(key, 0) + 1
    agreeing = (key for key, count in votes.items() if count >= EXCERPT_FRAMES)
    return (Match(i, j, "shifted" if shift else "near", shift) for i, j, shift in agreeing)


def _shared_frames(signatures: Sequence[Signature]) -> Iterable[list[tuple[int, int]]]:
    """Return the places (video, frame) of every nonzero frame hash that occurs in 2 to `COMMON_FRAME` videos."""
    places: dict[int, dict[int, int]] = {}
    for video, item in enumerate(signatures):
        for frame, code in enumerate(item.frame_codes.tolist()):
            if code:
                places.setdefault(code, {}).setdefault(video, frame)
    return (list(found.items()) for found in places.values() if 2 <= len(found) <= COMMON_FRAME)


def _root(parents: list[int], i: int) -> int:
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


def _join(parents: list[int], i: int, j: int) -> None:
    first, second = sorted((_root(parents, i), _root(parents, j)))
    parents[second] = first
