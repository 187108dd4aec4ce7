"""Does better language give better pictures? Encoding scores of captioners against scores of reconstructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recon.analysis.language.prediction import Predicted
from recon.correlation import pearson
from recon.errors import InputError
from recon.metrics.statistics import bootstrap_interval
from recon.study.outputs import read_results

Array = NDArray[np.float64]
SCORES = ("video_correlation", "ssim", "motion_energy_correlation")
COLUMNS = ("captioner", "encoding", "score", "value", "value_low", "value_high", "clips")
DRAWS = 2000


def read_scores(run: Path, names: Sequence[str]) -> dict[str, Array]:
    """Return by score the values `[C,K]` of C captioners on the K clips that all of them have.

    Raises InputError for a captioner without a row in the run's results.csv.
    """
    path = run / "results.csv"
    if not path.is_file():
        raise InputError(f"pictures: expected a run with results.csv, got {run}; run the benchmark first")
    rows = read_results(path)
    by_name = {name: [row for row in rows if row["method"] == name] for name in names}
    missing = [name for name, own in by_name.items() if not own]
    if missing:
        raise InputError(f"pictures: expected a row of {run} for every captioner, got none for {', '.join(missing)}")
    found: dict[str, Array] = {}
    for score in SCORES:
        values = [{row["video_id"]: float(row[score]) for row in own if row.get(score)} for own in by_name.values()]
        clips = [clip for clip in values[0] if all(clip in own for own in values)]
        if clips:
            found[score] = np.array([[own[clip] for clip in clips] for own in values])
    return found


def relate(found: Mapping[str, Predicted], run: Path, *, seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return a row per captioner and score, and per score Pearson's r over captioners with its 95 % interval.

    The interval is a bootstrap over clips on both sides. Captioners are not resampled: r describes these captioners.
    """
    shares = np.stack([one.shares.nanmean(1).numpy() for one in found.values()])
    rows: list[dict[str, Any]] = []
    relations: dict[str, Any] = {}
    for score, values in read_scores(run, list(found)).items():
        generator = np.random.default_rng(seed)
        for name, encoding, own in zip(found, shares.mean(1), values, strict=True):
            low, high = bootstrap_interval(own, generator=np.random.default_rng(seed))
            about = {"captioner": name, "encoding": float(encoding), "score": score, "value": float(own.mean())}
            rows.append(about | {"value_low": low, "value_high": high, "clips": len(own)})
        drawn = [_correlation(_drawn(shares, generator), _drawn(values, generator)) for _ in range(DRAWS)]
        low, high = np.nanpercentile(drawn, [2.5, 97.5])
        whole = _correlation(shares.mean(1), values.mean(1))
        relations[score] = {"r": whole, "low": float(low), "high": float(high), "clips": values.shape[1]}
    return rows, relations


def _drawn(values: Array, generator: np.random.Generator) -> Array:
    return np.asarray(values[:, generator.integers(values.shape[1], size=values.shape[1])].mean(1))


def _correlation(x: Array, y: Array) -> float:
    return float(pearson(torch.from_numpy(x), torch.from_numpy(y)))
