"""Groups of trials with the same content, within or across recordings, and the file that stores them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recon.data.duplicates.find import Kind, Match, Progress, Signature, joined, matches
from recon.data.duplicates.shifted import copies
from recon.data.layout import ABSENT, GROUPS_FILE
from recon.data.sensorium import SensoriumRecording
from recon.errors import InputError

ORDER: tuple[Kind, ...] = ("exact", "near", "re-encoded", "shifted")
"""Kinds from the strongest evidence to the weakest: "shifted" is recognised by motion alone."""


@dataclass(frozen=True)
class Member:
    """A video of a group: kind of match with the group's first video, and the frame of the first at which it starts."""

    video: int
    kind: Kind
    shift: int

    def __str__(self) -> str:
        return f"shifted by {self.shift} frames" if self.shift else self.kind


@dataclass(frozen=True)
class Group:
    """Videos with the same content: the first, and the others with their kinds of match."""

    first: int
    others: tuple[Member, ...]


def find_groups(signatures: Sequence[Signature], *, progress: Progress = iter) -> tuple[Group, ...]:
    """Return all content groups (equal, nearly equal, re-encoded or time-shifted videos), groups of one included."""
    known = matches(signatures)
    found = (*known, *copies(signatures, known=known, progress=progress))
    pairs: dict[int, list[Match]] = {}
    for match in found:
        pairs.setdefault(match.first, []).append(match)
        pairs.setdefault(match.second, []).append(match)
    labels = joined(len(signatures), found)
    return tuple(Group(first, _members(first, pairs)) for first in sorted(set(labels)))


def group_file(
    groups: Sequence[Group], signatures: Sequence[Signature], trials: Sequence[int | None]
) -> dict[str, Any]:
    """Return the content of a recording's group file, as plain values.

    `trials` holds for each trial of the recording the index of its video, or None. In the file, `groups` holds one name
    per trial, equal for equal content in all compared recordings and empty without a video; `kinds` and `shifts`
    describe the match with the first of the group.
    """
    first = {group.first: Member(group.first, "exact", 0) for group in groups}
    members = first | {member.video: member for group in groups for member in group.others}
    names = {member: signatures[group.first].content for group in groups for member in _videos(group)}
    shown = [None if video is None else members[video] for video in trials]
    return {
        "groups": ["" if one is None else names[one.video] for one in shown],
        "kinds": ["" if one is None else "first" if one.video in first else one.kind for one in shown],
        "shifts": [0 if one is None else one.shift for one in shown],
    }


def trial_groups(recording: SensoriumRecording) -> tuple[int, ...]:
    """Return for every trial the first trial with the same content, from the group file; empty without that file.

    `recon data duplicates --write` writes the file. `split_by_content` and `leaks` take these labels. A trial without a
    video is its own group.
    """
    file = recording.path / GROUPS_FILE
    if not file.exists():
        return ()
    try:
        names = [str(name) for name in json.loads(file.read_text("utf-8"))["groups"]]
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{file}: expected groups in JSON, got {error!r}; run `recon data duplicates --write` again"
        ) from error
    named = [bool(name) for name in names]
    if named != [tier != ABSENT for tier in recording.tiers]:
        raise InputError(
            f"{file}: expected a group for each of {len(recording.tiers)} trials with a video, got {sum(named)} of "
            f"{len(names)}; the trials have changed: run `recon data duplicates --write` again"
        )
    firsts: dict[str, int] = {}
    return tuple(firsts.setdefault(name, i) if name else i for i, name in enumerate(names))


def _videos(group: Group) -> tuple[int, ...]:
    return (group.first, *(member.video for member in group.others))


def _members(first: int, pairs: Mapping[int, Sequence[Match]]) -> tuple[Member, ...]:
    """Follow the pairs from the first video of a group and add up shifts; the weakest match on the way counts."""
    reached = {first: Member(first, "exact", 0)}
    waiting = [first]
    while waiting:
        here = reached[waiting.pop()]
        for match in pairs.get(here.video, ()):
            ahead = match.first == here.video
            video, shift = (match.second, match.shift) if ahead else (match.first, -match.shift)
            if video not in reached:
                reached[video] = Member(video, _weaker(here.kind, match.kind, here.shift + shift), here.shift + shift)
                waiting.append(video)
    return tuple(reached[video] for video in sorted(reached) if video != first)


def _weaker(first: Kind, second: Kind, shift: int) -> Kind:
    """Return the kind of a match through another video; shifts that cancel out leave a re-encoded copy."""
    if shift:
        return "shifted"
    return min(max(first, second, key=ORDER.index), "re-encoded", key=ORDER.index)
