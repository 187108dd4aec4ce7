"""A benchmark's run directory with synthetic numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.ndimage import gaussian_filter

from recon.files import MARKER
from recon.media import to_uint8
from recon.study.manifest import MANIFEST, RUN, seal

UNSEALED = (MARKER, "results.csv", "report.html", ".lock")

EVIL = "<script>window.hacked = 1</script><img src=x onerror='window.hacked=1'> \"quoted\" & 'more' ${title}"
# label, condition, share of truth, blur (pixels), oracle, seed
METHODS = (
    ("map_spectrum", "recorded", 0.8, 1.6, False, 0),
    ("ridge", "recorded", 0.6, 2.2, False, 0),
    ("bauer2025 <1000>", "recorded", 0.55, 0.8, False, 0),
    ("mean", "recorded", 0.05, 6.0, False, 0),
    ("map_spectrum + true luminance", "recorded", 0.85, 1.6, True, 0),
    ("map_spectrum, predicted", "predicted", 0.95, 0.8, False, 0),
    ("map_spectrum, wrong clip", "wrong_clip", 0.02, 1.6, False, 0),
)


def true_movie(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    noise = gaussian_filter(generator.normal(size=shape), (4, 2, 2), mode="wrap")
    edges = gaussian_filter(generator.normal(size=shape), (6, 5, 5), mode="wrap") > 0
    movie = 0.3 * noise / noise.std() + 1.4 * edges
    return np.clip((movie - movie.min()) / (movie.max() - movie.min()), 0, 1)


def make_run(folder: Path, *, clips: int = 3, shape: tuple[int, int, int] = (40, 12, 20), warmup: int = 10) -> Path:
    """Write a benchmark's run directory with synthetic numbers."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    truths = {str(3 + 4 * index): true_movie(generator, shape) for index in range(clips)}
    with h5py.File(folder / "clips.h5", "w") as file:
        for index, (trial, movie) in enumerate(truths.items()):
            group = file.create_group(trial)
            group["truth"] = to_uint8(movie)
            caption = EVIL if index == 0 else "a dark ball rolls over gravel; the camera pans to the left"
            group.attrs.update(caption=caption, video_id=f"pan-{index:02d}", frame_rate=30.0, warmup=warmup, tail=4)
    for index, method in enumerate(METHODS):
        write_task(folder / "tasks" / f"{index:016x}", truths, method, generator)
    (folder / "tasks" / ".partial-1" / "x").mkdir(parents=True)
    (folder / "tasks" / ".partial-1" / "row.json").write_text("{")
    (folder / "config.yaml").write_text(f'run: demo\nnote: "{EVIL}"\nclips:\n  count: {clips}\n')
    information = {"encoder": "<b>seed0</b>", "map": [[1.0, 0.05], [0.2, 1e-9]], "key": "x"}
    (folder / "information.json").write_text(json.dumps(information))
    (folder / "environment.json").write_text(json.dumps({"torch": "2.11.0", "platform": "</pre><b>"}))
    (folder / "neuron_sets.json").write_text(json.dumps({"fit": list(range(900)), "selection": [900], "report": [901]}))
    seal_run(folder)
    return folder


def seal_run(run: Path) -> None:
    """Write the manifests of a run and of its finished tasks, as if its files had been written that way."""
    for folder, of in [(run, RUN), *((task, task.name) for task in (run / "tasks").glob("[!.]*"))]:
        (folder / MANIFEST).unlink(missing_ok=True)
        names = [path.name for path in folder.iterdir() if path.is_file() and path.name not in UNSEALED]
        seal(folder, names, of=of)


