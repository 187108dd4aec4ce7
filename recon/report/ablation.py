"""What an ablation found, as the page's section shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recon.report.data import COLUMNS
from recon.study.ablation.numbers import FEWEST

NUMBERS = {
    "gain": ("Gain", "full method − the same with a Gaussian prior"),
    "survives": (
        "Survives without activity",
        "(prior told the decoded words − mean frame) / (full method − mean frame); 0: all is read from activity, "
        "1: all is the prior's and the words'",
    ),
    "sensitivity": ("Sensitivity to words", "full method − the same told another clip's caption"),
}
"""Heading and meaning of the three numbers."""


def ablation_of(run: Path, labels: Sequence[str]) -> dict[str, Any] | None:
    """Return the data of the section; none where the run is no ablation, or no longer has the rows that it tells of."""
    path = run / "ablation.json"
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
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
    """Return the heading that a score has in the page's table.

    >>> title_of("video_correlation")
    'Video r'
    """
    return next((column.title for column in COLUMNS if column.key == metric), metric)


def shown(number: Mapping[str, Any]) -> dict[str, Any]:
    """Return value and interval of a number and whether it surely differs from 0, or why there is none."""
    if number["value"] is None:
        return {"value": None, "reason": f"undefined: {number['reason']}"}
    interval = None if number["low"] is None else [number["low"], number["high"]]
    leaves_out_zero = interval is not None and (interval[0] > 0 or interval[1] < 0)
    sure = leaves_out_zero and number["clips"] >= FEWEST
    about = {"interval": interval, "reason": number["reason"], "clips": number["clips"]}
    return {"value": number["value"], "sure": sure, **about}
