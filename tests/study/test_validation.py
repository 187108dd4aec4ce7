"""Validation at second 0: every row against recording, encoders, captions, weights, judge and frames, all at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from worlds.bench import write_encoder

from recon import config
from recon.analysis.identification.captions import identify_captions
from recon.analysis.identification.stimuli import identify
from recon.cli import main
from recon.data.sensorium import SensoriumRecording
from recon.errors import InputError
from recon.methods.requirements import Needs, Supply, unmet
from recon.study.benchmark import benchmark
from recon.study.rerun import rerun
from recon.study.tune import tune
from recon.study.validation import validated

Tree = dict[str, Any]
DIFFUSION = {"name": "diffusion", "any_scale": True}


@pytest.fixture
def mine(world: Path, tmp_path: Path) -> Path:
    """A recording as an experimenter has it, without captions and without noise-free rates."""
    folder = tmp_path / "mine"
    shutil.copytree(world / "recording", folder)
    shutil.rmtree(folder / "data/rates")
    (folder / "meta/trials/captions.jsonl").unlink()
    return folder


@pytest.fixture
def own(tree: Tree, mine: Path) -> Tree:
    return tree | {"recording": str(mine)}


def problems(tree: Tree) -> str:
    """Return the error of a configuration, of which nothing may be written."""
    with pytest.raises(InputError) as caught:
        benchmark(tree)
    assert not Path(tree["run"]).exists()
    return str(caught.value)


def with_row(tree: Tree, method: Any, **more: Any) -> Tree:
    return tree | {"rows": [{"label": "own", "method": method, **more}]}


def tiers(folder: Path, change: Callable[[list[str]], list[str]]) -> None:
    path = folder / "meta/trials/tiers.npy"
    np.save(path, np.array(change(np.load(path).tolist())))


def one_training_trial(folder: Path) -> None:
    first = SensoriumRecording(folder).trials("train")[0]
    tiers(folder, lambda known: ["none" if t == "train" and i != first else t for i, t in enumerate(known)])


ROWS: dict[str, tuple[Any, dict[str, Any], tuple[str, ...]]] = {
    "rates of a recording": (
        {"name": "mean"},
        {"condition": "noise_free"},
        ("condition noise_free", "expected a simulation with rates", "use recorded"),
    ),
    "captions of the clips": ({"name": "mean"}, {"words": "true"}, ("words true", "expected captions", "words none")),
    "captions of training trials": (
        {"name": "sample", "denoiser": {**DIFFUSION, "text": {"name": "decoded"}}},
        {},
        ("captions: expected captions of training trials", "got none", "captions.jsonl"),
    ),
    "words of a row": (
        {"name": "sample", "denoiser": {**DIFFUSION, "text": {"name": "given"}}},
        {},
        ("text given: expected the row's words", "got none", "set words"),
    ),
    "a decoder of other neurons": (
        {"name": "convolutional", "weights": "v1_decoder_seed0"},
        {},
        ("expected a decoder of the", "904 other neurons", "leave out `weights`"),
    ),
    "a prior that is not there": (
        {"name": "sample", "denoiser": {**DIFFUSION, "weights": "nowhere.safetensors"}},
        {},
        ("weights: expected a diffusion prior of movies", "'nowhere.safetensors'", "recon train prior"),
    ),
    "bins longer than clips": ({"name": "mean"}, {"bins": 1000}, ("bins: expected 1 to 90 frames", "got 1000")),
    "acquisition times": ({"name": "mean"}, {"bins": "acquisition"}, ("bins: expected acquisition times", "got none")),
    "sub-clips of bins": ({"preset": "bauer2025_fixed"}, {"bins": 2}, ("sub-clips", "got bins", "set bins to 1")),
    "a share without neurons": ({"name": "mean"}, {"population": {"share": 1e-6}}, ("population: expected neurons",)),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_row_that_cannot_run_is_refused_before_anything_is_computed(own: Tree, row: str) -> None:
    method, more, parts = ROWS[row]
    found = problems(with_row(own, method, **more))
    assert found.startswith("row own: ") and "\n" not in found
    for part in parts:
        assert part in found


def test_places_are_told_from_captions_of_simulated_scenes_alone(tree: Tree, mine: Path, world: Path) -> None:
    told = {**DIFFUSION, "text": {"name": "given", "place": True}}
    row = with_row(tree, {"name": "sample", "denoiser": told}, words="true")
    assert validated(row)
    written = (world / "recording/meta/trials/captions.jsonl").read_text().replace('"facts"', '"notes"')
    (mine / "meta/trials/captions.jsonl").write_text(written)
    found = problems(row | {"recording": str(mine)})
    assert found.startswith("row own: text given: expected captions of simulated scenes") and "leave out place" in found


def test_one_training_trial_is_too_few_for_ridge(own: Tree, mine: Path) -> None:
    one_training_trial(mine)
    assert problems(own).startswith("row ridge: training trials: expected at least 2 of tier 'train', got 1 in")


def test_training_trials_without_responses_are_named(own: Tree, mine: Path) -> None:
    first = SensoriumRecording(mine).trials("train")[0]
    path = mine / f"data/responses/{first}.npy"
    path.unlink()
    assert f"got none in trial {first}" in problems(own)


def test_encoders_that_use_behavior_need_it(own: Tree, mine: Path) -> None:
    for variable in ("behavior", "pupil_center"):
        shutil.rmtree(mine / "data" / variable)
    found = problems(own)
    assert "row map: behavior: expected running_speed as the encoders use, got none" in found
    assert "train encoders with behavior=[]" in found


def test_a_clip_is_never_its_own_null(own: Tree, world: Path) -> None:
    alone = own | {"clips": {"count": 1}, "recording": str(world / "recording")}
    for given in ({"condition": "wrong_clip"}, {"words": "shuffled"}):
        assert "expected at least 2 clips of equal length, got 1; raise clips.count" in problems(
            with_row(alone, {"name": "mean"}, **given)
        )


def test_a_stop_rule_needs_selection_neurons(own: Tree) -> None:
    stopping = {"preset": "map_spectrum", "stop": {"every": 2, "patience": 3}}
    found = problems(with_row(own | {"neurons": {"selection": 0.0, "report": 0.2}}, stopping))
    assert "stop: expected selection neurons, got none; raise neurons.selection" in found


def test_another_animal_must_have_seen_the_clips(own: Tree, world: Path, mine: Path) -> None:
    clip = SensoriumRecording(mine).trials("live_test_main")[0]
    path = mine / f"data/videos/{clip}.npy"
    np.save(path, 255 - np.load(path))
    other = {"recording": str(mine), "encoder": own["encoders"]["second"]}
    tree = own | {"recording": str(world / "recording"), "animals": {"other": other}}
    found = problems(with_row(tree, {"preset": "map_spectrum"}, animals=["other"]))
    assert "animals.other: expected the video" in found and "got other pixels" in found


def test_all_problems_are_listed_at_once(
    own: Tree, mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = SensoriumRecording(mine)
    write_encoder(tmp_path / "few.safetensors", recording, seed=0, neurons=20)
    np.save(tmp_path / "mask.npy", np.ones((10, 10)))
    few = {"name": "core_readout", "weights": str(tmp_path / "few.safetensors")}
    rows = [
        {"label": "typing", "method": {"name": "rigde"}},
        {"label": "another", "method": {"preset": "map_spectrum", "iterations": "many"}},
        {"label": "repeats", "method": {"name": "mean"}, "bins": 1000, "words": "true"},
        {"label": "encoder", "method": {"name": "mean"}, "encoders": ["few"]},
    ]
    tree = own | {"judge": few, "mask": {"file": str(tmp_path / "mask.npy")}, "rows": rows}
    OmegaConf.save(OmegaConf.create(tree | {"encoders": own["encoders"] | {"few": few}}), tmp_path / "bench.yaml")
    assert main(["benchmark", str(tmp_path / "bench.yaml")]) == 2
    heading, *lines = capsys.readouterr().err.splitlines()
    assert heading.startswith("recon: benchmark: expected a configuration that can run, got 7 problems; correct them")
    assert [line[:5] for line in lines] == [f"  {number}. " for number in range(1, 8)]
    for part, line in zip(
        (
            "rows[0].method.name: expected one of",
            "rows[1].method.iterations: expected integer",
            "encoders.few: expected 24 neurons",
            "judge: expected",
            "mask.npy: expected a mask of (16, 24) pixels, got (10, 10)",
            "row repeats: bins: expected 1 to 90",
            "row repeats: words true: expected captions",
        ),
        lines,
        strict=True,
    ):
        assert part in line
    assert not Path(tree["run"]).exists()


def test_names_that_are_not_there_are_listed_for_all_rows(own: Tree) -> None:
    rows = [{"label": label, "method": {"name": "mean"}, "encoders": ["nobody"]} for label in ("one", "two")]
    found = problems(own | {"rows": rows})
    assert "1. benchmark: row one: expected encoders of" in found and "2. benchmark: row two:" in found


def test_what_can_run_passes(own: Tree, tree: Tree) -> None:
    assert [entry.row.label for entry in validated(config.expand(own)).plans] == ["ridge", "map"]
    oracles = [{"label": name, "method": {"name": "mean"}, "condition": name} for name in ("noise_free", "predicted")]
    validated(config.expand(tree | {"rows": oracles}))


def test_identification_needs_validation_clips_and_segments_that_fit(own: Tree, mine: Path) -> None:
    with pytest.raises(InputError, match=r"identify\.lengths: expected segments of at most 2\.20 s"):
        identify(own | {"identify": {"lengths": [5.0]}})
    tiers(mine, lambda known: ["none" if tier == "oracle" else tier for tier in known])
    with pytest.raises(InputError, match="encoding: expected validation clips"):
        identify(own)
    assert not Path(own["run"]).exists()


def test_caption_decoders_are_refused_together(mine: Path, tmp_path: Path) -> None:
    decoders = {"ridge": {}, "network": {"reader": "contrastive", "generated": 4, "noise": {"name": "poisson"}}}
    tree = {"run": str(tmp_path / "run"), "recording": str(mine), "captions": decoders, "device": "cpu"}
    with pytest.raises(InputError) as caught:
        identify_captions(tree)
    assert [problem.partition(": expected")[0] for problem in caught.value.problems] == [
        "captions.ridge: captions",
        "captions.network: captions",
    ]
    assert not (tmp_path / "run").exists()


def test_a_search_is_refused_before_its_first_combination(own: Tree, tmp_path: Path) -> None:
    row = {"label": "map", "method": {"preset": "map_spectrum", "iterations": 4}}
    space = {"method.beta": [0.1, "much"]}
    tree = own | {"rows": [row], "clips": {"tier": "oracle", "count": 2}}
    tree |= {"search": {"study": str(tmp_path / "study.json"), "space": space, "iterations": [2, 9]}}
    with pytest.raises(InputError, match=r"rows\[0\] with .*'much'.*\.method\.beta: expected number"):
        tune(tree)
    tree["search"]["space"] = {"method.beta": [0.1, 0.2]}
    with pytest.raises(InputError) as caught:
        tune(tree)
    assert len(caught.value.problems) == 2 and "expected at most 4" in str(caught.value)
    assert not Path(own["run"]).exists() and not (tmp_path / "study.json").exists()


def test_a_run_whose_recording_lost_trials_is_not_repeated(own: Tree, mine: Path, tmp_path: Path) -> None:
    run = benchmark(own | {"rows": [{"label": "ridge", "method": {"name": "ridge"}}]})
    one_training_trial(mine)
    with pytest.raises(InputError, match="row ridge: training trials: expected at least 2"):
        rerun(run, tmp_path / "again")
    assert not (tmp_path / "again").exists()


@dataclass(frozen=True)
class Requires:
    needs: Needs


def test_requirements_are_told_in_a_sentence_each() -> None:
    supply = Supply("mine", (10, 12), 90, 60.0, context=14, validation=(80,), canvases=2)
    for needs, part in (
        (Needs(context=True), "at least 14 frames as the encoders' context, got 10"),
        (Needs(frames=16), "one of at least 16 frames, got at most 12"),
        (Needs(validation=True), r"one of 90 frames as the clips (tier oracle), got [80]"),
        (Needs(rate=30.0), "expected a recording at 30 Hz as generated movies are, got 60 Hz"),
        (Needs(canvas=True), "expected encoders of one canvas, got 2 sizes"),
        (Needs(trials=3), "at least 3 of tier 'train', got 2"),
        (Needs(clips=2), "expected at least 2 of 90 frames as the clips, got 0 in mine"),
    ):
        (told,) = unmet(Requires(needs), supply)
        assert part in told
    assert not list(unmet(Requires(Needs(trials=2, clips=0)), supply))
