"""Sections of a caption study: maps of neurons and clips, and clusters of neurons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any

from recon.report.cells import Row, grid, number
from recon.report.figures import Dot, legend, scatter, shade
from recon.report.language_study import Part, Study

AXES = ("UMAP 1", "UMAP 2")
Colour = Callable[[Row], int | str]


def neuron_map(study: Study) -> Iterator[Part]:
    """Map neurons by their text weights, coloured by captioner, cluster, reliability and area."""
    points = study.table("map_neurons")
    if not points or "neurons_map" not in study.about:
        return
    clusters, trust = study.about["clusters"], study.about["neurons_map"]
    says = (
        f"Neurons predicted by “{study.favourite}”; neighbours have similar text weights. {_trusted(trust)} "
        f"Clusters of different seeds agree by {clusters['agreement']:.2f} (adjusted Rand index); their silhouette is "
        f"{clusters['silhouette']:.2f} (near 0: no separate clusters). n = {trust['points']} neurons."
    )
    panels = "".join(_panel(points, title, *how) for title, how in _colours(study).items())
    note = "Words preferred more by a cluster's neurons than by others, from the same trials: effect sizes, not tests."
    body = [
        (cluster, own[0]["neurons"], ", ".join(row["word"] for row in own if number(row, "difference") > 0))
        for cluster, rows in groupby(study.table("clusters"), key=lambda row: row["cluster"])
        if (own := list(rows))
    ]
    table = f"<p class='hint'>{note}</p>{grid(('cluster', 'neurons', 'words'), body)}"
    yield "Map of neurons", says, f"<div class='panels'>{panels}</div>{table}"


def _colours(study: Study) -> dict[str, tuple[Colour, list[str]]]:
    """Return, per panel, the function from points to colours and the names of the colours."""
    known = {row["unit"]: row for row in study.table("neurons") if row["captioner"] == study.favourite}
    most = max((number(row, "ceiling", 0.0) for row in known.values()), default=0.0) or 1.0
    places = sorted({row["area"] for row in known.values()})
    clusters = sorted({int(row["cluster"]) for row in study.table("map_neurons")})
    panels: dict[str, tuple[Colour, list[str]]] = {
        "best captioner": (lambda point: study.names.index(known[point["unit"]]["best"]), study.names),
        "cluster": (lambda point: int(point["cluster"]), [f"cluster {cluster}" for cluster in clusters]),
        "reliability (response ceiling)": (lambda point: shade(number(known[point["unit"]], "ceiling") / most), []),
    }
    if len(places) > 1:
        panels["area"] = (lambda point: places.index(known[point["unit"]]["area"]), places)
    return panels


def _panel(points: list[dict[str, str]], title: str, colour: Colour, names: list[str]) -> str:
    dots = [Dot(number(p, "x"), number(p, "y"), f"neuron {p['unit']}", colour(p)) for p in points]
    drawn = scatter(dots, axes=AXES, label=f"neurons by {title}") + (legend(names) if names else "")
    return f"<figure class='panel'><figcaption>{title}</figcaption>{drawn}</figure>"


def clip_map(study: Study) -> Iterator[Part]:
    """Map clips by the mean embedding of their captions."""
    points = study.table("map_clips")
    if not points or "clips_map" not in study.about:
        return
    trust = study.about["clips_map"]
    dots = [Dot(number(p, "x"), number(p, "y"), p["clip"], int(p["asked"] == "True")) for p in points]
    says = (
        f"Clips by the mean embedding of their captions by “{study.favourite}”. {_trusted(trust)} "
        f"n = {trust['points']} clips."
    )
    figure = scatter(dots, axes=AXES, label="clips by embedding", size=420)
    yield "Map of clips", says, figure + legend(("training", "held out"))


def _trusted(trust: Mapping[str, Any]) -> str:
    return (
        f"{trust['kept']:.0%} of a point's nearest neighbours are the same on maps of other seeds (random maps: "
        f"{trust['chance']:.0%}); trustworthiness {trust['trustworthiness']:.2f}."
    )
