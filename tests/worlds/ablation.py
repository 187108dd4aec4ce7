"""An ablation: a configuration section and a finished run with synthetic numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from worlds.finished_run import make_run, seal_run, true_movie, write_task

from recon.files import write_table
from recon.priors.movie_diffusion import MovieDiffusion, save_movie_diffusion
from recon.priors.movie_unet import MovieUnetSettings
from recon.study.ablation.ablate import conclude
from recon.study.ablation.rows import MEAN, PRIOR, SILENT_PRIOR, Ablation
from recon.study.outputs import columns

SHARES = (0.5, 0.6, 0.66, 0.8, 0.75, 0.62, 0.64, 0.3, 0.15, 0.1, 0.05)
"""Share of the ground truth in each row's reconstruction, in row order."""


def write_prior(path: Path) -> str:
    """Write a prior with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MovieDiffusion(MovieUnetSettings(widths=(4, 6), depth=1, steering=8))
        for parameter in model.parameters():
            parameter.data.normal_(0, 0.1)
    save_movie_diffusion(model, path, card={})
    return str(path)


def section(weights: str = "tiny", **changed: Any) -> dict[str, Any]:
    """Return an `ablation` section with a prior nested inside two methods."""
    denoiser = {"name": "diffusion", "weights": weights, "guidance": 2.0}
    inner = {"name": "diffpir", "levels": 2, "data": {"beta": 1.0, "steps": 2}, "denoiser": denoiser}
    return {
        "method": {"name": "smoothed", "sigma": [1.0, 0.5, 0.5], "method": inner},
        "typed": "the camera pans to the right over a photograph",
        "no_prior": {"name": "gradient", "parameterisation": "pixels", "iterations": 2},
    } | changed


def make_ablation(folder: Path, *, clips: int = 5) -> Path:
    """Write the folder of a finished ablation; one row has markup in its label."""
    run = make_run(folder, clips=clips, shape=(20, 6, 10), warmup=4)
    for task in (run / "tasks").iterdir():
        task.rename(run / f"old-{task.name}")
    reference = {"<b>ridge</b>": {"name": "ridge"}}
    ablation = Ablation(**section(sweep={"guidance": (0.0, 1.0, 4.0), "beta": (0.3, 3.0)}, reference=reference))
    generator = np.random.default_rng(0)
    truths = {str(3 + 4 * index): true_movie(generator, (20, 6, 10)) for index in range(clips)}
    rows: list[dict[str, Any]] = []
    for index, made in enumerate(ablation.rows()):
        share = [*SHARES, 0.55, 0.66, 0.72, 0.7, 0.5, 0.68][index]
        method = (made["label"], made.get("condition", "recorded"), share, 1.0, made.get("words") == "true", 0)
        task = run / "tasks" / f"{index:016x}"
        write_task(task, truths, method, generator)
        if made["label"] in (PRIOR, SILENT_PRIOR):
            ask_no_encoder(task)
        own = json.loads((task / "row.json").read_text())["rows"]
        rows += [row | {"judge_correlation": None} if made["label"] == MEAN else row for row in own]
    write_table(run / "results.csv", rows, columns())
    seal_run(run)
    conclude(ablation, run)
    return run


def ask_no_encoder(task: Path) -> None:
    """Set the encoder evaluations in a task's trace to zero."""
    lines = [json.loads(line) | {"evaluations": 0.0} for line in (task / "trace.jsonl").read_text().splitlines()]
    (task / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
