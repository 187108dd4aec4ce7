"""Captions from tables and from captioners of known quality, and the study that compares them on planted neurons."""

from __future__ import annotations

import csv
import html
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from recon import config
from recon.analysis.language import features, outputs, study
from recon.analysis.language.features import binned, delayed, spoken
from recon.analysis.language.inputs import gather
from recon.analysis.language.maps import Map
from recon.cli import main
from recon.data.caption_tables import COLUMNS, Said, read_captions
from recon.data.sensorium import SensoriumRecording
from recon.simulate.graded_captioners import GRADED, graded_captions
from recon.simulate.recording import simulate
from recon.simulate.settings import TINY

WORDS = ("disk", "square", "star", "ring", "leaves", "cloudy", "photograph", "striped", "plain", "checkered", "spotted")


class CountedWords:
    """A text encoder that counts some words: enough to know what is shown, and quick."""

    asked = 0

    def __init__(self, source: str) -> None:
        self.source = source

    def __call__(self, texts: Sequence[str]) -> Tensor:
        CountedWords.asked += 1
        return torch.tensor([[float(text.lower().count(word)) for word in WORDS] for text in texts])


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> SensoriumRecording:
    """Planted neurons only: they respond to what is shown."""
    settings = replace(TINY, neurons=16, minutes=3.0, validation_clips=5, test_clips=7, repeats=2, semantic=1.0)
    return SensoriumRecording(simulate(tmp_path_factory.mktemp("language") / "w", settings, progress=False))


def test_captioners_get_worse_in_their_order(recording: SensoriumRecording) -> None:
    said = graded_captions(recording)
    assert tuple(said) == GRADED
    spans = [[one[:3] for one in captions] for captions in said.values()]
    assert all(own == spans[0] for own in spans)
    full, objects, _, half, unrelated = ([one.text for one in captions] for captions in said.values())
    assert all(
        set(few.split()) - {"and", "nothing"} <= set(all_.split()) for few, all_ in zip(objects, full, strict=True)
    )
    assert not any(wrong == right for wrong, right in zip(unrelated, full, strict=True))
    share = np.mean([wrong == right for wrong, right in zip(half, full, strict=True)])
    assert 0.2 < share < 0.8 and set(half) <= set(full)
    assert graded_captions(recording) == said


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl"])
def test_tables_are_read_in_every_form(suffix: str, recording: SensoriumRecording, tmp_path: Path) -> None:
    said = [Said(0, 0, 40, "git", 'a "star", moving'), Said(0, 40, 150, "git", "leaves"), Said(1, 0, 150, "blip", "é")]
    path, rows = tmp_path / f"captions.{suffix}", [one._asdict() for one in said]
    if suffix == "csv":
        with path.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([COLUMNS, *said])
    else:
        lines = [json.dumps(row) for row in rows]
        path.write_text("\n".join(lines) if suffix == "jsonl" else f"[{','.join(lines)}]", "utf-8")
    assert read_captions(path, recording) == {"git": said[:2], "blip": said[2:]}
    path = tmp_path / "whole.jsonl"
    path.write_text(json.dumps({"trial": 0, "captioner": "git", "text": "leaves"}))
    assert read_captions(path, recording) == {"git": [Said(0, 0, 150, "git", "leaves")]}


@pytest.mark.parametrize(
    "row, message",
    [
        ({"trial": 900}, "row 1: expected a trial of 0–"),
        ({"trial": "x"}, "row 1: trial: expected a whole number, got 'x'"),
        ({"first": 10, "end": 10}, "row 1: expected frames within 0–150, got 10–10"),
        ({"text": " "}, "row 1: expected a captioner and a text"),
        ({"first": 0, "end": 40}, "expected one caption of git at a time"),
    ],
)
def test_rows_that_do_not_fit_are_named(row: dict, message: str, recording: SensoriumRecording, tmp_path: Path) -> None:
    whole = {"trial": 0, "first": 30, "end": 60, "captioner": "git", "text": "leaves"}
    (tmp_path / "captions.json").write_text(json.dumps([whole | row, whole]))
    with pytest.raises(ValueError, match=message):
        read_captions(tmp_path / "captions.json", recording)


