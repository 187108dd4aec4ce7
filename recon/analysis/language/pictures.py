"""Does better language give better pictures? Encoding scores of captioners against scores of reconstructions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import permutation_test, rankdata

from recon.analysis.language.prediction import Predicted
from recon.correlation import pearson
from recon.errors import InputError
from recon.metrics.statistics import bootstrap_interval
from recon.study.outputs import read_results

Array = NDArray[np.float64]
SCORES = ("video_correlation", "ssim", "motion_energy_correlation", "caption_rank")
"""Scores that are related, where a run has them."""
TOLD = {"text only": "", "text and activity": ", with activity"}
"""Kinds of rows, and what follows the captioner's name in their labels; the second kind may be missing."""
COLUMNS = ("captioner", "told", "encoding", "score", "value", "value_low", "value_high", "clips")
RELATIONS = ("told", "score", "captioners", "clips", "r", "r_low", "r_high", "rank_r", "rank_r_low", "rank_r_high", "p")
DRAWS = 2000
Rows = list[dict[str, Any]]


def read_scores(run: Path, names: Sequence[str]) -> dict[tuple[str, str], Array]:
    """Return by kind of row and score the values `[C,K]` of C captioners on the K clips that all of them have.

    Rows of one label, of several seeds, are averaged. Raises InputError for a captioner without a row in the run's
    results.csv, also of the second kind if another has one.
    """
    path = run / "results.csv"
    if not path.is_file():
        raise InputError(f"pictures: expected a run with results.csv, got {run}; run the benchmark first")
    rows = read_results(path)
    by_label: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        by_label.setdefault(row["method"], []).append(row)
    found: dict[tuple[str, str], Array] = {}
    for told, ending in TOLD.items():
        missing = [f"{name}{ending}" for name in names if f"{name}{ending}" not in by_label]
        if ending and len(missing) == len(names):
            continue
        if missing:
            raise InputError(
                f"pictures: expected a row of {run} for every captioner, got none for {'; '.join(missing)}; add them"
            )
        own = [by_label[f"{name}{ending}"] for name in names]
        found |= {(told, score): values for score in SCORES if (values := _values(own, score)).size}
    return found


def relate(found: Mapping[str, Predicted], run: Path, *, seed: int) -> tuple[Rows, Rows]:
    """Return a row per captioner, kind of row and score, and per kind and score the relation over captioners.

    The relation is Pearson's r and Spearman's rank correlation of encoding and picture scores, each with a 95 %
    interval by a bootstrap over clips on both sides, and the two-sided p of the rank correlation by permutation of the
    captioners (Spearman 1904). Captioners are not resampled: the intervals describe these captioners, p asks about
    others. With five of them p is at least 2/5! = 0.017.
    """
    shares = np.stack([one.shares.nanmean(1).numpy() for one in found.values()])
    table: Rows = []
    relations: Rows = []
    for (told, score), values in read_scores(run, list(found)).items():
        kind = {"told": told, "score": score}
        table += [{**kind, **row} for row in _rows(list(found), shares.mean(1), values, seed)]
        relations.append({**kind, **_relation(shares, values, seed)})
    return table, relations


def _values(rows: Sequence[Sequence[Mapping[str, str]]], score: str) -> Array:
    """Return the values `[C,K]` of a score on the clips that all rows have; without any, an empty array."""
    values: list[dict[str, list[float]]] = []
    for own in rows:
        values.append({})
        for row in own:
            if row.get(score) and np.isfinite(float(row[score])):
                values[-1].setdefault(row["video_id"], []).append(float(row[score]))
    clips = [clip for clip in values[0] if all(clip in one for one in values)]
    return np.array([[np.mean(one[clip]) for clip in clips] for one in values])


def _rows(names: Sequence[str], encoding: Array, values: Array, seed: int) -> Iterator[dict[str, Any]]:
    for name, predicted, own in zip(names, encoding, values, strict=True):
        low, high = bootstrap_interval(own, generator=np.random.default_rng(seed))
        about = {"captioner": name, "encoding": float(predicted), "value": float(own.mean())}
        yield about | {"value_low": low, "value_high": high, "clips": len(own)}


def _relation(shares: Array, values: Array, seed: int) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    encoding, drawn = shares.mean(1), (_drawn(shares, generator), _drawn(values, generator))
    about: dict[str, Any] = {"captioners": len(values), "clips": values.shape[1]}
    for name, correlation in (("r", _correlation), ("rank_r", _rank_correlation)):
        known = correlation(*drawn)
        known = known[~np.isnan(known)]
        low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
        whole = float(correlation(encoding, values.mean(1)))
        about |= {name: whole, f"{name}_low": float(low), f"{name}_high": float(high)}
    return about | {"p": _p_value(encoding, values.mean(1), generator)}


def _p_value(x: Array, y: Array, generator: np.random.Generator) -> float:
    """Return the two-sided p of the rank correlation over captioners; exact for at most seven of them."""
    if np.isnan(float(_rank_correlation(x, y))):
        return float("nan")
    found = permutation_test(
        (x,),
        lambda shuffled: float(_rank_correlation(shuffled, y)),
        permutation_type="pairings",
        n_resamples=9999,
        vectorized=False,
        rng=generator,
    )
    return float(found.pvalue)


def _drawn(values: Array, generator: np.random.Generator) -> Array:
    """Return means `[M,C]` of values `[C,K]` over clips drawn with replacement."""
    clips = values.shape[1]
    return np.stack([values[:, generator.integers(clips, size=clips)].mean(1) for _ in range(DRAWS)])


def _correlation(x: Array, y: Array) -> Array:
    """Return Pearson's r over the last axis."""
    return np.asarray(pearson(torch.from_numpy(x), torch.from_numpy(y)))


def _rank_correlation(x: Array, y: Array) -> Array:
    return _correlation(np.asarray(rankdata(x, axis=-1)), np.asarray(rankdata(y, axis=-1)))
