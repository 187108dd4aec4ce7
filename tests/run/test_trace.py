"""TensorBoard events and JSON lines of a run that goes on, stops, and goes on again."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recon.run.tensorboard import TensorBoardTrace
from recon.run.trace import GroundTruth, JsonlTrace, Traces, read_trace
from recon.types import Iterate

RATES = {"evaluations": 3.0, "seconds": 0.5, "evaluations_per_second": 6.0, "gradient_norm": 0.1}


@pytest.fixture
def truth() -> GroundTruth:
    movie = torch.rand(2, 1, 12, 12, 18, generator=torch.Generator().manual_seed(0))
    return GroundTruth(movie, warmup=3, tail=1)


def iterate(truth: GroundTruth, step: int) -> Iterate:
    blend = min(step / 20, 1.0)
    movie = blend * truth.movie + (1 - blend) * 0.5 + 0.01 * torch.linspace(0, 1, 18)
    return Iterate(movie.clamp(0, 1), {"fidelity": torch.tensor([10.0 - step, 20.0 - step]), "prior": torch.ones(2)})


def run(trace: TensorBoardTrace | JsonlTrace | Traces, truth: GroundTruth, steps: range) -> None:
    for step in steps:
        trace(step, iterate(truth, step), {**RATES, "evaluations": float(step)})


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0}).Reload()


def test_terms_rates_and_scores_are_there_while_the_run_goes_on(truth: GroundTruth, tmp_path: Path) -> None:
    trace = TensorBoardTrace(tmp_path, truth=truth, labels=("cats/dogs", "pan"))
    run(trace, truth, range(1, 13))
    seen = events(tmp_path)
    assert [event.value for event in seen.Scalars("the objective/fidelity")] == [15.0 - step for step in range(1, 13)]
    assert [event.value for event in seen.Scalars("values by clip/fidelity, pan")][:2] == [19.0, 18.0]
    assert {"work/gradient_norm", "work/evaluations_per_second", "the objective/prior"} <= set(seen.Tags()["scalars"])
    scores = [event.value for event in seen.Scalars("scores/video_correlation")]
    assert scores[0] < scores[5] < scores[11]
    assert "scores/ssim" in seen.Tags()["scalars"]
    trace.close()


def test_film_strips_and_movies_appear_at_log_spaced_steps(truth: GroundTruth, tmp_path: Path) -> None:
    with TensorBoardTrace(tmp_path, every=100, truth=truth, labels=("cats/dogs", "pan")) as trace:
        run(trace, truth, range(1, 25))
    seen = events(tmp_path)
    strips, movies = seen.Images("video strips/pan"), seen.Images("videos/cats_dogs")
    assert [event.step for event in strips] == [1, 2, 5, 10, 20, 24]
    assert [event.step for event in movies] == [24]
    assert strips[0].encoded_image_string.startswith(b"\x89PNG")
    assert movies[0].encoded_image_string.startswith(b"GIF89a")
    assert all(350 < picture.width < 430 for picture in (movies[0], strips[0])), "about the width of a card"


def test_without_truth_there_are_no_scores(truth: GroundTruth, tmp_path: Path) -> None:
    with TensorBoardTrace(tmp_path) as trace:
        run(trace, truth, range(1, 3))
    tags = events(tmp_path).Tags()
    assert not [tag for tag in tags["scalars"] if "scores" in tag]
    assert "video strips/clip 0" in tags["images"]


def test_labels_cannot_become_markup(truth: GroundTruth, tmp_path: Path) -> None:
    with TensorBoardTrace(tmp_path, labels=("<script>alert(1)</script>", "[x](javascript:1)\n# big")) as trace:
        run(trace, truth, range(1, 2))
    (text,) = events(tmp_path).Tensors("shown/text_summary")
    content = text.tensor_proto.string_val[0].decode()
    assert "<" not in content
    assert "](" not in content
    assert content.count("\n") == 1


def test_a_run_that_goes_on_replaces_the_steps_after_its_checkpoint(truth: GroundTruth, tmp_path: Path) -> None:
    first = TensorBoardTrace(tmp_path, truth=truth)
    run(first, truth, range(1, 9))
    time.sleep(1.1)  # TensorBoard reads files in the order of their names, in which the second stands
    with TensorBoardTrace(tmp_path, truth=truth) as second:
        run(second, truth, range(5, 12))
    assert [event.step for event in events(tmp_path).Scalars("the objective/prior")] == list(range(1, 12))


def test_lines_hold_every_clip_and_undefined_numbers_are_null(truth: GroundTruth, tmp_path: Path) -> None:
    path = tmp_path / "new" / "trace.jsonl"
    trace = JsonlTrace(path, truth=truth)
    broken = Iterate(torch.full_like(truth.movie, 0.5), {"fidelity": torch.tensor([1.0, torch.nan])})
    trace(1, broken, {**RATES, "gradient_norm": float("inf")})
    (line,) = [json.loads(text, parse_constant=pytest.fail) for text in path.read_text().splitlines()]
    assert line["terms"] == {"fidelity": [1.0, None]}
    assert line["metrics"]["video_correlation"] == [None, None]
    assert (line["step"], line["evaluations"], line["gradient_norm"]) == (1, 3.0, None)


def test_scores_become_sparser_and_are_shared(truth: GroundTruth, tmp_path: Path) -> None:
    calls = []
    measured = GroundTruth(truth.movie, metrics=())
    object.__setattr__(measured, "scores", lambda movie: calls.append(1) or {"ssim": torch.zeros(2)})
    log = JsonlTrace(tmp_path / "trace.jsonl", truth=measured)
    both = Traces((log, TensorBoardTrace(tmp_path, truth=measured, clips=0)))
    run(both, truth, range(1, 82))
    both.close()
    lines = read_trace(tmp_path / "trace.jsonl")
    scored = [line["step"] for line in lines if line["metrics"]]
    assert [line["step"] for line in lines] == list(range(1, 82))
    assert scored == [*range(1, 20), *range(20, 40, 2), 40, 44, 48, 50, *range(52, 80, 4), 80, 81]
    assert len(calls) == len(scored)
    assert [event.step for event in events(tmp_path).Scalars("scores/ssim")] == scored


def test_every_nth_step_the_log_spaced_ones_and_the_last_are_logged(truth: GroundTruth, tmp_path: Path) -> None:
    trace = JsonlTrace(tmp_path / "trace.jsonl", every=7)
    run(trace, truth, range(1, 24))
    trace.close()
    trace.close()
    assert [line["step"] for line in read_trace(tmp_path / "trace.jsonl")] == [1, 2, 5, 7, 10, 14, 20, 21, 23]


def test_a_killed_trace_goes_on_without_a_seam(truth: GroundTruth, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    run(JsonlTrace(whole, truth=truth), truth, range(1, 12))
    run(JsonlTrace(cut, truth=truth), truth, range(1, 9))
    cut.write_text(cut.read_text() + '{"step": 9, "sec')
    assert len(read_trace(cut)) == 8
    run(JsonlTrace(cut, truth=truth), truth, range(6, 12))
    assert cut.read_text() == whole.read_text()


def test_scores_leave_out_unscored_frames_and_pixels(truth: GroundTruth) -> None:
    pixels = torch.zeros(12, 18, dtype=torch.bool)
    pixels[:, 4:] = True
    masked = GroundTruth(truth.movie, warmup=3, tail=1, pixel_mask=pixels, metrics=("video_correlation",))
    damaged = truth.movie.clone()
    damaged[:, :, :3], damaged[:, :, -1:], damaged[..., :4] = 0, 1, 0.3
    assert torch.allclose(masked.scores(damaged)["video_correlation"], torch.ones(2), atol=1e-4)
    assert (truth.scores(damaged)["video_correlation"] < 0.95).all()


def test_traces_together_do_what_each_does_alone(truth: GroundTruth, tmp_path: Path) -> None:
    both = Traces((JsonlTrace(tmp_path / "a.jsonl", every=50), TensorBoardTrace(tmp_path / "events", every=50)))
    run(both, truth, range(1, 4))
    both.close()
    assert [line["step"] for line in read_trace(tmp_path / "a.jsonl")] == [1, 2, 3]
    assert [event.step for event in events(tmp_path / "events").Scalars("the objective/prior")] == [1, 2, 3]


def test_watching_changes_neither_movie_nor_gradient_mode(truth: GroundTruth, tmp_path: Path) -> None:
    watched = iterate(truth, 5)
    before, state = watched.movie.clone(), torch.get_rng_state()
    with TensorBoardTrace(tmp_path, truth=truth) as trace:
        trace(5, watched, RATES)
    assert torch.equal(watched.movie, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()


def test_a_step_between_two_logs_costs_next_to_nothing(truth: GroundTruth, tmp_path: Path) -> None:
    trace = TensorBoardTrace(tmp_path, every=1000, truth=truth)
    trace(1, iterate(truth, 1), RATES)
    calls = []
    trace.truth = GroundTruth(truth.movie, metrics=())
    object.__setattr__(trace.truth, "scores", lambda movie: calls.append(1) or {})
    run(trace, truth, range(11, 20))
    assert calls == []


@pytest.mark.parametrize("kind", [JsonlTrace, TensorBoardTrace])
def test_an_impossible_interval_is_refused(kind: type[JsonlTrace] | type[TensorBoardTrace], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        kind(tmp_path / "trace", every=0)


def test_film_strips_show_the_scored_frames(truth: GroundTruth, tmp_path: Path) -> None:
    from io import BytesIO

    from PIL import Image

    from recon.media import spread_frames, to_uint8, upscale
    from recon.run.pictures import FRAMES

    with TensorBoardTrace(tmp_path, truth=truth) as trace:
        trace(1, Iterate(truth.movie, {}), RATES)
    seen = events(tmp_path).Images("video strips/clip 0")[0]
    shown = np.asarray(Image.open(BytesIO(seen.encoded_image_string)))
    grey = to_uint8(truth.movie[0, 0])
    frames = spread_frames(12, count=FRAMES, first=3, end=11)
    last = upscale(grey[frames[-1]], 7)
    assert np.array_equal(shown[-len(last) :, -last.shape[1] :], last)
