"""`recon ablate` from configuration to page, on a tiny world with a prior of random weights."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf
from worlds.ablation import section, write_prior
from worlds.bench import configuration
from worlds.finished_run import embedded

from recon import cli
from recon.errors import InputError
from recon.study.ablation import ablate as ablations
from recon.study.ablation.ablate import ablate, prepared, scores
from recon.study.ablation.rows import (
    FULL,
    GAUSSIAN,
    MEAN,
    NO_PRIOR,
    NO_TEXT,
    NULL,
    PRIOR,
    SHUFFLED_TEXT,
    SILENT_PRIOR,
    TRUE_TEXT,
    TYPED_PRIOR,
    TYPED_TEXT,
)
from recon.study.ablation.trees import with_text


@pytest.fixture(scope="module")
def tree(world: Path) -> dict[str, Any]:
    chosen = section(write_prior(world / "prior.safetensors"), sweep={"guidance": [0.0], "beta": [3.0]})
    rows = [{"label": "ridge", "method": {"name": "ridge"}}]
    return configuration(world) | {"rows": rows, "ablation": chosen, "run": str(world / "ablated")}


@pytest.fixture(scope="module")
def config(world: Path, tree: dict[str, Any]) -> Path:
    OmegaConf.save(OmegaConf.create(tree), world / "ablation.yaml")
    return world / "ablation.yaml"


@pytest.fixture(scope="module")
def run(world: Path, config: Path) -> Path:
    assert cli.main(["ablate", str(config)]) == 0
    return world / "ablated"


def test_every_condition_is_run_on_the_same_clips(run: Path) -> None:
    with (run / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    clips = {row["trial"] for row in rows}
    by_label = {
        label: [row for row in rows if row["method"] == label] for label in dict.fromkeys(r["method"] for r in rows)
    }
    assert len(by_label) == 11 + 2 + 1 and "ridge" in by_label
    assert all({row["trial"] for row in own} == clips for own in by_label.values())
    oracle = {label for label, own in by_label.items() if own[0]["oracle"] == "True"}
    assert oracle == {TRUE_TEXT} and by_label[NULL][0]["condition"] == "wrong_clip"
    assert {row["status"] for row in rows} == {"finished"}


def test_a_prior_alone_never_asks_an_encoder_to_lead_it(run: Path) -> None:
    found = {}
    for file in run.glob("tasks/*/config.yaml"):
        made = yaml.safe_load(file.read_text())
        found[made["label"]] = json.loads((file.parent / "row.json").read_text())["rows"][0]["evaluations"]
    assert found[SILENT_PRIOR] <= 1 < found[FULL]


def test_the_numbers_are_those_of_the_table(run: Path) -> None:
    written = json.loads((run / "ablation.json").read_text())
    by_video = {label: np.mean(list(own.values())) for label, own in scores(run, "video_correlation").items()}
    (video, ssim) = written["findings"]
    assert (video["metric"], ssim["metric"]) == ("video_correlation", "ssim")
    assert video["gain"]["value"] == pytest.approx(by_video[FULL] - by_video[GAUSSIAN])
    assert video["sensitivity"]["value"] == pytest.approx(by_video[FULL] - by_video[SHUFFLED_TEXT])
    assert video["controls"][PRIOR]["value"] == pytest.approx(by_video[PRIOR] - by_video[MEAN])
    assert written["points"][FULL]["video_correlation"] == pytest.approx(by_video[FULL])
    assert written["curves"] == {"guidance": ["guidance 0", FULL], "beta": [FULL, "beta 3"]}
    assert written["settings"]["typed"].startswith("the camera pans")


def test_it_goes_on_where_it_stopped_and_says_what_it_found(
    run: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run / "ablation.json").read_text()
    assert cli.main(["ablate", str(config)]) == 0
    said = capsys.readouterr().out
    assert said.count("done already") == 14
    assert (run / "ablation.json").read_text() == before
    for part in ("video r", "by video_correlation:", "by ssim:", "gain of the learnt prior", "control: ", "WARNING: "):
        assert part in said
    assert f"page: {run / 'report.html'}" in said


def test_the_page_has_the_section_and_report_writes_it_again(run: Path) -> None:
    page = run / "report.html"
    first = embedded(page)["ablation"]
    page.unlink()
    assert cli.main(["report", str(run)]) == 0
    assert embedded(page)["ablation"] == first and len(first["numbers"]) == 3


def test_a_configuration_without_the_section_says_what_to_add(tree: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected the section `ablation` in the configuration, got run, recording"):
        ablate({key: value for key, value in tree.items() if key != "ablation"})


def test_a_row_that_has_a_label_of_the_ablation_is_refused(tree: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"rows: expected different labels, got \['mean'\]"):
        ablate({**tree, "rows": [{"label": "mean", "method": {"name": "mean"}}]})


def test_an_unknown_knob_is_named_before_anything_is_run(tree: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="sweep: expected one of guidance, beta, got 'scale'"):
        prepared({**tree, "ablation": {**tree["ablation"], "sweep": {"scale": [1.0]}}})


def labels(tree: dict[str, Any], **changed: Any) -> list[str]:
    _, made = prepared({**tree, "ablation": {**tree["ablation"], **changed}, "rows": []})
    return [row["label"] for row in made["rows"]]


def test_without_captions_the_rows_with_text_are_left_out(tree: dict[str, Any], tmp_path: Path) -> None:
    bare = shutil.copytree(tree["recording"], tmp_path / "bare")
    (bare / "meta/trials/captions.jsonl").unlink()
    tree = {**tree, "recording": str(bare)}
    silent = [NO_PRIOR, GAUSSIAN, NO_TEXT, SILENT_PRIOR, NULL, MEAN]
    assert labels(tree) == [*silent, "beta 3"], "without text no guidance is swept"
    assert labels(tree, text="decoded")[3:6] == [TRUE_TEXT, FULL, SHUFFLED_TEXT]
    decoded = {"name": "decoded", "said": "captions.csv:somebody"}
    assert labels(tree, text="auto", method=with_text(tree["ablation"]["method"], decoded))[3] != TRUE_TEXT
    typed = [NO_PRIOR, GAUSSIAN, NO_TEXT, TYPED_TEXT, TYPED_PRIOR, SILENT_PRIOR, NULL, MEAN]
    assert labels(tree, text="typed", no_prior=None) == [*typed[1:], "guidance 0", "beta 3"]
    with pytest.raises(ValueError, match="typed: expected a caption for text typed, got none"):
        labels(tree, text="typed", typed=None)


def test_the_command_tells_the_prior_a_typed_text(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(ablations, "ablate", lambda tree, **_: asked.append(tree["ablation"]) or stop())
    assert cli.main(["ablate", str(config), "--typed", "a disc"]) == 2
    assert (asked[0]["typed"], asked[0]["text"]) == ("a disc", "typed")


def stop() -> None:
    raise InputError("stopped")
