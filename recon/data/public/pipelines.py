"""Catalogue of pretrained diffusion pipelines for the prior `pretrained`: documented facts, from `pipelines.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from recon.errors import InputError

NOT_RUN = "not run here"
UNKNOWN = "not documented"
FACTS = ("scheduler", "prediction", "size", "frames", "memory", "licence")
Line = tuple[str, str, str]
HEADS: tuple[Line, Line] = (("hub id", "class", "scheduler, prediction"), ("", "size; frames", "memory; licence"))
"""Titles of the table, whose rows take two lines."""


@dataclass(frozen=True)
class Documented:
    """A fact in the words of a page, and the page's address."""

    said: str
    page: str


@dataclass(frozen=True)
class PublicPipeline:
    """One pipeline on the model hub, of a class that `recon.priors.pipelines` loads.

    `kind` is that class and `makes` "pictures" or "movies". A fact is None where no page was found that states it.
    """

    hub: str
    about: str
    makes: str
    kind: str
    remark: str
    scheduler: Documented | None = None
    prediction: Documented | None = None
    size: Documented | None = None
    frames: Documented | None = None
    memory: Documented | None = None
    licence: Documented | None = None


@cache
def public_pipelines() -> dict[str, PublicPipeline]:
    """Return all pipelines by hub id."""
    text = files("recon.data").joinpath("pipelines.json").read_text(encoding="utf-8")
    known = [_pipeline(entry) for entry in json.loads(text)["pipelines"]]
    return {item.hub: item for item in known}


def pipeline_listing() -> Iterator[str]:
    """Yield the lines of a table of all pipelines, two lines each and a remark."""
    yield "Pretrained pipelines on the model hub, for the prior `pretrained` (source: FOLDER or hub id)"
    yield "  facts: as documented, each with its page in recon/data/pipelines.json; nothing is known from running them"
    known = [(*_cells(item), item.remark) for item in public_pipelines().values()]
    lines = [*HEADS, *(line for first, second, _ in known for line in (first, second))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, second, remark in ((*HEADS, ""), *known):
        for line in (first, second):
            yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        if remark:
            yield f"    ({remark})"


def check_not_on_hub(name: str) -> None:
    """Raise InputError for the id of a pipeline, which the model hub's own client downloads."""
    if name in public_pipelines():
        raise InputError(
            f"name: expected a public file, got the pipeline {name}; run `hf download {name} --local-dir FOLDER` and "
            "name FOLDER, or the id itself, as source of the prior `pretrained`"
        )


def _pipeline(entry: Mapping[str, Any]) -> PublicPipeline:
    facts = {name: Documented(**entry[name]) for name in FACTS if entry[name] is not None}
    return PublicPipeline(entry["hub"], entry["about"], entry["makes"], entry["class"], entry["remark"], **facts)


def _cells(item: PublicPipeline) -> tuple[Line, Line]:
    shown = [item.size, *([item.frames] if item.makes == "movies" else [])]
    return (
        (item.hub, item.kind, f"{_told(item.scheduler)}, {_told(item.prediction)}"),
        (
            f"  {item.about}: {item.makes}, {NOT_RUN}",
            "; ".join(map(_told, shown)),
            f"{_told(item.memory)}; {_told(item.licence)}",
        ),
    )


def _told(fact: Documented | None) -> str:
    return UNKNOWN if fact is None else fact.said