def test_files_that_are_no_tables_are_refused(recording: SensoriumRecording, tmp_path: Path) -> None:
    for name, content, message in (
        ("a.txt", "", "expected one of .csv"),
        ("a.json", "{}", "a dict instead of a list"),
        ("b.json", "[1]", "expected rows of named values"),
        ("a.jsonl", "{", "expected a table of captions"),
        ("a.csv", "trial,text\n", "expected captions, got none"),
        ("a.parquet", "no", "expected a table of captions"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=message):
            read_captions(tmp_path / name, recording)
    with pytest.raises(ValueError, match="expected a file of captions, got none"):
        read_captions(tmp_path / "absent.csv", recording)


def test_what_is_said_reaches_its_frames_and_later_bins() -> None:
    known = {"a": torch.tensor([1.0, 0.0]), "b": torch.tensor([0.0, 2.0])}
    over_time = spoken([Said(0, 0, 4, "x", "a"), Said(0, 6, 8, "x", "b")], known, frames=9)
    assert over_time[:, 0].tolist() == [1] * 4 + [0] * 5 and over_time[:, 1].tolist() == [0] * 6 + [2, 2, 0]
    late = delayed(binned(over_time, 2), 3)
    assert late.shape == (4, 6) and late[:, 0].tolist() == [1, 1, 0, 0] and late[:, 4].tolist() == [0, 0, 1, 1]


CONCEPTS = "words: full\nconcepts: {object: [disc, square, triangle, star, bar, ring], large or small: [large, small]}"


@pytest.mark.slow  # a whole study
def test_the_study_finds_the_order_of_captioners(
    recording: SensoriumRecording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(features, "TextEncoder", CountedWords)
    monkeypatch.setattr(outputs, "draw_map", lambda points: Map(points[:, :2], 0.5, 0.2, 0.9))  # UMAP compiles itself
    settings = [f"run={tmp_path}/run", f"recording={recording.path}", f"artefacts={tmp_path}/artefacts"]
    config = tmp_path / "language.yaml"
    config.write_text(f"run: x\nrecording: x\ncaptions: graded\nbin: 10\ndelays: 3\npermutations: 200\n{CONCEPTS}\n")
    assert main(["language", str(config), *settings]) == 0
    shown = capsys.readouterr().out
    assert "neurons predicted" in shown and "words alone, r²" in shown
    page = (tmp_path / "run/language.html").read_text("utf-8")
    titles = ("Whose words predict the neurons", "Concepts", "Words or the picture's statistics")
    assert all(html.escape(title) in page for title in (*titles, "What the activity says in words"))
    tables = {}
    names = ("captioners", "neurons", "differences", "partitions", "words", "concepts", "reading", "texts")
    for name in (*names, "map_clips"):
        with (tmp_path / f"run/{name}.csv").open(newline="") as stream:
            tables[name] = list(csv.DictReader(stream))
    r = {row["captioner"]: float(row["r"]) for row in tables["captioners"]}
    assert r["full"] > 0.3 and r["full"] > r["half wrong"] > r["unrelated"] - 0.05 and abs(r["unrelated"]) < 0.2
    told = {row["captioner"]: float(row["told"]) for row in tables["captioners"]}
    assert told["full"] >= 0.25 and told["unrelated"] <= 0.1  # of 16 neurons, with 14 clips
    assert sum(float(row["wins"]) for row in tables["captioners"] if row["wins"]) == pytest.approx(1)
    pair = next(row for row in tables["differences"] if (row["first"], row["second"]) == ("full", "unrelated"))
    assert float(pair["low"]) > 0 and float(pair["p_holm"]) < 0.05
    assert len(tables["neurons"]) == 16 * len(GRADED)
    assert {row["word"] for row in tables["concepts"]} <= {"object", "large or small"}
    assert {row["unit"] for row in tables["concepts"]} == {row["unit"] for row in tables["neurons"]}
    known = [float(row["ceiling"]) for row in tables["neurons"] if row["ceiling"]]
    assert len(known) > 40 and max(known) <= 1
    asked, texts = CountedWords.asked, ["a star", "a ring"]
    first = features.embeddings(texts, "x", tmp_path)
    assert torch.equal(first["a ring"], features.embeddings(texts[::-1], "x", tmp_path)["a ring"])
    assert CountedWords.asked == asked + 1  # embeddings are kept by content


def test_clips_that_were_learnt_from_are_not_asked_about(recording: SensoriumRecording, tmp_path: Path) -> None:
    tree = {"run": str(tmp_path), "recording": str(recording.path), "captions": "graded", "asked": ["train"]}
    with pytest.raises(ValueError, match="expected at least 3 clips with responses that are not learnt from"):
        study.study_language(tree)
    with pytest.raises(ValueError, match="bin: expected greater than or equal to 1, got 0"):
        study.study_language(tree | {"bin": 0})


def test_a_recording_without_captions_has_no_graded_captioners(world: Path) -> None:
    recording = SensoriumRecording(world / "recording")
    (recording.path / "meta/trials/captions.jsonl").rename(recording.path / "meta/trials/kept.jsonl")
    with pytest.raises(ValueError, match="expected captions of scenes, got none"):
        graded_captions(SensoriumRecording(recording.path))
    (recording.path / "meta/trials/kept.jsonl").rename(recording.path / "meta/trials/captions.jsonl")


def test_concepts_that_nobody_mentions_are_named(recording: SensoriumRecording, tmp_path: Path) -> None:
    tree = {"run": str(tmp_path), "recording": str(recording.path), "captions": "graded"}
    tree["concepts"] = {"object": ["disc", "ring"], "animal": ["zebra"]}
    with pytest.raises(ValueError, match="concepts: expected words of captions, got none of animal"):
        study.study_language(tree)


def test_captions_of_one_source_count_once(recording: SensoriumRecording, tmp_path: Path) -> None:
    tree = {"run": tmp_path, "recording": recording.path, "captions": "graded"}
    material = gather(config.record(study.LanguageStudy, tree, where="language"))
    trial = material.learning.trials[0]
    for scene in recording.scenes(trial):
        inside = Said(trial, (scene["first"] + scene["end"]) // 2, scene["end"], "x", "a star")
        assert material.content(inside) == scene["source"]
    assert material.content(Said(trial, 10**6, 10**6 + 1, "x", "a star")) == recording.video_ids[trial]
