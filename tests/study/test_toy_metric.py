"""A metric added by one file and one line of the registry is in list, results, tables, page, ablation and tuning."""

from __future__ import annotations

import csv
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from worlds.ablation import make_ablation, section
from worlds.bench import make_world
from worlds.finished_run import embedded, seal_run

from recon import cli
from recon.errors import InputError
from recon.files import write_table
from recon.metrics import METRICS
from recon.report.page import write_report
from recon.report.tables import markdown
from recon.study.ablation.ablate import conclude, prepared
from recon.study.ablation.rows import MEAN, Ablation
from recon.study.outputs import columns

FILE = '''
"""A toy metric."""

from recon.metrics.metric import Metric


def overlap(reconstruction, truth, pixel_mask=None):
    return 1 - (reconstruction - truth).abs().mean((1, 2, 3, 4))


TOY = Metric("overlap", "Toy overlap", "One minus the mean absolute difference", overlap, digits=2, shown="summary")
'''


@pytest.fixture(autouse=True)
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy.py").write_text(FILE)
    spec = importlib.util.spec_from_file_location("toy", tmp_path / "toy.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(METRICS, "overlap", module.TOY)


def test_it_is_in_list_results_tables_and_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    assert "One minus the mean absolute difference." in capsys.readouterr().out
    bench = make_world(tmp_path)
    assert cli.main(["benchmark", str(bench), "rows=[{label: mean, method: {name: mean}}]"]) == 0
    table = capsys.readouterr().out.splitlines()
    head = next(line for line in table if line.startswith("method"))
    assert "video r" in head and head.index("judge r") < head.index("toy overlap") < head.index("evaluations")
    with (tmp_path / "run" / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    values = [float(row["overlap"]) for row in rows]
    assert len(rows) == 3 and all(0.5 < value < 1 for value in values)
    mean, text = sum(values) / 3, markdown(tmp_path / "run" / "results.csv")
    assert f"{mean:.2f} [" in text and "toy overlap" in text
    page = embedded(tmp_path / "run" / "report.html")
    (column,) = [column for column in page["columns"] if column["key"] == "overlap"]
    assert (column["title"], column["digits"], column["higher"]) == ("Toy overlap", 2, True)
    assert page["methods"][0]["scores"]["overlap"]["mean"] == pytest.approx(mean)


def test_it_can_be_the_metric_of_an_ablation(tmp_path: Path) -> None:
    run = make_ablation(tmp_path / "run")
    with (run / "results.csv").open(newline="") as stream:
        rows = [row | {"overlap": row["video_correlation"]} for row in csv.DictReader(stream)]
    write_table(run / "results.csv", rows, columns())
    seal_run(run)
    settings = json.loads((run / "ablation.json").read_text())["settings"]
    ablation = Ablation(**section(metric="overlap", sweep=settings["sweep"], reference=settings["reference"]))
    conclude(replace(ablation, metric="overlap"), run)
    page = embedded(write_report(run))
    assert page["ablation"]["metrics"][0] == {"key": "overlap", "title": "Toy overlap"}
    gain = page["ablation"]["numbers"][0]["values"]
    assert gain[0]["value"] == pytest.approx(gain[1]["value"]) and page["ablation"]["metrics"][1]["title"] == "Video r"


def test_an_ablation_gives_its_numbers_of_further_scores(tmp_path: Path) -> None:
    run = make_ablation(tmp_path / "run")
    with (run / "results.csv").open(newline="") as stream:
        rows = [row | {"overlap": "" if row["method"] == MEAN else row["ssim"]} for row in csv.DictReader(stream)]
    write_table(run / "results.csv", rows, columns())
    seal_run(run)
    settings = json.loads((run / "ablation.json").read_text())["settings"]
    ablation = Ablation(**section(scores=("overlap",), sweep=settings["sweep"], reference=settings["reference"]))
    assert ablation.metrics == ("video_correlation", "ssim", "overlap")
    ssim, overlap = conclude(ablation, run).found[1:]
    assert overlap.sensitivity.value == ssim.sensitivity.value and overlap.sensitivity.low == ssim.sensitivity.low
    assert overlap.survives.reason.startswith("“mean” has no score"), "a score that some rows lack is undefined there"
    for wrong in ("overlapp", "lpips"):
        with pytest.raises(InputError, match=rf"scores: expected names out of video_correlation, .*got \['{wrong}'\]"):
            Ablation(**section(scores=(wrong,)))


def test_settings_can_be_tuned_by_it(tmp_path: Path) -> None:
    bench, study = make_world(tmp_path), tmp_path / "study.json"
    search = f"search={{study: {study}, space: {{method.beta: [0.1]}}, objective: {{overlap: 1.0}}}}"
    rows = "rows=[{label: map, method: {preset: map_spectrum, iterations: 2}}]"
    assert cli.main(["tune", str(bench), search, rows, "clips={tier: oracle, count: 2}"]) == 0
    assert 0.5 < json.loads(study.read_text())["best"]["scores"]["overlap"] < 1


def test_an_ablation_by_a_score_that_is_not_asked_for_is_refused(tmp_path: Path) -> None:
    tree = yaml.safe_load(make_world(tmp_path).read_text()) | {"ablation": section(metric="alexnet5_identification")}
    with pytest.raises(InputError, match=r"perceptual\.scores: expected alexnet5_identification"):
        prepared(tree)
    ablation, _ = prepared(tree | {"perceptual": {"scores": ["alexnet5_identification"]}})
    assert ablation.metrics == ("alexnet5_identification", "video_correlation", "ssim")
