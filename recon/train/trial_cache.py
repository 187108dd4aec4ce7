"""Cache of training clips: trials of a recording, read on demand and kept while memory allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from recon.encoders.training.clips import TrainingClip
from recon.types import Recording, Trial

GIB = 2**30


@dataclass
class Room:
    """Memory of the cache in bytes, shared by all recordings; `full` is True once a trial did not fit."""

    left: float
    full: bool = False


class KeptClips(Sequence[TrainingClip]):
    """Trials of a recording as clips, read on first access and cached while there is room."""

    def __init__(self, recording: Recording, indices: Sequence[int], room: Room) -> None:
        self.recording, self.indices, self.room = recording, indices, room
        self.kept: dict[int, TrainingClip] = {}

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, place: int) -> TrainingClip: ...

    @overload
    def __getitem__(self, place: slice) -> KeptClips: ...

    def __getitem__(self, place: int | slice) -> TrainingClip | KeptClips:
        if isinstance(place, slice):
            return KeptClips(self.recording, self.indices[place], self.room)
        index = self.indices[place]
        return self.kept[index] if index in self.kept else self._read(index)

    def only(self, kept: Sequence[bool]) -> KeptClips:
        """Return the trials for which `kept` is True; what is cached of them stays so."""
        indices = [index for index, keep in zip(self.indices, kept, strict=True) if keep]
        chosen = KeptClips(self.recording, indices, self.room)
        chosen.kept = {index: self.kept[index] for index in chosen.indices if index in self.kept}
        return chosen

    def length(self, place: int) -> int:
        """Return the number of frames of a trial."""
        return self.recording.length(self.indices[place])

    def part(self, place: int, first: int, end: int) -> TrainingClip:
        """Return frames [first, end) of a trial; once the cache is full, only these frames are read from disk."""
        index = self.indices[place]
        if self.room.full and index not in self.kept:
            return clip_of(self.recording.part(index, first, end))
        return self[place].cut(first, end)

    def _read(self, index: int) -> TrainingClip:
        clip = clip_of(self.recording.trial(index))
        size = sum(part.nbytes for part in clip if part is not None)
        if size > self.room.left:
            self.room.full = True
        else:
            self.room.left -= size
            self.kept[index] = clip
        return clip


def clip_of(trial: Trial) -> TrainingClip:
    """Return a trial as a training clip."""
    return TrainingClip(trial.movie, trial.responses, trial.behavior)


def watching(recording: Recording, count: int) -> tuple[int, ...]:
    """Return up to `count` oracle trials that monitor the training, distinct contents first."""
    trials = recording.trials("oracle")
    if len(trials) <= count:
        return trials
    # Evaluated late: without named contents, `video_ids` reads all movies of the recording.
    ids = recording.video_ids
    return tuple(first_showings([(index, ids[index]) for index in trials], count))


def first_showings(trials: Sequence[tuple[int, str]], count: int) -> list[int]:
    """Return up to `count` of the trials (index, content), distinct contents first; repeats add less information.

    >>> first_showings([(3, "a"), (4, "a"), (5, "b")], 2)
    [3, 5]
    """
    seen: dict[str, int] = {}
    order = []
    for index, content in trials:
        seen[content] = seen.get(content, -1) + 1
        order.append((seen[content], index))
    return sorted(index for _, index in sorted(order)[:count])
