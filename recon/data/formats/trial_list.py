"""Lists of trials for import: which movie each trial showed, where it begins in the responses, and its tier."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recon.data.layout import ABSENT, SHORT_TIERS, TIERS
from recon.errors import InputError, did_you_mean
from recon.files.paths import user_path

COLUMNS = ("movie", "start", "tier")


@dataclass(frozen=True)
class ListedTrial:
    """A trial: its movie by number or name, its first frame in continuous responses, and its tier ("" if open)."""

    movie: int | str
    start: int | None = None
    tier: str = ""


Trials = str | Path | Sequence[int | str | ListedTrial]
"""A CSV file with the columns movie, start and tier, of which the last two are optional; or a list in Python."""


@dataclass(frozen=True)
class TrialList:
    """All trials, checked: the number of the movie of each, and its start and full tier, which are empty if open."""

    movies: tuple[int, ...]
    starts: tuple[int, ...] = ()
    tiers: tuple[str, ...] = ()


def listed_trials(trials: Trials | None, tiers: Sequence[str] | None, *, labels: Sequence[str]) -> TrialList:
    """Return the checked list of trials; without a list, each movie was shown once, in order."""
    entries = range(len(labels)) if trials is None else trials
    rows = read_trials(user_path(entries)) if isinstance(entries, str | Path) else [_row(entry) for entry in entries]
    if not rows:
        raise InputError("trials: expected at least one, got none; list the movie of each trial")
    if tiers is not None:
        rows = _with_tiers(rows, tiers)
    starts = [row.start for row in rows if row.start is not None]
    found = [known_tier(row.tier, trial) for trial, row in enumerate(rows) if row.tier]
    for name, given in (("start", starts), ("tier", found)):
        if len(given) not in (0, len(rows)):
            raise InputError(f"trials: expected a {name} for all or none, got {len(given)} of {len(rows)}; complete it")
    if starts and min(starts) < 0:
        raise InputError(f"trials: expected starts of 0 or more frames, got {min(starts)}; correct them")
    movies = tuple(_number(row.movie, labels, trial) for trial, row in enumerate(rows))
    return TrialList(movies, tuple(starts), tuple(found))


def read_trials(path: Path) -> list[ListedTrial]:
    """Return the trials of a CSV file; raises InputError with the line that is wrong."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = list(reader.fieldnames or ())
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected a CSV file with the columns movie, start, tier, got {error}") from error
    if "movie" not in columns or set(columns) - set(COLUMNS):
        raise InputError(
            f"{path}: expected the column movie, and perhaps start and tier, got {', '.join(columns) or 'none'}; "
            "name them in the first line"
        )
    return [_parsed(line, f"{path}, line {number}") for number, line in enumerate(lines, 2)]


def known_tier(tier: str, trial: int) -> str:
    """Return the full name of a tier; "validation" and "test" are short for the field's names."""
    full = SHORT_TIERS.get(tier, tier)
    if full and (full not in TIERS or full == ABSENT):
        names = ["train", *SHORT_TIERS, *TIERS[3:-1]]
        raise InputError(
            f"tier of trial {trial}: expected one of {', '.join(names)}, got {tier!r}{did_you_mean(tier, names)}; "
            "correct it"
        )
    return full


def _parsed(line: dict[str, str | None], where: str) -> ListedTrial:
    movie, start, tier = ((line.get(column) or "").strip() for column in COLUMNS)
    if not movie or (start and not start.isdecimal()):
        raise InputError(
            f"{where}: expected a movie, and perhaps a start of 0 or more frames, got {movie!r} and {start!r}; mend it"
        )
    return ListedTrial(movie, int(start) if start else None, tier)


def _row(entry: int | str | ListedTrial) -> ListedTrial:
    if isinstance(entry, ListedTrial | str):
        return entry if isinstance(entry, ListedTrial) else ListedTrial(entry)
    return ListedTrial(int(entry))


def _with_tiers(rows: Sequence[ListedTrial], tiers: Sequence[str]) -> list[ListedTrial]:
    if len(tiers) != len(rows):
        raise InputError(f"tiers: expected {len(rows)}, one for each trial, got {len(tiers)}; complete them")
    if any(row.tier for row in rows):
        raise InputError("tiers: expected them once, got them in the list of trials, too; leave one out")
    return [replace(row, tier=tier) for row, tier in zip(rows, tiers, strict=True)]


def _number(movie: int | str, labels: Sequence[str], trial: int) -> int:
    """Return the number of a movie that is named by number, file name or file name without suffix.

    A text of digits is a number, unless a file has it as its name: then both must mean the same movie.
    """
    if isinstance(movie, int):
        if not 0 <= movie < len(labels):
            raise InputError(f"movie of trial {trial}: expected 0–{len(labels) - 1}, got {movie}; correct the list")
        return movie
    name = movie.rpartition("/")[2]
    found = [i for i, label in enumerate(labels) if name in (label, label.rpartition(".")[0])]
    if movie.isdecimal() and found not in ([], [int(movie)]):
        raise InputError(
            f"movie of trial {trial}: expected one movie, got {movie}, which is the name of {labels[found[0]]} and the "
            f"number of {labels[int(movie)] if int(movie) < len(labels) else 'none'}; write the whole file name"
        )
    if movie.isdecimal() and not found:
        return _number(int(movie), labels, trial)
    if len(found) != 1:
        raise InputError(
            f"movie of trial {trial}: expected one of {', '.join(labels[:8])}{', …' if len(labels) > 8 else ''}, got "
            f"{movie!r}{did_you_mean(name, labels)}, which names {len(found)} of them; correct the list"
        )
    return found[0]
