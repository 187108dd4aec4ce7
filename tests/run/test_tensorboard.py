"""Records of event files are TensorBoard's own, byte by byte."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from recon.run.events import EventFile, as_record
from recon.run.hparams import Setup
from recon.run.pictures import FramesShown, movie_gif, strip_png
from recon.run.tensorboard import TensorBoardTrace
from recon.run.trace import GroundTruth
from recon.types import Iterate


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 4099])
def test_a_record_has_the_bytes_of_tensorboards_writer(length: int) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    data, theirs = random.Random(length).randbytes(length), io.BytesIO()
    RecordWriter(theirs).write(data)
    assert as_record(data) == theirs.getvalue()


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.compat.proto.summary_pb2 import Summary

    events = EventFile(tmp_path)
    events.begin(0)
    for step in range(3):
        events.add(step, [Summary.Value(tag="energy", simple_value=2.0 - step)])
    events.close()
    shown = EventAccumulator(str(tmp_path)).Reload().Scalars("energy")
    assert [(event.step, event.value) for event in shown] == [(0, 2.0), (1, 1.0), (2, 0.0)]


def test_the_log_opens_on_scores_and_objective_and_compares_rows(tmp_path: Path) -> None:
    """TensorBoard sorts groups by name and opens the first two; the tab HPARAMS reads its plugin's summaries."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    rows = [{"row": "a*", "method": "ridge"}, {"row": "b", "method": "gradient", "beta": 0.1}]
    truth = GroundTruth(torch.rand(2, 1, 12, 12, 18, generator=torch.Generator().manual_seed(0)))
    terms = {name: torch.tensor([1.0, 3.0]) for name in ("misfit", "objective", "gradient_norm")}
    setup = Setup(
        rows[1], rows, "**b**: a method\n\n| setting | value |\n|---|---|\n| beta | 0.1 |", ("a cat", "a *dog*")
    )
    with TensorBoardTrace(tmp_path, truth=truth, labels=("trial 1", "trial 2"), setup=setup) as trace:
        trace(1, Iterate(0.5 * truth.movie, terms), {"evaluations": 1.0})
    seen = EventAccumulator(str(tmp_path)).Reload()
    tags = seen.Tags()
    groups = sorted({tag.partition("/")[0] for tag in (*tags["scalars"], *tags["images"])})
    assert groups == ["scores", "the objective", "values by clip", "video strips", "videos", "work"]
    assert {"scores/video_correlation", "scores/ssim"} == {tag for tag in tags["scalars"] if tag.startswith("scores/")}
    assert seen.Scalars("the objective/misfit")[0].value == 2.0
    content = seen.PluginTagToContent("hparams")
    experiment = metadata.parse_experiment_plugin_data(content[metadata.EXPERIMENT_TAG])
    assert [info.name for info in experiment.hparam_infos] == ["row", "method", "beta"]
    assert [info.name.tag for info in experiment.metric_infos] == ["scores/video_correlation", "scores/ssim"]
    started = metadata.parse_session_start_info_plugin_data(content[metadata.SESSION_START_INFO_TAG])
    assert dict(started.hparams)["beta"].number_value == 0.1 and dict(started.hparams)["row"].string_value == "b"
    assert metadata.parse_session_end_info_plugin_data(content[metadata.SESSION_END_INFO_TAG]).status
    (shown,) = seen.Tensors("shown/text_summary")
    assert shown.tensor_proto.string_val[0].decode() == "1. trial 1: a cat\n1. trial 2: a \\*dog\\*"
    assert b"| beta | 0.1 |" in seen.Tensors("method/text_summary")[0].tensor_proto.string_val[0]


def test_the_pictures_of_the_demo_take_at_most_thirty_megabytes() -> None:
    """Seven rows, three clips: one movie each, strips at seven steps; noise as the reconstruction is the largest."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 36, 64), dtype=np.uint8)
    across = np.arange(300)[:, None, None] + np.arange(36)[:, None] + np.arange(64)
    truth = (127 + 120 * np.sin(across / 9)).astype(np.uint8)
    shown, names = FramesShown(50, 292, 30.0), ("truth", "reconstruction")
    movie = len(movie_gif([truth, noise], names, shown, title="bauer2025, trial 3, step 60"))
    strip = len(strip_png([truth, noise], names, shown, title="bauer2025, trial 3, step 60"))
    assert 7 * 3 * (movie + 7 * strip) < 30e6
