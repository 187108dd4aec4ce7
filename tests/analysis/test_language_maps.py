"""Maps of neurons and clips, clusters, and the page of a study, also with captions that are no friends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recon.analysis.language.inputs import LanguageStudy
from recon.analysis.language.maps import draw_map, find_clusters
from recon.analysis.language.outputs import write_relations
from recon.analysis.language.pictures import COLUMNS, RELATIONS, relate
from recon.analysis.language.prediction import Predicted
from recon.analysis.language.rows import CAPTIONERS, CLUSTERS, NEURON_MAP, NEURONS, READINGS, TEXTS, WORDS
from recon.files import write_json, write_table
from recon.report.cells import read_table
from recon.report.figures import Bar, Dot, bars, scatter
from recon.report.language import write_language_page


def groups(seed: int = 0, each: int = 20) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([centre + 0.15 * rng.normal(size=(each, 6)) for centre in np.eye(6)[:3]])


@pytest.mark.slow
def test_maps_keep_neighbours_and_say_how_stable_they_are() -> None:
    points = groups()
    drawn = draw_map(points, seeds=(0, 1))
    assert drawn.places.shape == (60, 2) and drawn.trustworthiness > 0.85
    assert drawn.chance == pytest.approx(15 / 59) and drawn.kept > 2 * drawn.chance
    near = np.linalg.norm(drawn.places[:, None] - drawn.places[None], axis=-1)
    same = np.kron(np.eye(3), np.ones((20, 20))) > 0
    assert near[same].max() < near[~same].min()
    with pytest.raises(ValueError, match="expected at least 10 points, got 4"):
        draw_map(points[:4])


def test_clusters_are_found_and_agree() -> None:
    found = find_clusters(groups())
    assert len(set(found.labels)) == 3 and found.agreement == pytest.approx(1) and found.silhouette > 0.6
    assert all(len(set(found.labels[start : start + 20])) == 1 for start in (0, 20, 40))
    noise = find_clusters(np.random.default_rng(1).normal(size=(60, 6)))
    assert noise.silhouette < 0.4
    with pytest.raises(ValueError, match="expected at least 10 points, got 3"):
        find_clusters(groups()[:3])


def test_figures_escape_what_is_said_and_bear_undefined_values() -> None:
    drawn = bars([Bar("<script>", 0.2, 0.1, 0.3), Bar("none", float("nan"))], axis="r & more", label="x")
    assert "<script>" not in drawn and "undefined" in drawn and "r &amp; more" in drawn
    dots = scatter([Dot(0, 0, "<b>"), Dot(0, 0, "b", "red")], axes=("a", "b"), label="x")
    assert "<b>" not in dots and dots.count("<circle") == 2
    assert "<svg" in bars([], axis="x", label="nothing")


NASTY = "<img src=x onerror=alert(1)> & “star”"


def study(run: Path) -> Path:
    """Write the tables of a study of two captioners, one with a name that is none."""
    neuron = {"area": "V1", "ceiling": 0.5, "normalised": 0.8, "p": 0.01, "q": 0.01, "best": NASTY, "margin": 0.1}
    names = [NASTY, "plain"]
    units = range(12)
    write_table(
        run / "neurons.csv", [{"unit": u, "captioner": n, "r": 0.4, **neuron} for u in units for n in names], NEURONS
    )
    scores = {"clips": 9, "neurons": 12, "r": 0.4, "r_low": 0.3, "r_high": 0.5, "told": 1.0}
    write_table(run / "captioners.csv", [{"captioner": n, "area": "all", **scores} for n in names], CAPTIONERS)
    word = {"clips": 8, "gain": 0.1, "z": 3.0, "p": 0.01, "q": 0.01, "place": 1}
    write_table(run / "words.csv", [{"unit": u, "word": "<i>", "sign": 1 - 2 * (u % 2), **word} for u in units], WORDS)
    write_table(run / "map_neurons.csv", [{"unit": u, "x": u, "y": u % 3, "cluster": u % 2} for u in units], NEURON_MAP)
    cluster = {"neurons": 6, "word": "star", "difference": 1.0, "place": 1}
    write_table(run / "clusters.csv", [{"cluster": k, **cluster} for k in range(2)], CLUSTERS)
    found = {"scenes": 9, "clips": 9, "candidates": 9, "top1": 0.2, "top1_low": 0.1, "top1_high": 0.3, "top5": 0.6}
    chance = {"chance_top1": 1 / 9, "chance_top5": 5 / 9}
    write_table(run / "reading.csv", [{"captioner": n, **found, **chance} for n in names], READINGS)
    text = {"clip": "a", "trial": 0, "first": 0, "end": 30, "said": NASTY, "nearest": NASTY, "rank": 2, "candidates": 9}
    write_table(run / "texts.csv", [{"captioner": n, **text} for n in names], TEXTS)
    trust = {"kept": 0.6, "chance": 0.2, "trustworthiness": 0.9, "points": 12}
    about = {"recording": "mouse", "neurons": 12, "learnt": 20, "asked": 9, "captioners": names, "favourite": NASTY}
    write_json(run / "summary.json", about | {"neurons_map": trust, "clusters": {"silhouette": 0.3, "agreement": 0.9}})
    return run


def test_the_page_says_what_was_found_and_keeps_text_text(tmp_path: Path) -> None:
    page = write_language_page(study(tmp_path)).read_text("utf-8")
    assert "<img" not in page and "&lt;img src=x onerror=alert(1)&gt;" in page
    for said in (
        "predicts best: r 0.400 [0.300, 0.500]",
        "For 12 of 12 neurons, words",
        "Most often avoided",
        "n = 9",
    ):
        assert said in page
    assert "$" not in page.split("<main>")[1]
    with pytest.raises(ValueError, match=r"expected a study of captions with summary\.json"):
        write_language_page(tmp_path / "absent")


Rows = list[dict[str, object]]
SHARES = {f"captioner {k}": 0.1 * (k + 1) for k in range(4)}


def related(tmp_path: Path, rows: Rows, columns: tuple[str, ...]) -> tuple[dict[str, Predicted], Path]:
    """Return captioners that predict neurons with shares of 0.1 to 0.4, and a run of pictures with these rows."""
    rng, run = np.random.default_rng(1), tmp_path / "pictures"
    write_table(run / "results.csv", rows, ("method", "video_id", *columns))
    shares = {name: torch.from_numpy(share + 0.02 * rng.normal(size=(10, 7))) for name, share in SHARES.items()}
    return {name: Predicted(*[torch.zeros(1)] * 4, one, torch.zeros(1)) for name, one in shares.items()}, run


def test_pictures_are_related_to_captioners(tmp_path: Path) -> None:
    """By text alone one score rises with the share and one falls; with activity, none changes beyond noise."""
    rng = np.random.default_rng(0)
    rows: Rows = [
        {"method": name + ending, "video_id": clip, "video_correlation": r, "caption_rank": 0.5 - share}
        for ending in ("", ", with activity")
        for name, share in SHARES.items()
        for clip in range(12)
        for r in ((0.0 if ending else share) + 0.02 * rng.normal(size=2)).tolist()  # of two seeds
    ]
    found, run = related(tmp_path, rows, ("video_correlation", "caption_rank"))
    table, relations = relate(found, run, seed=0)
    assert len(table) == 16 and len(relations) == 4 and {row["clips"] for row in table} == {12}
    text, falls, both, _ = relations
    assert (text["told"], text["score"], both["told"]) == ("text only", "video_correlation", "text and activity")
    assert text["r_low"] > 0.9 and text["rank_r"] == pytest.approx(1) and text["p"] == pytest.approx(2 / 24)
    assert falls["score"] == "caption_rank" and falls["r_high"] < -0.9 and falls["rank_r"] == pytest.approx(-1)
    assert both["r_low"] < 0 < both["r_high"] and both["p"] > 0.05
    again = {(row["told"], row["score"]): row for row in relate(found, run, seed=0)[1]}
    assert again["text only", "video_correlation"] == text


def test_a_score_that_is_constant_is_related_to_nothing(tmp_path: Path) -> None:
    rows: Rows = [{"method": name, "video_id": clip, "ssim": 0.5} for name in SHARES for clip in range(3)]
    (only,) = relate(*related(tmp_path, rows, ("ssim",)), seed=0)[1]
    assert np.isnan(only["r"]) and np.isnan(only["p"]) and only["told"] == "text only"


def test_pictures_lack_no_captioner(tmp_path: Path) -> None:
    rows: Rows = [{"method": name, "video_id": 0, "ssim": 0.5} for name in SHARES]
    rows.append({"method": "captioner 0, with activity", "video_id": 0, "ssim": 0.5})
    found, run = related(tmp_path, rows, ("ssim",))
    for names, place, said in (
        (found, run, "got none for captioner 1, with activity; captioner 2, with"),
        (found | {"other": found["captioner 0"]}, run, "got none for other; add them"),
        (found, tmp_path / "absent", "a run with results.csv"),
    ):
        with pytest.raises(ValueError, match=said):
            relate(names, place, seed=0)


def test_the_page_shows_relations_with_what_they_are_worth(tmp_path: Path) -> None:
    run = study(tmp_path)
    row = {"captioner": NASTY, "encoding": 0.3, "value": 0.1, "value_low": 0.0, "value_high": 0.2, "clips": 12}
    kind = {"told": "text and activity", "score": "video_correlation"}
    write_table(run / "pictures.csv", [kind | row], COLUMNS)
    found = {"captioners": 5, "clips": 12, "r": 0.8, "r_low": 0.3, "r_high": 0.9, "rank_r": 0.7, "rank_r_low": 0.1}
    write_table(run / "relations.csv", [kind | found | {"rank_r_high": 0.9, "p": 0.08}], RELATIONS)
    page = write_language_page(run).read_text("utf-8")
    assert "with 5 of them is at least 0.017" in page and "n = 12 clips" in page
    assert "0.800 [0.300, 0.900]" in page and "0.700 [0.100, 0.900]" in page and "video r, text and activity" in page


def test_tables_of_an_earlier_benchmark_do_not_stay(tmp_path: Path) -> None:
    rows: Rows = [{"method": name, "video_id": clip, "ssim": 0.5} for name in SHARES for clip in range(3)]
    found, run = related(tmp_path, rows, ("ssim",))
    chosen = LanguageStudy(tmp_path / "study", tmp_path, "graded", pictures=str(run))
    write_relations(chosen, found)
    assert len(read_table(chosen.run, "pictures")) == 4 and len(read_table(chosen.run, "relations")) == 1
    write_relations(replace(chosen, pictures=""), found)
    assert not list(chosen.run.iterdir())
