"""What a sentence is worth: data of the page's section, and lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from recon.analysis.worth.rows import NONE, TITLES
from recon.analysis.worth.study import WORDS, WordResults
from recon.files import read_json
from recon.metrics import METRICS
from recon.report.ablation import shown, title_of

Entry = Mapping[str, Any]
"""A row of words.json: a score of one text with one population."""


def words_of(run: Path, labels: Sequence[str]) -> dict[str, Any] | None:
    """Return the data of the section; None if the run is no study of texts or lacks rows that words.json refers to."""
    path = run / WORDS
    if not path.exists():
        return None
    found: dict[str, Any] = read_json(path)
    if not {entry["row"] for one in found["findings"] for entry in one["rows"]} <= set(labels):
        return None
    texts = list(found["settings"]["texts"])
    return {
        "texts": [{"key": text, "title": TITLES[text].capitalize()} for text in texts],
        "none": NONE,
        "most": max(found["settings"]["neurons"]),
        "warnings": found["warnings"],
        "scores": [_of_score(one, texts) for one in found["findings"]],
    }


def lines(done: WordResults) -> Iterator[str]:
    """Yield the lines that summarise a study of texts."""
    for one in done.found:
        yield f"by {one.metric}:"
        yield from (f"  {said}" for said in (*one.sentences, *one.harm))
    yield from (f"WARNING: {warning}" for warning in done.warnings)


def _of_score(one: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    rows: list[Entry] = one["rows"]
    by_text = {text: [entry for entry in rows if entry["text"] == text] for text in texts}
    return {
        "key": one["metric"],
        "title": title_of(one["metric"]),
        "digits": METRICS[one["metric"]].digits if one["metric"] in METRICS else 3,
        "sentences": one["sentences"],
        "harm": one["harm"],
        "curves": {text: [_point(entry) for entry in own if _is_number(entry)] for text, own in by_text.items()},
        "rows": [_row(entries, texts) for entries in zip(*by_text.values(), strict=True)],
    }


def _row(entries: Sequence[Entry], texts: Sequence[str]) -> dict[str, Any]:
    """Return a row of the table: a population without text, and with each of the other texts."""
    none = entries[list(texts).index(NONE)]
    told = [_cell(entry) for entry in entries if entry["text"] != NONE]
    return {"title": _title(none), "none": _point(none)[1:], "cells": told}


def _is_number(entry: Entry) -> bool:
    return entry["coverage"] is None


def _point(entry: Entry) -> list[float | None]:
    return [entry["neurons"], entry["mean"], entry["low"], entry["high"]]


def _title(entry: Entry) -> str:
    """Return the population of a row in words."""
    if _is_number(entry):
        return f"{entry['neurons']} neurons"
    return f"{100 * entry['coverage']:g} % of the screen, {entry['neurons']} neurons"


def _cell(entry: Entry) -> dict[str, Any]:
    difference = {name: entry[f"difference{end}"] for name, end in (("value", ""), ("low", "_low"), ("high", "_high"))}
    about = {"clips": entry["clips"], "reason": entry["reason"] or "no clip has both scores"}
    worth = None if entry.get("worth") is None else [entry["worth"], entry["worth_low"], entry["worth_high"]]
    return {"difference": shown({**difference, **about}), "worth": worth}
