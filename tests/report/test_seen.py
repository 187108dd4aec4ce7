"""What the page says that each method saw, and which clips it shows first."""

from pathlib import Path

import pytest
from worlds.finished_run import embedded, make_run

from recon import config
from recon.methods import METHODS
from recon.report.data import read_tasks, standings
from recon.report.page import write_report
from recon.report.seen import SEEN, seen_by

CONFIGS = Path(__file__).parents[2] / "configs"


def test_every_method_that_is_not_made_of_others_is_described() -> None:
    made_of_others = {"gradient", "smoothed", "posterior", "average", "ensemble", "deep_ensemble"}
    assert set(METHODS) - set(SEEN) == made_of_others


@pytest.mark.parametrize(
    "method, words",
    [
        ({"preset": "map_spectrum"}, "responses and behavior of the clip through the encoder; the spectrum of"),
        ({"preset": "bauer2025_smoothed"}, "the encoder; nothing of training movies"),
        (
            {"preset": "map_centred"},
            "residuals of another method on validation clips, around that method (responses; learnt",
        ),
        ({"preset": "ridge_and_map"}, "(responses; learnt from training movies with their responses) + (responses and"),
        ({"name": "convolutional", "distilled": 0.5}, "and with responses predicted by the encoders; weights"),
        (
            {"name": "convolutional", "distilled": 0.5, "generated": 9.0},
            "predicted by the encoders, also for generated movies",
        ),
        ({"name": "dps"}, "the encoder; the spectrum of training movies"),
        (
            {"name": "egg", "denoiser": {"name": "diffusion", "text": {"name": "typed", "caption": "a disc"}}},
            "movies; a learnt prior of movies (movie_diffusion), given 'a disc'",
        ),
        ({"name": "egg", "denoiser": {"name": "diffusion"}}, "(movie_diffusion), without text"),
        ({"name": "egg", "scale": 0.0}, "no activity except through its text"),
        ({"name": "diffpir", "data": {"beta": 0.0}}, "no activity except through its text"),
        ({"name": "diffpir", "data": {"beta": 0.1}}, "behavior of the clip through the encoder"),
        ({"preset": "map_spectrum", "start": {"preset": "ridge"}}, "initialised by another method (responses;"),
    ],
)
def test_methods_say_what_is_inside_them(method: dict, words: str) -> None:
    assert words in seen_by({"method": config.expand(method)})


def test_conditions_and_shares_are_said() -> None:
    row = {"method": {"name": "ridge"}, "condition": "wrong_clip", "data": 0.25}
    assert seen_by(row).endswith("here another clip's responses and behavior (null); 0.25 of the training trials")


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
