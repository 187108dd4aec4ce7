"""Recorded ganglion cells end to end by command line: import, training, reconstruction, scores."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from recon import config
from recon.cli import main
from recon.data.open import open_recording
from recon.metrics.statistics import Comparison, bootstrap_interval, paired_difference
from recon.study.benchmark import benchmark

pytestmark = pytest.mark.real

CONFIGS = Path(__file__).parents[2] / "configs"
PUBLISHED_RIDGE = {
    "frame_correlation_18x18": 0.054,
    "frame_correlation_9x9": 0.117,
    "frame_correlation_9x9_of_3_frames": 0.210,
    "frame_correlation_6x6_of_3_frames": 0.259,
}
"""Correlation of a pilot's ridge decoder on the same frames; ours must be no more than 0.01 below."""


@pytest.fixture(scope="module")
def workplace(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder with the imported recording."""
    source = real_data / "liu2017_salamander_rgc"
    if not source.is_dir():
        pytest.skip(f"retina: expected the folder {source}")
    folder = tmp_path_factory.mktemp("retina")
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        arrays = [str(source / "stim_bits_x69-141_y39-111.npy"), str(source / "spike_counts_177x36000.npy.gz")]
        form = ["--packed", "72", "72", "--frame-size", "18", "18", "--frame-rate", "30", "--degrees-per-pixel", "1"]
        command = ["data", "import", "recordings/retina", "--movie", arrays[0], "--responses", arrays[1], *form]
        assert main([*command, "--train-frames", "30000"]) == 0
        yield folder
    torch.set_num_threads(threads)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def scores(workplace: Path) -> dict[str, dict[str, list[float]]]:
    """Train the encoder on the first 30,000 frames and score the 20 test trials.

    Returns the scores of each pooling by method: ridge, input optimisation and the null.
    """
    assert main(["train", "encoder", str(CONFIGS / "train" / "retina.yaml")]) == 0
    tree = config.load(CONFIGS / "retina.yaml")
    tree["rows"] = [row for row in tree["rows"] if "mean of" not in row["label"]]
    run = benchmark(tree)
    with (run / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {
        label: {column: [float(row[column]) for row in rows if row["method"] == label] for column in PUBLISHED_RIDGE}
        for label in dict.fromkeys(row["method"] for row in rows)
    }


def test_recording_is_all_cells_and_frames_cut_by_time(workplace: Path) -> None:
    recording = open_recording(workplace / "recordings" / "retina")
    counts = {tier: len(recording.trials(tier)) for tier in ("train", "oracle", "live_test_main")}
    assert counts == {"train": 90, "oracle": 10, "live_test_main": 20}
    assert recording.frame_size == (18, 18) and len(recording.unit_ids) == 177
    assert sorted(recording.trials("live_test_main"))[0] == 100  # from frame 30,000
    movie = recording.trial(0).movie
    assert abs(float(movie.mean()) - 0.5) < 0.01
    assert abs(float(movie.std()) - 0.125) < 0.003  # mean of 16 fair coin flips


@pytest.mark.slow
def test_ridge_reaches_the_published_figures(scores: dict[str, dict[str, list[float]]]) -> None:
    for column, published in PUBLISHED_RIDGE.items():
        assert len(scores["ridge"][column]) == 20
        assert np.mean(scores["ridge"][column]) > published - 0.01, column


@pytest.mark.slow
def test_input_optimisation_beats_ridge_in_every_pooling(scores: dict[str, dict[str, list[float]]]) -> None:
    for column in PUBLISHED_RIDGE:
        compared = compare(scores, "map_spectrum", "ridge", column)
        assert compared.low > 0.01, (column, compared)
        assert compared.p_value < 0.001, (column, compared)


@pytest.mark.slow
def test_activity_of_another_clip_says_nothing(scores: dict[str, dict[str, list[float]]]) -> None:
    for column in PUBLISHED_RIDGE:
        null = scores["map_spectrum, wrong clip"][column]
        assert bootstrap_interval(null, generator=np.random.default_rng(0))[1] < 0.05, column


def compare(scores: dict[str, dict[str, list[float]]], first: str, second: str, column: str) -> Comparison:
    generator = np.random.default_rng(0)
    return paired_difference(scores[first][column], scores[second][column], generator=generator)
