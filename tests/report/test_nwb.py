"""A run as an NWB file: reconstructions, scores, clips and provenance, valid for the field's inspector."""

from __future__ import annotations

import json
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from worlds.finished_run import make_run, seal_run

from recon.cli import main
from recon.report.nwb import write_run

pytest.importorskip("pynwb")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with synthetic results, draws of a sampler, a task without a movie, and one clip that failed."""
    folder = make_run(tmp_path_factory.mktemp("runs") / "demo <1>", shape=(40, 12, 20))
    tasks = sorted((folder / "tasks").glob("[!.]*"))
    with h5py.File(tasks[0] / "movie.h5", "r+") as file:
        for trial in file:
            file[trial]["deviation"] = np.full((40, 12, 20), 0.25, np.float16)
    (tasks[3] / "movie.h5").unlink()
    with h5py.File(tasks[2] / "movie.h5", "r+") as file:
        del file["7"]
    (folder / "recording.json").write_text(json.dumps({"name": "dynamic29515-10-12-Video", "activity": "recorded"}))
    seal_run(folder)
    return folder


@pytest.fixture(scope="module")
def written(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nwb") / "demo.nwb"
    assert main(["export", str(run), "--nwb", str(path), "--truth"]) == 0
    return path


def texts(column: Any) -> list[str]:
    return [value.decode() for value in column[:]]


def test_the_movies_scores_and_clips_of_a_run_are_in_the_file(run: Path, written: Path) -> None:
    from pynwb import NWBHDF5IO

    with NWBHDF5IO(written, "r") as source:
        file = source.read()
        clips, scores = file.intervals["clips"].to_dataframe(), file.analysis["scores"].to_dataframe()
        assert clips["trial"].tolist() == ["3", "7", "11"]
        rows = [
            row for task in (run / "tasks").glob("[!.]*") for row in json.loads((task / "row.json").read_text())["rows"]
        ]
        assert sorted(scores["video_correlation"]) == sorted(row["video_correlation"] for row in rows)
        assert {"trial", "method", "encoder", "condition", "status", "message", "oracle", "task"} <= set(scores)
        assert "text" not in scores and "lpips" in scores, "columns without a value are left out"
        for _, row in scores.iterrows():
            folder = run / "tasks" / row["task"]
            if not row["series"]:
                assert not (folder / "movie.h5").exists() or (row["trial"] == 7 and "bauer" in row["method"])
                continue
            series = file.analysis[row["series"]]
            clip = clips[clips["trial"] == str(row["trial"])].iloc[0]
            clock = series.timestamps[:] if series.rate is None else np.arange(len(series.data)) / series.rate
            own = (clock >= clip["start_time"] - 1e-6) & (clock < clip["stop_time"] - 1e-6)
            with h5py.File(folder / "movie.h5") as stored:
                movie = stored[f"{row['trial']}/reconstruction"][:]
            assert np.array_equal(series.data[:][own], movie.astype(np.float32))
            assert series.data.dtype == np.float32 and row["method"] in series.description
            assert series.unit == "grey level (0 black, 1 white)" and "recon 0." in series.description
        assert file.analysis["map_spectrum_seed0_recorded_seed0"].rate == 30.0
        assert float(file.analysis["map_spectrum_seed0_recorded_seed0_deviation"].data[5, 3, 3]) == 0.25
        assert file.analysis["bauer2025_1000_seed0_recorded_seed0"].rate is None, "one clip is missing"
        true = file.stimulus["true_movie"]
        with h5py.File(run / "clips.h5") as stored:
            shown = np.concatenate([stored[trial]["truth"][:] for trial in clips["trial"]])
        assert np.array_equal(true.data[:], shown) and true.conversion == pytest.approx(1 / 255)


def test_the_file_says_where_it_comes_from(run: Path, written: Path) -> None:
    with h5py.File(written) as file:
        facts = dict(zip(*(texts(file[f"analysis/provenance/{name}"]) for name in ("fact", "value")), strict=True))
        assert (
            file["general/subject/subject_id"][()] == b"29515"
            and file["general/subject/species"][()] == b"Mus musculus"
        )
        assert b"unknown" in file["session_description"][()]
    assert facts["run"] == "demo <1>" and facts["recording"] == "dynamic29515-10-12-Video"
    assert facts["settings"] == (run / "config.yaml").read_text() and facts["environment.torch"] == "2.11.0"
    assert set(facts["tasks"].split(", ")) == {task.name for task in (run / "tasks").glob("[!.]*")}


def test_without_asking_no_true_movie_is_written_and_nothing_is_replaced(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.nwb"
    notes = write_run(run, path)
    assert any("1 tasks have no movie" in note for note in notes) and any("--start" in note for note in notes)
    with h5py.File(path) as file:
        assert not list(file["stimulus/presentation"])
    assert main(["export", str(run), "--nwb", str(path)]) == 2 and "add --overwrite" in capsys.readouterr().err
    assert main(["export", str(run), "--nwb", str(path), "--overwrite"]) == 0
    assert main(["export", str(run), "--nwb", str(tmp_path / "run.h5")]) == 2
    assert main(["export", str(tmp_path), "--nwb", str(tmp_path / "other.nwb")]) == 2
    assert [each.name for each in tmp_path.iterdir()] == ["run.nwb"]


def test_nwbinspector_finds_nothing_but_suggestions_in_a_run(written: Path) -> None:
    if find_spec("nwbinspector") is None:
        pytest.skip("needs nwbinspector: pip install nwbinspector")
    from nwbinspector import inspect_nwbfile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = list(inspect_nwbfile(nwbfile_path=written))
    unknown = {"check_session_start_time_old_date", "check_experimenter_exists", "check_institution"}
    assert {one.check_function_name for one in found} <= unknown, found
    assert all(one.importance.name == "BEST_PRACTICE_SUGGESTION" for one in found)