def write_task(folder: Path, truths: dict[str, np.ndarray], method: tuple[Any, ...], rng: np.random.Generator) -> None:
    label, condition, share, blur, oracle, seed = method
    folder.mkdir(parents=True)
    movies = {trial: blurred(movie, share, blur, rng) for trial, movie in truths.items()}
    with h5py.File(folder / "movie.h5", "w") as file:
        for trial, movie in movies.items():
            group = file.create_group(trial)
            group["reconstruction"] = movie.astype(np.float16)
            if label == "ridge":  # half-widths from 0 on the left to 0.5 on the right
                half = np.broadcast_to(np.linspace(0, 0.5, movie.shape[2]), movie.shape)
                group["lower"], group["upper"] = (0.5 - half).astype(np.float16), (0.5 + half).astype(np.float16)
    scores = {trial: correlation(movies[trial][10:-4], truths[trial][10:-4]) for trial in truths}
    rows = [row(trial, label, condition, value, oracle, seed) for trial, value in scores.items()]
    (folder / "row.json").write_text(json.dumps({"rows": rows}))
    steps = 1 if label == "mean" else 60
    lines = [line(step, steps, list(scores.values())) for step in range(1, steps + 1)]
    (folder / "trace.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    (folder / "curves.json").write_text(json.dumps(curves(list(truths), share, blur)))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def blurred(movie: np.ndarray, share: float, blur: float, rng: np.random.Generator) -> np.ndarray:
    noise = gaussian_filter(rng.normal(size=movie.shape), (3, 3, 3))
    seen = share * movie + (1 - share) * (0.5 + 0.15 * noise / noise.std())
    return np.clip(gaussian_filter(seen, (blur, blur, blur)), 0, 1)


def row(trial: str, label: str, condition: str, value: float, oracle: bool, seed: int) -> dict[str, Any]:
    scores = {"video_correlation": value, "ssim": value / 2, "frame_correlation": value - 0.03, "psnr": 12 + 8 * value}
    scores |= {"pixel_correlation": value - 0.1, "motion_energy_correlation": value / 3, "lpips": 0.6 - value / 5}
    scores |= {"calibrated_coverage_90": 0.91, "half_width_90": 0.25} if label == "ridge" else {}
    activity = {"judge_correlation": 0.3 * value, "judge_correlation_true": 0.36, "response_correlation": None}
    activity |= {"heldout_neuron_correlation": 0.25 * value, "heldout_neuron_correlation_true": 0.3}
    spent = {"evaluations": 20.0 if label != "mean" else 0.0, "seconds": 12.5, "status": "finished", "message": ""}
    who = {"recording": "simulated", "trial": int(trial), "method": label, "encoder": "seed0", "seed": seed}
    if label == "ridge" and trial == "3":
        spent |= {"status": "diverged", "message": "lower the <b>step</b>"}
    given = {"condition": condition, "oracle": oracle, "behavior": label != "ridge", "fidelity": "poisson"}
    return {**who, **given, **scores, **activity, **spent}


def line(step: int, steps: int, scores: list[float]) -> dict[str, Any]:
    progress = np.log1p(step) / np.log1p(steps)
    correlation = [float(value * progress * (1.1 - 0.1 * progress)) for value in scores]
    terms = {"fidelity": [900 + 600 / step] * len(scores), "prior": [200 * progress] * len(scores)}
    metrics = {"video_correlation": correlation, "ssim": [value / 2 for value in correlation]}
    return {"step": step, "seconds": 0.2 * step, "evaluations": 1.0 * step, "terms": terms, "metrics": metrics}


def curves(trials: list[str], share: float, blur: float) -> dict[str, Any]:
    space, rate = np.geomspace(0.01, 0.3, 12), np.linspace(0.5, 14, 12)
    by_space = {trial: (share * np.exp(-6 * space * blur)).tolist() for trial in trials}
    by_time = {trial: (share * np.exp(-rate * blur / 12)).tolist() for trial in trials}
    return {
        "spatial_frequency": {"axis": space.tolist(), "correlation": by_space},
        "temporal_frequency": {"axis": rate.tolist(), "correlation": by_time},
    }


def embedded(page: Path) -> dict[str, Any]:
    """Return the data embedded in a report page; NaN and Infinity are invalid JSON."""
    text = page.read_text()
    start = text.index('id="data">') + len('id="data">')
    data: dict[str, Any] = json.loads(text[start : text.index("</script>", start)], parse_constant=_no_json)
    return data


def _no_json(text: str) -> None:
    raise AssertionError(f"{text} is not JSON")
