"""Data of the page's ablation section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recon.files import read_json
from recon.metrics import METRICS
from recon.study.ablation.numbers import FEWEST

NUMBERS = {
    "gain": ("Gain", "full method − the same with a Gaussian prior"),
    "survives": (
        "Survives without activity",
        "(prior with the same words and no activity − mean frame) / (full method − mean frame); 0: all from activity, "
        "1: all from prior and words",
    ),
    "sensitivity": ("Sensitivity to words", "full method − the same conditioned on another clip's caption"),
}
"""Heading and meaning of the three numbers."""


def ablation_of(run: Path, labels: Sequence[str]) -> dict[str, Any] | None:
    """Return the data of the section; None if the run is not an ablation or lacks rows that ablation.json refers to."""
    path = run / "ablation.json"
    if not path.exists():
        return None
    found: dict[str, Any] = read_json(path)
    if not set(found["points"]) <= set(labels):
        return None
    findings = found["findings"]
    return {
        "metrics": [{"key": each["metric"], "title": title_of(each["metric"])} for each in findings],
        "numbers": [
            {"title": title, "meaning": meaning, "values": [shown(each[key]) for each in findings]}
            for key, (title, meaning) in NUMBERS.items()
        ],
        "verdicts": [[title_of(each["metric"]), said] for each in findings for said in each["verdicts"]],
        "warnings": [[title_of(each["metric"]), said] for each in findings for said in each["warnings"]],
        "differences": {
            label: [shown(each["differences"][label]) for each in findings] for label in findings[0]["differences"]
        },
        "fidelity": {"key": found["fidelity"], "title": title_of(found["fidelity"])},
        "points": found["points"],
        "curves": found["curves"],
    }


def title_of(metric: str) -> str:
    """Return the heading of a score in the page's table.

    >>> title_of("video_correlation")
    'Video r'
    """
    return METRICS[metric].title if metric in METRICS else metric


def shown(number: Mapping[str, Any]) -> dict[str, Any]:
    """Return a number's value, its interval and whether it differs from 0, or the reason why it is undefined."""
    if number["value"] is None:
        return {"value": None, "reason": f"undefined: {number['reason']}"}
    interval = None if number["low"] is None else [number["low"], number["high"]]
    leaves_out_zero = interval is not None and (interval[0] > 0 or interval[1] < 0)
    sure = leaves_out_zero and number["clips"] >= FEWEST
    about = {"interval": interval, "reason": number["reason"], "clips": number["clips"]}
    return {"value": number["value"], "sure": sure, **about}
