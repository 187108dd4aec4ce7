"""Sections of a caption study: preferred words of neurons, and captions decoded from activity."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from math import factorial

from recon.analysis.language.rows import LEVEL
from recon.metrics import METRICS
from recon.metrics.metric import heading
from recon.report.cells import Row, grid, interval, number, percent, plain
from recon.report.figures import Bar, bars
from recon.report.language_study import Part, Study

NEURONS_SHOWN, WORDS_SHOWN, TEXTS_SHOWN, SET = 6, 12, 8, 100


def words(study: Study) -> Iterator[Part]:
    """Show the preferred words of the population and of the best-predicted neurons."""
    rows = study.table("words")
    says, figures = _preferred(study, rows, "words")
    yield "Words", says, figures + "".join(_neurons(study, rows))


def concepts(study: Study) -> Iterator[Part]:
    """Show the preferred groups of words of the population, if the study defines any."""
    rows = study.table("concepts")
    if rows:
        yield "Concepts", *_preferred(study, rows, "concepts")


def _preferred(study: Study, rows: Sequence[Row], name: str) -> tuple[str, str]:
    sure = [row for row in rows if number(row, "q") < LEVEL and number(row, "gain") > 0]
    says = (
        f"For {len({row['unit'] for row in sure})} of {study.about['neurons']} neurons, {name} of “{study.favourite}” "
        f"predict held-out trials better than equally frequent {name} (q < {LEVEL:g}; no stop words). "
        f"n = {study.about['learnt']} trials."
    )
    figures = ""
    for colour, (title, sign) in enumerate({"Most often preferred": 1, "Most often avoided": -1}.items()):
        counts = Counter(row["word"] for row in sure if number(row, "sign") == sign).most_common(WORDS_SHOWN)
        if counts:
            entries = [Bar(word, float(count), colour=colour, form=".0f") for word, count in counts]
            figures += f"<h3>{title}</h3>{bars(entries, axis='neurons', label=title)}"
    return says, figures


def _neurons(study: Study, rows: Sequence[Row]) -> Iterator[str]:
    predicted = [
        row for row in study.table("neurons") if row["captioner"] == study.favourite and number(row, "q") < LEVEL
    ]
    by_unit = {unit: list(own) for unit, own in groupby(rows, key=lambda row: row["unit"])}
    for row in sorted(predicted, key=lambda row: -number(row, "r", -1.0))[:NEURONS_SHOWN]:
        helping = [word for word in by_unit.get(row["unit"], ()) if number(word, "gain") > 0]
        strongest = sorted(helping, key=lambda word: -number(word, "gain"))[:WORDS_SHOWN]
        values = sorted(((number(w, "gain") * number(w, "sign"), w["word"]) for w in strongest), reverse=True)
        if values:
            entries = [Bar(word, value, colour=int(value < 0)) for value, word in values]
            axis = "fraction of variance added by a word on held-out trials, with the sign of its effect"
            yield f"<h3>Neuron {html.escape(row['unit'])}, r = {plain(row, 'r')}</h3>"
            yield bars(entries, axis=axis, label=f"words of neuron {row['unit']}")


def pictures(study: Study) -> Iterator[Part]:
    """Relate captioners' predictions of neurons to the quality of their reconstructions, with and without activity."""
    relations = study.table("relations")
    if not relations:
        return
    captioners, clips = int(relations[0]["captioners"]), relations[0]["clips"]
    says = (
        f"How well {captioners} captioners predict neurons, against how good their pictures are. Intervals are 95 % "
        f"over n = {clips} clips and describe these captioners; p permutes captioners in the rank correlation; with "
        f"{captioners} of them is at least {2 / factorial(captioners):.2g}."
    )
    heads = ("told", "score", "r", "rank correlation", "p")
    body = [
        (row["told"], _scored(row["score"]), interval(row, "r"), interval(row, "rank_r"), plain(row, "p"))
        for row in relations
    ]
    figures = grid(heads, body)
    for (told, score), own in groupby(study.table("pictures"), key=lambda row: (row["told"], row["score"])):
        entries = [
            Bar(r["captioner"], number(r, "value"), number(r, "value_low"), number(r, "value_high"), study.colour(r))
            for r in own
        ]
        title = f"{_scored(score)}, {told}"
        figures += f"<h3>{html.escape(title)}</h3>" + bars(
            entries, axis=f"{title}; of clips, 95 % over clips", label=title
        )
    yield "Does better language give better pictures?", says, figures


def _scored(score: str) -> str:
    """Return the title of a score, and its direction where a lower one is better."""
    metric = METRICS.get(score)
    if metric is None:
        return score.replace("_", " ")
    return heading(metric.title) + ("" if metric.higher else " (lower is better)")


def captions_found(study: Study) -> Iterator[Part]:
    """Show how often the right caption is identified from activity, with examples from best to worst."""
    rows = study.table("reading")
    if not rows:
        return
    size = max((int(row["candidates"]) for row in rows if int(row["candidates"]) <= SET), default=2)
    shown = [row for row in rows if int(row["candidates"]) == size]
    best = max(shown, key=lambda row: number(row, "top5"))
    says = (
        f"From single trials, the right one of {size} captions by “{best['captioner']}” ranks among the top five in "
        f"{percent(best, 'top5')} of scenes (chance {percent(best, 'chance_top5')}). n = {best['scenes']} scenes of "
        f"{best['clips']} clips."
    )
    entries = [
        Bar(row["captioner"], number(row, "top1"), number(row, "top1_low"), number(row, "top1_high"), study.colour(row))
        for row in shown
    ]
    axis = f"top-1 accuracy among {size}, 95 % over scenes; dashed: chance"
    figure = bars(entries, axis=axis, label="captions found", chance=number(shown[0], "chance_top1"))
    own = [text for text in study.table("texts") if text["captioner"] == study.favourite]
    own.sort(key=lambda text: number(text, "rank"))
    heads = ("clip", "caption", "training caption nearest to the decoded embedding", "rank of the right caption")
    body = [
        (text["clip"], text["said"], text["nearest"], f"{number(text, 'rank'):g} of {text['candidates']}")
        for text in own[:: max(len(own) // TEXTS_SHOWN, 1)][:TEXTS_SHOWN]
    ]
    yield "What the activity says in words", says, figure + grid(heads, body, wide=True)
