"""A study of texts at several numbers of neurons: its benchmark, its findings, their files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon import config
from recon.analysis.worth.findings import TextScore, WordFindings, in_words, suspicions, word_findings
from recon.analysis.worth.rows import WHOLE, WordStudy, quoted
from recon.errors import InputError
from recon.files import write_json, write_table
from recon.metrics import METRICS
from recon.study.ablation.ablate import scores
from recon.study.ablation.numbers import Number, too_few
from recon.study.benchmark import Say, benchmark
from recon.study.executors.places import HERE, Place
from recon.study.manifest import RUN, seal
from recon.study.outputs import RESULTS, read_results

SECTION = "words"
"""Section of the configuration."""
WORDS, TABLE = "words.json", "words.csv"
COLUMNS = (
    *("metric", "text", "neurons", "coverage", "row", "clips", "mean", "low", "high"),
    *("difference", "difference_low", "difference_high", "worth", "worth_low", "worth_high", "reason"),
)


@dataclass(frozen=True)
class WordResults:
    """A finished study: the run's folder, its findings per score, and its warnings."""

    run: Path
    found: Sequence[WordFindings]
    warnings: Sequence[str]


def study_words(
    tree: Mapping[str, Any], *, say: Say = lambda line: None, progress: bool = False, on: Place = HERE
) -> WordResults:
    """Run the unfinished rows of a study of texts, as `benchmark` does, and write the findings.

    The configuration is a benchmark's with a section `words`; further `rows` are run besides those of the study.
    """
    study, tree = prepared_words(tree)
    return conclude_words(study, benchmark(tree, say=say, progress=progress, on=on))


def prepared_words(tree: Mapping[str, Any]) -> tuple[WordStudy, dict[str, Any]]:
    """Return the section `words` of a configuration, and the benchmark of its rows."""
    tree = dict(config.expand(tree))
    study = config.record(WordStudy, tree.pop(SECTION), where=SECTION)
    asked = (tree.get("perceptual") or {}).get("scores", ())
    if absent := [name for name in study.scores if METRICS[name].asked and name not in asked]:
        raise InputError(
            f"perceptual.scores: expected {', '.join(absent)}, of the study's scores, got {list(asked) or 'none'}; add "
            "them"
        )
    return study, {**tree, "rows": [*study.rows(), *(tree.get("rows") or [])]}


def conclude_words(study: WordStudy, run: Path) -> WordResults:
    """Return the findings of a finished run, and write them to its folder."""
    found = [word_findings(metric, study, scores(run, metric)) for metric in study.scores]
    clips = max(one.mean.clips for by in found for one in by.scores)
    done = WordResults(run, found, [*too_few(clips), *suspicions(found)])
    counts = {row["method"]: int(row["neurons"]) for row in read_results(run / RESULTS) if row["neurons"]}
    rows = [_row(one.metric, each, study, counts) for one in found for each in one.scores]
    write_table(run / TABLE, rows, COLUMNS)
    write_json(run / WORDS, _written(study, done, rows))
    seal(run, [WORDS, TABLE], of=RUN)
    return done


def _written(study: WordStudy, done: WordResults, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    about = {one.metric: {"sentences": list(one.sentences), "harm": list(one.harm)} for one in done.found}
    return {
        "settings": config.inscribed(vars(study)),
        "quoted": quoted(study.neurons),
        "warnings": list(done.warnings),
        "findings": [
            {"metric": metric, **told, "rows": [row for row in rows if row["metric"] == metric]}
            for metric, told in about.items()
        ],
    }


def _row(metric: str, one: TextScore, study: WordStudy, counts: Mapping[str, int]) -> dict[str, Any]:
    worth = one.worth
    ends = () if worth is None else (worth.value, worth.low, worth.high)
    reasons = [part.reason for part in (one.mean, one.difference, worth) if part is not None and part.reason]
    return {
        "metric": metric,
        "text": one.text,
        "neurons": one.population.count or counts.get(one.label),
        "coverage": one.population.coverage if one.population.coverage < WHOLE else None,
        "row": one.label,
        "clips": one.mean.clips,
        **dict(zip(("mean", "low", "high"), _ends(one.mean), strict=True)),
        **dict(zip(("difference", "difference_low", "difference_high"), _ends(one.difference), strict=False)),
        **dict(zip(("worth", "worth_low", "worth_high"), _limits(ends, one, study.neurons), strict=False)),
        "reason": "; ".join(dict.fromkeys(reasons)),
    }


def _ends(number: Number | None) -> tuple[float, ...]:
    """Return value, low and high; nothing without a number."""
    return () if number is None else (number.value, number.low, number.high)


def _limits(ends: Sequence[float], one: TextScore, neurons: Sequence[int]) -> Iterator[float | str]:
    """Yield numbers of neurons, and limits such as "> 936" where they lie beyond the curve without text."""
    for end in ends:
        yield in_words(end, one.population.count, neurons) if math.isinf(end) else end
