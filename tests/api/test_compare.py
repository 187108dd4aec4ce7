"""`recon.compare` and `recon.ablate`: the numbers of YAML, objects, resuming, notes, and what they refuse."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from worlds import own_lab
from worlds.ablation import section, write_prior
from worlds.bench import configuration

import recon
from recon import config
from recon.files import read_json
from recon.methods.linear.ridge import Ridge
from recon.study.ablation.rows import GAUSSIAN, MEAN, NO_TEXT, NULL, SILENT_PRIOR, TYPED_PRIOR, TYPED_TEXT
from recon.study.benchmark import benchmark

QUICK = {"preset": "map_spectrum", "iterations": 3}
TIMES = ["seconds", "learning_seconds"]


@pytest.fixture(scope="module")
def clips(world: Path) -> recon.ClipSet:
    return recon.open_recording(world / "recording").clips("test", count=3)


@pytest.fixture(scope="module")
def how(world: Path) -> dict[str, Any]:
    return {
        "judge": world / "encoder2.safetensors",
        "frames": (20, 4),
        "neurons": (0.1, 0.2),
        "device": "cpu",
        "artefacts": world / "artefacts",
        "progress": False,
    }


@pytest.fixture(scope="module")
def encoders(world: Path) -> dict[str, Any]:
    encoder = recon.load_encoder(world / "encoder0.safetensors", device="cpu")
    return {"first": encoder, "second": world / "encoder1.safetensors"}


@pytest.fixture(scope="module")
def table(world: Path, clips: recon.ClipSet, encoders: Any, how: dict[str, Any]) -> recon.ComparisonTable:
    methods = {"ridge": Ridge(), "map": QUICK}
    return recon.compare(clips, encoders, methods, run=world / "py", report=world / "page.html", **how)


def test_python_and_yaml_compute_the_same_numbers(world: Path, table: recon.ComparisonTable) -> None:
    run = benchmark(configuration(world))
    ours, theirs = table.frame(), recon.ComparisonTable.of(run).frame()
    assert ours.drop(columns=TIMES).equals(theirs.drop(columns=TIMES))
    files = sorted(path.relative_to(run) for path in run.glob("tasks/*/movie.h5"))
    assert len(files) == 2, "and the keys are the same"
    assert all((table.run / name).read_bytes() == (run / name).read_bytes() for name in files)


def test_a_table_is_a_data_frame_a_page_and_prints_itself(world: Path, table: recon.ComparisonTable) -> None:
    scores, frame = table.scores(), table.frame()
    assert scores.index.names == ["method", "trial"] and scores.shape[0] == 6 and table.methods == ("ridge", "map")
    np.testing.assert_array_equal(scores["video_correlation"], frame["video_correlation"])
    assert scores.loc["map"]["judge_correlation"].notna().all() and frame["trial"].dtype == np.int64
    assert (world / "page.html").read_bytes() == table.page().read_bytes()
    assert repr(table).splitlines()[0].split("  ")[0] == "method" and "<td" in table._repr_html_()
    assert repr(pickle.loads(pickle.dumps(table))) == repr(table)


def test_own_methods_resume_and_others_are_computed_anew_with_a_note(
    world: Path, clips: recon.ClipSet, encoders: Any, how: dict[str, Any], monkeypatch: Any, caplog: Any
) -> None:
    monkeypatch.syspath_prepend(str(world))
    own_lab.write(world, "our_lab")
    lab = own_lab.imported(world, "our_lab")
    caplog.set_level(logging.INFO, logger="recon")
    for done in (0, 1):
        caplog.clear()
        methods = {"named": lab.Grey(), "unnamed": lab.Grey(more=object())}
        found = recon.compare(clips, encoders, methods, run=world / "own", **how)
        assert caplog.text.count("done already") == done
        (note,) = found.notes
        assert note in repr(found)
        assert note.startswith("unnamed: computed anew each time, without cache: Grey.more is object")
    assert "object: our_lab.Grey" in (found.run / "config.yaml").read_text()
    with pytest.raises(recon.InputError, match=r"got the Python object our_lab\.Grey, which no file can hold"):
        benchmark(config.load(found.run / "config.yaml"))
    assert not found.frame()["video_correlation"].notna().any(), "a constant movie"


def test_what_cannot_be_compared_is_refused(clips: recon.ClipSet, encoders: Any, how: dict[str, Any]) -> None:
    with pytest.raises(recon.InputError, match="methods: expected at least one, got none"):
        recon.compare(clips, encoders, {}, **how)
    with pytest.raises(recon.InputError, match=r"got the class Ridge; call it: Ridge\(…\)"):
        recon.compare(clips, encoders, {"ridge": Ridge}, **how)
    module = torch.nn.Linear(1, 1)
    with pytest.raises(recon.InputError, match=r"got the torch module Linear; recon.wrap\(module, spec\) makes one"):
        recon.compare(clips, module, ["ridge"], **how)
    with pytest.raises(recon.InputError, match="expected a method with `denoiser"):
        recon.ablate(clips, encoders, "map_spectrum", **how)


@pytest.fixture
def ablation(world: Path, clips: recon.ClipSet, encoders: Any, how: dict[str, Any]) -> Iterator[Any]:
    """Ablate a tiny prior on a recording without captions."""
    captions = world / "recording/meta/trials/captions.jsonl"
    written = captions.read_bytes()
    method = section(write_prior(world / "prior.safetensors"))["method"]
    bare = {"name": "sample", "levels": 1, "denoiser": method["method"]["denoiser"]}
    captions.unlink()
    yield lambda **more: recon.ablate(clips, encoders, method, prior_only=bare, run=world / "ablated", **how, **more)
    captions.write_bytes(written)


def test_without_captions_a_prior_is_taken_apart_without_text(ablation: Any) -> None:
    found = ablation()
    assert found.table.methods == (GAUSSIAN, NO_TEXT, SILENT_PRIOR, NULL, MEAN)
    (note,) = found.table.notes
    assert "the rows with text are left out" in note and note in repr(found)
    means = found.scores().groupby("method")["video_correlation"].mean()
    numbers = found.findings().loc["video_correlation"]
    assert numbers.loc["gain", "value"] == pytest.approx(means[NO_TEXT] - means[GAUSSIAN])
    assert numbers.loc[f"{SILENT_PRIOR} − mean", "value"] == pytest.approx(means[SILENT_PRIOR] - means[MEAN])
    assert numbers.loc["sensitivity", "reason"] == "no row has other words"
    assert read_json(found.table.run / "ablation.json")["settings"]["text"] == "none"
    assert '"ablation":{' in found.page().read_text()


@pytest.mark.slow
def test_a_typed_text_stands_in_place_of_captions(ablation: Any) -> None:
    found = ablation(typed="a disc moves to the left")
    assert found.table.methods == (GAUSSIAN, NO_TEXT, TYPED_TEXT, TYPED_PRIOR, SILENT_PRIOR, NULL, MEAN)
    assert not found.table.notes and '"ablation":{' in found.page().read_text()
