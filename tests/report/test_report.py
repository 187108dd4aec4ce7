"""The page about a run: what it says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from worlds.finished_run import EVIL, embedded, make_run, seal_run

from recon.report.data import group_of, read_tasks
from recon.report.movies import BYTES_PER_PIXEL
from recon.report.page import write_report


def test_results_come_first_best_first_and_nulls_last(page: Path) -> None:
    methods = embedded(page)["methods"]
    assert [method["group"] for method in methods] == ["results"] * 4 + ["references"] * 2 + ["nulls"]
    means = [method["scores"]["video_correlation"]["mean"] for method in methods[:4]]
    assert means == sorted(means, reverse=True)


def test_scores_are_means_over_clips_inside_their_interval(page: Path, run: Path) -> None:
    rows = read_tasks(run)
    expected = {task.rows[0]["method"]: np.mean([each["ssim"] for each in task.rows]) for task in rows}
    for method in embedded(page)["methods"]:
        score = method["scores"]["ssim"]
        low, high = score["interval"]
        assert score["mean"] == pytest.approx(expected[method["label"]])
        assert low <= score["mean"] <= high
        assert min(score["values"].values()) <= low + 1e-12  # the last digit depends on the processor


def test_a_column_without_values_is_left_out_and_true_scores_are_kept(page: Path) -> None:
    data = embedded(page)
    assert "response_correlation" not in [column["key"] for column in data["columns"]]
    assert data["methods"][0]["scores"]["judge_correlation"]["true"] == pytest.approx(0.36)


def test_nothing_that_a_user_wrote_becomes_markup(page: Path) -> None:
    text = page.read_text()
    assert "<script>window.hacked" not in text
    assert "<img" not in text
    assert "</pre><b>" not in text
    assert "<title>demo &lt;1&gt;" in text
    assert embedded(page)["clips"][0]["caption"] == EVIL


def test_the_page_needs_no_network(page: Path) -> None:
    text = page.read_text()
    assert "default-src 'none'; img-src data:; media-src blob:; style-src" in text
    assert 'src="http' not in text
    assert "@import" not in text
    assert "url(http" not in text


def test_repeats_over_seeds_count_once_per_clip(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", clips=2, shape=(16, 6, 8), warmup=2)
    tasks = read_tasks(run)
    twin = tmp_path / "run" / "tasks" / "ffff"
    shutil.copytree(tasks[0].folder, twin)
    rows = [{**each, "seed": 1, "video_correlation": each["video_correlation"] + 0.2} for each in tasks[0].rows]
    (twin / "row.json").write_text(json.dumps({"rows": rows}))
    seal_run(run)
    methods = {method["label"]: method for method in embedded(write_report(run))["methods"]}
    entry = methods[tasks[0].rows[0]["method"]]
    assert (entry["clips"], entry["seeds"]) == (2, 2)
    expected = np.mean([each["video_correlation"] for each in tasks[0].rows]) + 0.1
    assert entry["scores"]["video_correlation"]["mean"] == pytest.approx(expected)


def test_movies_are_limited_but_scores_are_not(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", clips=3, shape=(16, 6, 8), warmup=2)
    data = embedded(write_report(run, max_clips=1, max_frames=10))
    assert len(data["clips"]) == 1
    assert (data["clips"][0]["frames"], data["clips"][0]["total"], data["clips"][0]["tail"]) == (10, 16, 0)
    assert data["methods"][0]["clips"] == 3
    assert list(data["methods"][0]["movies"]) == [data["clips"][0]["trial"]]


def test_a_run_without_traces_curves_and_environment_still_has_a_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", clips=1, shape=(16, 6, 8), warmup=2)
    for name in ("trace.jsonl", "curves.json", "movie.h5"):
        for path in run.glob(f"tasks/*/{name}"):
            path.unlink()
    (run / "environment.json").unlink()
    (run / "neuron_sets.json").unlink()
    seal_run(run)
    data = embedded(write_report(run))
    assert data["methods"][0]["trace"] is None
    assert data["methods"][0]["scores"]["ssim"]["interval"] is None


@pytest.mark.parametrize("missing", ["clips.h5", "tasks"])
def test_an_unfinished_run_says_what_is_missing(tmp_path: Path, missing: str) -> None:
    run = make_run(tmp_path / "run", clips=1, shape=(16, 6, 8))
    shutil.move(run / missing, tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"expected finished tasks .* got none|clips\.h5 is missing; run"):
        write_report(run)


def test_conditions_are_grouped() -> None:
    assert {group_of(name) for name in ("recorded", "repeat_average", "repeats_joint")} == {"results"}
    assert (group_of("predicted"), group_of("wrong_clip")) == ("references", "nulls")
    assert (group_of("recorded", oracle=True), group_of("wrong_clip", oracle=True)) == ("references", "nulls")


def split(folder: Path, first: str) -> None:
    """Leave one clip in a task and move the others to a task of their own, as a second batch would."""
    import h5py

    twin = folder.with_name(f"{folder.name}-b")
    shutil.copytree(folder, twin)
    for place, keep in ((folder, True), (twin, False)):
        rows = json.loads((place / "row.json").read_text())["rows"]
        mine = [row for row in rows if (str(row["trial"]) == first) is keep]
        (place / "row.json").write_text(json.dumps({"rows": mine}))
        with h5py.File(place / "movie.h5", "a") as file:
            for trial in [trial for trial in file if (trial == first) is not keep]:
                del file[trial]
        kept = slice(0, 1) if keep else slice(1, None)
        lines = [json.loads(line) for line in (place / "trace.jsonl").read_text().splitlines()]
        for line in lines:
            for group in ("terms", "metrics"):
                line[group] = {name: values[kept] for name, values in line[group].items()}
        (place / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        curves = json.loads((place / "curves.json").read_text())
        for curve in curves.values():
            curve["correlation"] = {k: v for k, v in curve["correlation"].items() if (k == first) is keep}
        (place / "curves.json").write_text(json.dumps(curves))
    seal_run(folder.parents[1])


def test_clips_in_several_batches_make_the_same_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", clips=3, shape=(16, 6, 8), warmup=2)
    whole = embedded(write_report(run))
    split(run / "tasks" / f"{0:016x}", "3")
    parts = embedded(write_report(run))
    for kind in ("scores", "movies", "trace", "curves", "clips"):
        before, after = (page["methods"][0][kind] for page in (whole, parts))
        assert after == before, kind


def test_a_long_table_shows_fewer_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as the page can bear, but the best, the median and the worst in any case."""
    run = make_run(tmp_path / "run", clips=6, shape=(16, 6, 8), warmup=2)
    for bearable, shown in ((4.5, 4), (1.5, 3)):
        monkeypatch.setattr("recon.report.movies.MOVIE_BYTES", bearable * 8 * 16 * 6 * 8 * BYTES_PER_PIXEL)
        clips = embedded(write_report(run))["clips"]
        assert [clip["standing"] for clip in clips] == ["best", "median", "worst", ""][:shown]
    two = make_run(tmp_path / "two", clips=2, shape=(16, 6, 8), warmup=2)
    assert len(embedded(write_report(two))["clips"]) == 1
