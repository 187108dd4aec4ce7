"""Self-contained page of a caption study: which captioners and which words predict which neurons."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from string import Template

from recon.analysis.language.low_level import LOW_LEVEL
from recon.analysis.language.rows import ALL, LEVEL
from recon.files import write_bytes
from recon.files.paths import user_path
from recon.report.cells import Row, grid, interval, number, percent, plain, section
from recon.report.figures import Bar, bars
from recon.report.language_maps import clip_map, neuron_map
from recon.report.language_study import Part, Study
from recon.report.language_words import captions_found, concepts, pictures, words

PARTITION = {"unique_text": "words alone", "shared": "shared", "unique_low_level": "low-level alone"}


def write_language_page(run: Path) -> Path:
    """Write `language.html` next to the tables of a study and return its path; the page needs no network.

    Raises InputError if the study does not exist or is not finished.
    """
    study = Study.read(user_path(run))
    by_words = words, concepts, neuron_map, clip_map, captions_found, pictures
    parts = [part for make in (captioners, areas, differences, partitions, *by_words) for part in make(study)]
    assets = resources.files("recon.report") / "assets"
    page = Template((assets / "language.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(study.run.resolve().name),
        style=(assets / "page.css").read_text(encoding="utf-8"),
        lead=html.escape(_lead(study)),
        parts="\n".join(section(*part) for part in parts),
        summary=html.escape(json.dumps(study.about, indent=1, ensure_ascii=False)),
    )
    path = study.run / "language.html"
    write_bytes(path, page.encode())
    return path


def _lead(study: Study) -> str:
    about = study.about
    return (
        f"{len(study.names)} captioners described the movies of {about['recording']}. Ridge regression on embeddings "
        f"of their captions, fitted on {about['learnt']} trials, predicts the responses of {about['neurons']} neurons "
        f"to {about['asked']} held-out clips."
    )


def captioners(study: Study) -> Iterator[Part]:
    """Compare captioners by mean r, with intervals over clips."""
    whole = [row for row in study.table("captioners") if row["area"] == ALL]
    entries = [
        Bar(row["captioner"], number(row, "r"), number(row, "r_low"), number(row, "r_high"), study.colour(row))
        for row in whole
    ]
    best = max((r for r in whole if r["captioner"] != LOW_LEVEL), key=lambda row: number(row, "r", -math.inf))
    says = (
        f"“{best['captioner']}” predicts best: r {interval(best, 'r')}; it predicts {percent(best, 'told')} of the "
        f"neurons above chance (q < {LEVEL:g}, captions permuted across clips). n = {best['clips']} clips, "
        f"{best['neurons']} neurons."
    )
    axis = "Pearson's r on held-out clips, mean over neurons, 95 % over clips"
    heads = ("predictor", "r", "share of ceiling", "neurons predicted", "best for")
    body = [
        (r["captioner"], interval(r, "r"), plain(r, "normalised"), percent(r, "told"), interval(r, "wins"))
        for r in whole
    ]
    figure = bars(entries, axis=axis, label="r by captioner")
    yield "Whose words predict the neurons", says, figure + grid(heads, body)


def areas(study: Study) -> Iterator[Part]:
    """Compare captioners by cortical area, if there are several areas."""
    rows = study.table("captioners")
    names = list(dict.fromkeys(row["captioner"] for row in rows))
    places = list(dict.fromkeys(row["area"] for row in rows if row["area"] != ALL))
    if places:
        found = {(row["captioner"], row["area"]): row for row in rows}
        heads = ("predictor", *(f"{area} ({found[names[0], area]['neurons']})" for area in places))
        body = [(name, *(interval(found[name, area], "r") for area in places)) for name in names]
        says = "Mean r by area, with 95 % intervals over clips; numbers of neurons in brackets."
        yield "By area", says, grid(heads, body)


def differences(study: Study) -> Iterator[Part]:
    """Compare all pairs of captioners."""
    rows = [row for row in study.table("differences") if row["area"] == ALL]
    if not rows:
        return
    sure = [row for row in rows if number(row, "p_holm") < LEVEL]
    says = (
        f"{len(sure)} of {len(rows)} pairs of captioners differ (sign flips over clips, Holm's correction). "
        f"n = {study.about['asked']} clips."
    )
    body = [
        (f"{r['first']} − {r['second']}", interval(r, "difference", "low", "high"), plain(r, "p_holm", ".4f"))
        for r in rows
    ]
    yield "Differences between captioners", says, grid(("pair", "difference of mean r", "p, corrected"), body)


def partitions(study: Study) -> Iterator[Part]:
    """Partition variance between words and low-level features."""
    whole = [row for row in study.table("partitions") if row["area"] == ALL]
    row = next((r for r in whole if r["captioner"] == study.favourite), None)
    if row is None:
        return
    sure = number(row, "unique_text_low") > 0
    says = (
        f"Beyond motion energy and luminance, the words of “{study.favourite}” explain "
        f"{'additional' if sure else 'no certain additional'} variance: r² {interval(row, 'unique_text')}; "
        f"low-level features alone: {interval(row, 'unique_low_level')}. n = {study.about['asked']} clips, "
        f"{row['neurons']} neurons."
    )
    entries = [
        Bar(f"{r['captioner']}: {name}", number(r, key), number(r, f"{key}_low"), number(r, f"{key}_high"), colour)
        for r in whole
        for colour, (key, name) in enumerate(PARTITION.items())
    ]
    axis = "r² on held-out clips, mean over neurons, 95 % over clips"
    own = [r for r in study.table("partitions") if r["captioner"] == study.favourite and r["area"] != ALL]
    body = [(f"{r['area']} ({r['neurons']})", *(_share(r, key) for key in PARTITION)) for r in own]
    by_area = grid((f"area, words of “{study.favourite}”", *PARTITION.values()), body) if own else ""
    yield "Words or the picture's statistics", says, bars(entries, axis=axis, label="variance partition") + by_area


def _share(row: Row, key: str) -> str:
    return interval(row, key) if f"{key}_low" in row else plain(row, key)
