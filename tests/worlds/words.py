"""A finished study of texts at several numbers of neurons, with synthetic numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from worlds.finished_run import make_run, seal_run, true_movie, write_task

from recon.analysis.worth.rows import WordStudy
from recon.analysis.worth.study import conclude_words
from recon.files import write_table
from recon.study.outputs import columns

SHAPE = (20, 6, 10)
GAINS = {"none": 0.0, "decoded": 0.01, "true without place": 0.05, "true with place": 0.2, "wrong": -0.04}
"""Score that each text adds; without text every factor e of neurons adds 0.1."""


def make_words(folder: Path, *, clips: int = 6) -> Path:
    """Write the folder of a finished study: a wrong sentence lowers the scores, and a true one judge r alone."""
    run = make_run(folder, clips=clips, shape=SHAPE, warmup=2)
    for task in (run / "tasks").iterdir():
        task.rename(run / f"old-{task.name}")
    method = {"name": "diffpir", "denoiser": {"name": "diffusion"}}
    study = WordStudy(method, neurons=(16, 64, 1000), coverage=0.3)
    generator = np.random.default_rng(0)
    truths = {str(3 + 4 * index): true_movie(generator, SHAPE) for index in range(clips)}
    rows: list[dict[str, Any]] = []
    for index, (population, text) in enumerate((one, text) for one in study.populations for text in study.texts):
        task = run / "tasks" / f"{index:016x}"
        write_task(task, truths, (population.label(text), "recorded", 0.5, 1.0, text.startswith("true"), 0), generator)
        count = population.count or 287
        level = 0.1 * math.log(count) + GAINS[text]
        told = [row | scored(level, generator, count) for row in json.loads((task / "row.json").read_text())["rows"]]
        if text == "true with place":
            told = [row | {"judge_correlation": row["judge_correlation"] - 0.15} for row in told]
        (task / "row.json").write_text(json.dumps({"rows": told}))
        rows += told
    write_table(run / "results.csv", rows, columns())
    seal_run(run)
    conclude_words(study, run)
    return run


def scored(level: float, generator: np.random.Generator, count: int) -> dict[str, Any]:
    video, ssim, judge = level + generator.normal(0, 0.005, 3)
    return {"video_correlation": video, "ssim": ssim / 2, "judge_correlation": judge / 2, "neurons": count}
