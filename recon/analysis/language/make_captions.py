"""`recon captions make`: captions of consecutive segments of a recording's movies by an image-to-text model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from recon.data.caption_tables import COLUMNS, Said, read_captions
from recon.data.layout import ABSENT
from recon.errors import InputError
from recon.files import write_table
from recon.types import Recording

Captioner = Callable[[list[Tensor]], list[str]]

WORDLESS = "nothing"
"""Replaces an empty caption; a stop word, hence ignored by every analysis of words."""


@dataclass(frozen=True)
class Stretches:
    """Segmentation of movies: segments of `every` frames, `frames` of each captioned, `batch` segments at a time."""

    every: int = 30
    frames: int = 1
    batch: int = 8

    def __post_init__(self) -> None:
        if min(self.every, self.frames, self.batch) < 1 or self.frames > self.every:
            raise InputError(
                f"captions: expected stretches of at least {self.frames} frame(s) and a batch of at least 1, got every "
                f"{self.every}, frames {self.frames} and batch {self.batch}; correct them"
            )

    def of(self, frames: int) -> list[tuple[int, int]]:
        """Return the segments [first, end) of a movie.

        >>> Stretches(every=30).of(70)
        [(0, 30), (30, 60), (60, 70)]
        """
        return [(first, min(first + self.every, frames)) for first in range(0, frames, self.every)]

    def looked_at(self, first: int, end: int) -> Tensor:
        """Return the frames of a segment shown to the captioner: the centres of `frames` equal parts.

        >>> Stretches(every=30).looked_at(30, 60).tolist(), Stretches(every=8, frames=2).looked_at(0, 8).tolist()
        ([45], [2, 6])
        """
        parts = (torch.arange(self.frames) + 0.5) / self.frames
        return (first + parts * (end - first)).floor().long()


def make_captions(recording: Recording, captioner: Captioner, table: Path, *, name: str, stretches: Stretches) -> int:
    """Caption every segment of every trial into a CSV table; return the number of captions made.

    The table is rewritten after every trial, so that an interrupted run resumes; captions by other captioners are kept.
    Repeats of a clip are captioned once. Raises InputError for a table that is not CSV.
    """
    if table.suffix != ".csv":
        raise InputError(f"{table}: expected a table that ends with .csv, got {table.suffix or 'no suffix'}; rename it")
    known = read_captions(table, recording) if table.exists() else {}
    own = known.setdefault(name, [])
    done, spoken = {one.trial for one in own}, {recording.video_ids[one.trial]: one.trial for one in own}
    missing = [t for t, tier in enumerate(recording.tiers) if tier != ABSENT and t not in done]
    made = 0
    for trial in tqdm(missing, desc=f"captions by {name}", unit="trial", leave=False, disable=None):
        like = spoken.setdefault(recording.video_ids[trial], trial)
        if like != trial:
            new = [one._replace(trial=trial) for one in own if one.trial == like]
        else:
            new = [Said(trial, *one) for one in _captions(recording.trial(trial).movie[0], captioner, name, stretches)]
            made += len(new)
        own += new
        rows = [one._asdict() for captions in known.values() for one in sorted(captions)]
        write_table(table, rows, COLUMNS)
    return made


def _captions(
    movie: Tensor, captioner: Captioner, name: str, stretches: Stretches
) -> Iterator[tuple[int, int, str, str]]:
    spans = stretches.of(len(movie))
    for start in range(0, len(spans), stretches.batch):
        some = spans[start : start + stretches.batch]
        texts = captioner([movie[stretches.looked_at(*span)] for span in some])
        for span, text in zip(some, texts, strict=True):
            yield *span, name, text or WORDLESS
