"""Ablation of a prior: its contribution to a reconstruction, and what it shows without the activity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from recon import config
from recon.data.open import open_recording
from recon.errors import InputError
from recon.files import write_json
from recon.files.paths import user_path
from recon.metrics import METRICS
from recon.problem.clips import Clips, choose_clips
from recon.study.ablation.numbers import Findings, findings
from recon.study.ablation.rows import Ablation
from recon.study.ablation.trees import decoded_text
from recon.study.benchmark import Say, benchmark
from recon.study.executors.places import HERE, Place
from recon.study.manifest import RUN, seal
from recon.study.outputs import RESULTS, read_results

ABLATION = "ablation.json"
FIDELITY = "judge_correlation"
"""Fidelity to the activity: response correlation by a judge encoder that no method used."""


@dataclass(frozen=True)
class Ablated:
    """A finished ablation: the run's folder and its findings per score, the primary score first."""

    run: Path
    found: Sequence[Findings]


def ablate(
    tree: Mapping[str, Any], *, say: Say = lambda line: None, progress: bool = False, on: Place = HERE
) -> Ablated:
    """Run the unfinished rows of an ablation, as `benchmark` does, and write the findings.

    The configuration is a benchmark's with a section `ablation`; further `rows` are run besides those of the ablation.
    Without captions of the clips and training trials the rows with text are left out, and `say` is told.
    """
    ablation, tree = prepared(tree)
    if ablation.text == "none":
        say(
            f"{tree['recording']}: captions of the clips or of the training trials are missing; the rows with text are "
            "left out. Write meta/trials/captions.jsonl, or give the prior a sentence of your own: `typed`"
        )
    return conclude(ablation, benchmark(tree, say=say, progress=progress, on=on))


def prepared(tree: Mapping[str, Any]) -> tuple[Ablation, dict[str, Any]]:
    """Return the section `ablation` of a configuration, and the benchmark of its rows."""
    tree = dict(config.expand(tree))
    if "ablation" not in tree:
        raise InputError(
            f"ablate: expected the section `ablation` in the configuration, got {', '.join(tree) or 'nothing'}; add it "
            "as in configs/ablation.yaml, or `words` as in configs/words.yaml, or use `recon benchmark`"
        )
    ablation = config.record(Ablation, tree.pop("ablation"), where="ablation")
    if ablation.text == "auto":
        ablation = replace(ablation, text="decoded" if _captioned(tree, ablation) else "none")
    asked = (tree.get("perceptual") or {}).get("scores", ())
    if absent := [name for name in ablation.metrics if METRICS[name].asked and name not in asked]:
        raise InputError(
            f"perceptual.scores: expected {', '.join(absent)}, of the ablation, got {list(asked) or 'none'}; add it"
        )
    return ablation, {**tree, "rows": [*ablation.rows(), *(tree.get("rows") or [])]}


def _captioned(tree: Mapping[str, Any], ablation: Ablation) -> bool:
    """Return whether all clips and some training trials have captions; a recording yet to be simulated will.

    A decoder may read other captions of the training trials.
    """
    place = user_path(str(tree.get("recording", "")))
    if not place.exists():
        return True
    recording = open_recording(place)
    clips = choose_clips(recording, config.record(Clips, tree.get("clips") or {}, where="clips"))
    spoken = all(recording.spoken(clip.trial.index) for clip in clips)
    if spoken and decoded_text(ablation.tree).get("said"):
        return True
    return spoken and any(recording.spoken(index) for index in recording.trials("train"))


def conclude(ablation: Ablation, run: Path) -> Ablated:
    """Return the findings of a finished run, and write them to its folder."""
    found = [findings(metric, scores(run, metric), ablation.roles) for metric in ablation.metrics]
    write_json(run / ABLATION, _written(ablation, run, found))
    seal(run, [ABLATION], of=RUN)
    return Ablated(run, found)


def scores(run: Path, metric: str) -> dict[str, dict[str, float]]:
    """Return the scores of a run by row label and clip, averaged over seeds; NaN where undefined."""
    rows = read_results(run / RESULTS)
    by_clip: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        values = by_clip.setdefault(row["method"], {}).setdefault(row["trial"], [])
        values += [float(row[metric])] if row[metric] else []
    return {label: {clip: _mean(values) for clip, values in own.items()} for label, own in by_clip.items()}


def _written(ablation: Ablation, run: Path, found: Sequence[Findings]) -> dict[str, Any]:
    means = {
        metric: {label: _mean([value for value in own.values() if not np.isnan(value)]) for label, own in rows.items()}
        for metric in (FIDELITY, *ablation.metrics)
        for rows in [scores(run, metric)]
    }
    return {
        "settings": config.inscribed(vars(ablation)),
        "fidelity": FIDELITY,
        "findings": [asdict(each) for each in found],
        "points": {label: {metric: own[label] for metric, own in means.items()} for label in means[FIDELITY]},
        "curves": ablation.curves(),
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
