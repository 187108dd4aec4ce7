"""What the page says that each method saw, and which clips it shows first."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from worlds.finished_run import embedded, make_run, seal_run

from recon import config
from recon.report.data import read_tasks, standings
from recon.report.page import write_report
from recon.study.saw import Saw, saw_by
from recon.study.seen import seen_by, seen_in
from recon.study.settings import Row

DIFFUSION = {"name": "diffusion", "weights": "w"}


def seen(method: dict[str, Any], *, behavior: bool = True, **row: Any) -> str:
    tree = config.expand(method)
    made = config.build("method", tree, where="method")
    return seen_by(
        saw_by(made, config.record(Row, {"label": "a", "method": tree, **row}, where="row"), behavior=behavior)
    )


@pytest.mark.parametrize(
    "method, words",
    [
        ({"preset": "map_spectrum"}, "responses and behavior of the clip through the encoder; learnt: the spectrum of"),
        ({"preset": "bauer2025_smoothed"}, "through the encoder; nothing learnt of movies or of the recording"),
        ({"preset": "map_centred"}, "residuals of another method on validation clips, training movies with their"),
        ({"preset": "ridge_and_map"}, "weighted mean · "),
        ({"name": "convolutional", "distilled": 0.5}, "their responses, responses predicted by the encoders, valid"),
        ({"name": "convolutional", "distilled": 0.5, "generated": 9.0}, "predicted by the encoders, generated movies"),
        ({"name": "dps"}, "the encoder; learnt: the spectrum of training movies"),
        (
            {"name": "egg", "denoiser": {**DIFFUSION, "text": {"name": "typed", "caption": "a disc"}}},
            "movies; pretrained: prior w; text: 'a disc'",
        ),
        ({"name": "egg", "denoiser": DIFFUSION}, "pretrained: prior w"),
        ({"name": "egg", "scale": 0.0}, "no responses of the clip; learnt"),
        (
            {"name": "egg", "scale": 0.0, "denoiser": {**DIFFUSION, "text": {"name": "decoded"}}},
            "no responses of the clip except through decoded text",
        ),
        ({"name": "diffpir", "data": {"beta": 0.0}}, "no responses of the clip; learnt"),
        ({"name": "diffpir", "data": {"beta": 0.1}}, "behavior of the clip through the encoder"),
        ({"preset": "map_spectrum", "start": {"preset": "ridge"}}, "the spectrum of training movies, training movies"),
        ({"name": "mean"}, "mean training frame: no responses of the clip; learnt: the mean training frame"),
    ],
)
def test_methods_say_what_is_inside_them(method: dict[str, Any], words: str) -> None:
    assert words in seen(method)


def test_a_pretrained_pipeline_and_true_text_are_named() -> None:
    prior = {"name": "pretrained", "source": "a/pipeline", "text": {"name": "given"}}
    said = seen({"name": "egg", "denoiser": prior}, words="true")
    assert "pretrained: prior a/pipeline; text: the clip's own captions (oracle)" in said
    assert "text:" not in seen({"name": "egg", "denoiser": {**prior, "guidance": 0.0}}, words="true")


def test_conditions_shares_and_animals_are_said_where_the_method_uses_them() -> None:
    said = seen({"name": "ridge"}, condition="wrong_clip", data=0.25)
    assert said.endswith("here the measurement of another clip (null); 0.25 of the training trials")
    assert "here" not in seen({"name": "mean"}, condition="wrong_clip")
    assert "2 other animals" in seen({"preset": "map_spectrum"}, animals=["b", "c"])
    assert "animal" not in seen({"name": "ridge"}, animals=["b"])
    assert "responses of the clip through" in seen({"preset": "map_spectrum"}, behavior=False)


@pytest.mark.parametrize(
    "method, row, truth",
    [
        ("ridge", {"condition": "predicted"}, True),
        ("mean", {"condition": "predicted"}, False),
        ("ridge", {"words": "true"}, False),
        ("egg", {"words": "true"}, False),
    ],
)
def test_an_oracle_is_a_method_that_uses_what_comes_from_the_truth(
    method: str, row: dict[str, Any], truth: bool
) -> None:
    made = config.build("method", {"name": method}, where="method")
    assert saw_by(made, Row("a", {"name": method}, **row), behavior=True).truth is truth


def test_the_page_reads_what_was_saved_with_the_results(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    task = next(path for path in sorted(run.glob("tasks/*/row.json")) if '"ridge"' in path.read_text())
    assert seen_in(task.parent) == ""
    saved = json.loads(task.read_text())
    facts = {"sees": {"responses": True, "text": ["'<b>'"]}, "titles": ["ridge"]}
    task.write_text(json.dumps({**saved, "saw": facts}))
    seal_run(run)
    assert "<dt>ridge</dt><dd>ridge: responses of the clip; nothing learnt of movies or of the recording; text: " \
        "&#x27;&lt;b&gt;&#x27;.</dd>" in write_report(run).read_text()  # fmt: skip
    task.write_text(json.dumps({**saved, "saw": {"sees": {"responses": "maybe"}}}))
    with pytest.raises(ValueError, match=r"row.json: saw.sees.responses: expected boolean, got 'maybe'"):
        seen_in(task.parent)


def test_what_a_result_saw_survives_its_file() -> None:
    saw = Saw(("a",), config.build("method", {"name": "ridge"}, where="m").sees, ("b",), "predicted", "true", 0.5)
    assert config.record(Saw, json.loads(json.dumps(asdict(saw))), where="saw") == saw


def test_the_page_shows_best_median_and_worst_clip_first(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", clips=5)
    found = standings(read_tasks(run))
    clips = embedded(write_report(run, max_clips=4))["clips"]
    assert [clip["standing"] for clip in clips] == ["best", "median", "worst", ""]
    assert [clip["trial"] for clip in clips[:3]] == list(found)
    scores: dict[str, list[float]] = {}
    for task in read_tasks(run):
        for row in task.rows if task.rows[0]["condition"] == "recorded" else ():
            scores.setdefault(str(row["trial"]), []).append(row["video_correlation"])
    order = sorted(scores, key=lambda trial: -sum(scores[trial]))
    assert list(found) == [order[0], order[2], order[-1]]
