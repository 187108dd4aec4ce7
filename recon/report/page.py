"""Self-contained page of a run: movies, scores, traces and the exact configuration."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from recon.files import digest, file_hash, finite, read_json, write_bytes
from recon.files.code_version import code_version
from recon.files.paths import user_path
from recon.media import encode_png
from recon.metrics import METRICS, primary
from recon.metrics.statistics import bootstrap_interval
from recon.report.ablation import ablation_of
from recon.report.cells import read_table
from recon.report.comparisons import comparisons
from recon.report.data import FinishedTask, columns_of, read_clips, read_methods, read_tasks, standings
from recon.report.movies import embed
from recon.report.words import words_of
from recon.study import manifest
from recon.study.outputs import INPUT_FILES

ASSETS = ("page.css", "plots.js", "table.js", "compare.js", "ablation.js", "words.js", "player.js", "page.js")

TEMPLATE = "template.html"
SOURCES = (manifest.MANIFEST, "results.csv", *INPUT_FILES, "ablation.json", "words.json", "information.json")
"""Files of a run, besides those of its tasks, that its page is made from."""
STAMP = "<!-- recon: "
"""Start of the last line of a page: hashes of its sources and of its text."""


def write_report(run: Path, *, max_clips: int = 6, max_frames: int = 360) -> Path:
    """Write `report.html` to a run directory and return its path; the page needs no network.

    The first `max_frames` frames of up to `max_clips` clips are shown as movies (fewer if the table is long), including
    the best, median and worst clip; scores are over all clips.
    """
    run = user_path(run)
    made_from = sources(run)
    manifest.check(run, of=manifest.RUN)
    tasks = read_tasks(run)
    lines = len({task.key for task in tasks}) + len({task.key for task in tasks if _calibrated(task)})
    first = standings(tasks)
    clips, truths = read_clips(run, max_clips=max_clips, max_frames=max_frames, movies=lines + 1, first=first)
    methods = read_methods(tasks, truths, interval=_interval)
    clips, methods, movies = embed(clips, truths, methods)
    page: dict[str, Any] = {
        "name": run.resolve().name,
        "columns": _shown_columns(methods),
        "clips": clips,
        "methods": methods,
        "comparisons": comparisons([_values(method) for method in methods], primary()),
        "compared": {name: METRICS[name].title for name in primary()},
        "ablation": ablation_of(run, [method["label"] for method in methods]),
        "words": words_of(run, [method["label"] for method in methods]),
        "information": _information(run),
        "given_up": list(_given_up(run)),
    }
    path = run / "report.html"
    text = _fill(run, page, movies)
    write_bytes(path, f"{text}{_stamp(made_from, text)}".encode())
    return path


def is_current(run: Path) -> bool:
    """Return whether a run's page is as it was written, from the run's present content and by the present code."""
    try:
        text, start, end = (run / "report.html").read_bytes().decode().rpartition(STAMP)
    except (OSError, UnicodeDecodeError):
        return False
    return f"{start}{end}" == _stamp(sources(run), text)


def sources(run: Path) -> str:
    """Return a hash of all that a page is made from: the run's files by content, and the code and assets of the page.

    Of the tasks the manifests count, which hold the checksums of all files.
    """
    files = [run / name for name in SOURCES] + sorted(run.glob(f"tasks/[!.]*/{manifest.MANIFEST}"))
    content = [[path.relative_to(run).as_posix(), file_hash(path)] for path in files if path.is_file()]
    assets = [(resources.files("recon.report") / "assets" / name).read_text("utf-8") for name in (*ASSETS, TEMPLATE)]
    return digest([content, assets, code_version(__name__)])


def _stamp(made_from: str, text: str) -> str:
    return f"{STAMP}{made_from} {digest(text)} -->\n"


def _calibrated(task: FinishedTask) -> bool:
    return any(row.get("half_width_90") is not None for row in task.rows)


def _values(method: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    return {key: method["scores"][key]["values"] for key in primary() if key in method["scores"]}


def _information(run: Path) -> dict[str, Any] | None:
    """Return the map of Fisher information as a picture, logarithmic over two decades."""
    path = run / "information.json"
    if not path.exists():
        return None
    found = read_json(path)
    values = np.array(found["map"], dtype=np.float64)
    decades = np.log10(np.maximum(values / values.max(), 1e-2)) / 2 + 1
    png = base64.b64encode(encode_png((255 * decades).round().astype(np.uint8))).decode("ascii")
    within = float((values > 0.1 * values.max()).mean())
    size = {"height": values.shape[0], "width": values.shape[1]}
    return {"picture": f"data:image/png;base64,{png}", "encoder": found["encoder"], "within": within, **size}


def _given_up(run: Path) -> Iterator[str]:
    """Yield one line per failed method and clip, with the reason."""
    for row in read_table(run, "results"):
        if row["status"] == "failed":
            yield f"{row['method']}, trial {row['trial']}: {row['message']}"


def _interval(values: Sequence[float]) -> tuple[float, float]:
    low, high = bootstrap_interval(values, generator=np.random.default_rng(0))
    return float(low), float(high)


def _shown_columns(methods: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    shown = dict.fromkeys(key for method in methods for key in method["scores"])
    return [asdict(column) for column in columns_of(shown) if column.key in shown]


def _fill(run: Path, page: Mapping[str, Any], movies: str) -> str:
    assets = resources.files("recon.report") / "assets"
    style, *scripts = ((assets / name).read_text(encoding="utf-8") for name in ASSETS)
    return Template((assets / TEMPLATE).read_text(encoding="utf-8")).substitute(
        title=html.escape(str(page["name"])),
        lead=html.escape(_lead(run, page)),
        behavior=html.escape(_behavior(page["methods"])),
        seen=_seen(page["methods"]),
        config=html.escape(_text(run / "config.yaml")),
        environment=html.escape(_text(run / "environment.json")),
        style=style,
        script="\n".join(scripts),
        data=_json(page),
        movies=movies,
    )


def _json(page: Mapping[str, Any]) -> str:
    """Return JSON escaped so that it cannot close its script element."""
    text = json.dumps(finite(page), separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else "not recorded"


def _lead(run: Path, page: Mapping[str, Any]) -> str:
    methods, clips = page["methods"], page["clips"]
    scored = max(method["clips"] for method in methods)
    seconds = sum(clip["total"] / clip["frame_rate"] for clip in clips) / len(clips)
    recordings = ", ".join(dict.fromkeys(method["recording"] for method in methods if method["recording"]))
    rows = "1 way" if len(methods) == 1 else f"{len(methods)} ways"
    neurons = _neurons(run)
    return (
        f"{scored} held-out clip{'s' if scored != 1 else ''} of about {seconds:.1f} s, reconstructed in {rows} from "
        f"the {_activity(run)}activity of {neurons}neurons{f' ({recordings})' if recordings else ''}."
    )


def _activity(run: Path) -> str:
    """Return the kind of activity (recorded, simulated or predicted) followed by a space; empty if unknown."""
    path = run / "recording.json"
    return f"{read_json(path)['activity']} " if path.exists() else ""


def _neurons(run: Path) -> str:
    path = run / "neuron_sets.json"
    if not path.exists():
        return ""
    sets = read_json(path)
    return f"{len(sets['fit'])} " if "fit" in sets else ""


def _behavior(methods: Sequence[Mapping[str, Any]]) -> str:
    """Return which methods saw behavior, because pupil size carries luminance."""
    said = {name: [m["label"] for m in methods if m["behavior"] is seen] for name, seen in _SEEN.items()}
    parts = [f"{name}: {'; '.join(dict.fromkeys(labels))}." for name, labels in said.items() if labels]
    return " ".join(parts)


def _seen(methods: Sequence[Mapping[str, Any]]) -> str:
    """Return an HTML definition list of what each method was allowed to see."""
    lines = dict.fromkeys((method["label"], method["seen"]) for method in methods if method["seen"])
    return "".join(f"<dt>{html.escape(label)}</dt><dd>{html.escape(said)}.</dd>" for label, said in lines)


_SEEN = {"Seen by": True, "Not seen by": False, "Not recorded for": None}
