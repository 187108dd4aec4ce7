"""`recon train encoder`: from a recording on disk to weights with a true card."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from worlds.interrupts import interrupt_at

import recon
from recon.data.open import open_recording
from recon.encoders.base import freeze
from recon.encoders.checkpoints import SHIPPED, load_encoder
from recon.encoders.training.clips import TrainingClip, evaluate
from recon.errors import InputError
from recon.simulate.recording import GENERATOR_VERSION, simulate
from recon.simulate.settings import TINY, SimulationSettings
from recon.train.encoder import oracle_correlation, train_encoder

SETTINGS = replace(TINY, neurons=8, minutes=0.2, validation_clips=2, test_clips=1, repeats=2, train_frames=90)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("recordings") / "tiny", SETTINGS, progress=False)


def _config(
    recording: Path, output: Path, *, seed: int = 0, changes: dict[str, object] | None = None
) -> dict[str, object]:
    core = {"lags": 4, "temporal": 2, "features": 4, "hidden": 4}
    training = {"steps": 6, "batch": 2, "frames": 30, "validate_every": 3, "warmup_frames": 20, "seed": seed}
    config = {"recording": str(recording), "output": str(output), "architecture": {"core": core}}
    return config | {"training": training, "validations": 3} | (changes or {})


def test_the_card_is_true(recording: Path, tmp_path: Path) -> None:
    path = train_encoder(_config(recording, tmp_path / "tiny.safetensors"))
    card = json.loads(path.with_suffix(".json").read_text())
    opened = open_recording(recording)
    assert card["data"]["fingerprint"] == opened.fingerprint()
    assert card["name"] == "tiny" and card["data"]["recording"] == opened.name
    assert card["command"] == "none: called from Python"
    encoder = freeze(load_encoder(path))
    assert encoder.spec.neuron_ids == opened.unit_ids
    assert encoder.spec.degrees_per_pixel == opened.degrees_per_pixel
    trials = [opened.trial(index) for index in opened.trials("oracle")]
    score = evaluate(encoder, [TrainingClip(t.movie, t.responses, t.behavior) for t in trials], warmup=20).nanmean()
    assert card["validation_correlation"] == pytest.approx(float(score), abs=2e-3)
    ceiling = oracle_correlation(trials, warmup=20).nanmean()
    assert card["oracle_ceiling"] == pytest.approx(float(ceiling), abs=1e-4)
    assert card["validation_correlation"] < card["oracle_ceiling"]


def test_equal_settings_give_equal_weights_and_another_seed_others(recording: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.safetensors" for name in "abc"]
    for file, seed in zip(files, (0, 0, 1), strict=True):
        train_encoder(_config(recording, file, seed=seed))
    first, again, other = (load_encoder(file).state_dict() for file in files)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["readout._features"], other["readout._features"])


def test_an_interrupted_training_is_refused_by_one_of_other_settings(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of another size have weights of the same shape: nothing but the settings tells them apart."""
    monkeypatch.setattr("recon.encoders.training.loop.SAVE_SECONDS", -1.0)
    output = tmp_path / "tiny.safetensors"
    whole = load_encoder(train_encoder(_config(recording, tmp_path / "whole.safetensors"))).state_dict()
    with interrupt_at(40), pytest.raises(KeyboardInterrupt):
        train_encoder(_config(recording, output))
    batches = {"steps": 6, "batch": 3, "frames": 30, "validate_every": 3, "warmup_frames": 20, "seed": 0}
    with pytest.raises(InputError, match=r"tiny\.training: .*got that of other settings, data or code; delete it"):
        train_encoder(_config(recording, output, changes={"training": batches}))
    resumed = load_encoder(train_encoder(_config(recording, output) | {"memory": 1.0})).state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not list(tmp_path.glob("*.training"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "transformer"}, "core_readout"),
        ({"architecture": {"depth": 3}}, "depth"),
        ({"training": {"steps": "many"}}, "training.steps"),
        ({"colour": 1}, "colour"),
        ({"recording": "nowhere"}, "nowhere"),
    ],
)
def test_a_wrong_configuration_is_refused(
    recording: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train_encoder(_config(recording, tmp_path / "x.safetensors", changes=changes))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["v1_seed0", "v1_seed1", "v1_seed2", "v1_judge"])
def test_shipped_weights_were_trained_on_the_default_simulation(name: str) -> None:
    """Fails when the simulation's defaults change: then retrain with the commands of the cards."""
    made_by = json.loads((SHIPPED / f"{name}.json").read_text())["data"]["made_by"]
    settings = json.loads(json.dumps(asdict(SimulationSettings()), default=str))
    assert made_by["generator"] == GENERATOR_VERSION
    assert made_by["settings"] == {name: settings[name] for name in made_by["settings"]}
    assert load_encoder(name).spec.degrees_per_pixel == settings["degrees_per_pixel"]


def test_an_interrupted_training_is_not_resumed_with_other_data(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recon.encoders.training.loop.SAVE_SECONDS", -1.0)
    output, other = (
        tmp_path / "tiny.safetensors",
        simulate(tmp_path / "other", replace(SETTINGS, seed=1), progress=False),
    )
    with interrupt_at(40), pytest.raises(KeyboardInterrupt):
        train_encoder(_config(recording, output))
    with pytest.raises(InputError, match=r"got that of other settings, data or code; delete it to start again"):
        train_encoder(_config(recording, output) | {"recording": str(other)})
    train_encoder(_config(recording, output))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "tiny.json", "tiny.safetensors"]


def test_trials_shorter_than_the_lags_are_left_out_or_named_before_anything_is_learnt(tmp_path: Path) -> None:
    random, still = np.random.default_rng(0), {"degrees_per_pixel": 4.0, "frame_rate": 30.0}
    for name, lengths in (("mixed", [40, 10, 40, 10, 60]), ("short", [10, 12, 9, 11, 10])):
        movies = [random.random((length, 18, 32)) for length in lengths]
        responses = [random.random((4, length)) for length in lengths]
        tiers = ["train"] * 3 + ["validation", "train"]
        if name == "mixed":
            tiers = ["train"] * 4 + ["validation"]
        recon.from_arrays(movies, responses, tiers=tiers, animal=name, folder=tmp_path / name, **still)
    few = {"training": {"steps": 2, "batch": 2, "frames": 30, "validate_every": 1, "warmup_frames": 2}}
    assert train_encoder(_config(tmp_path / "mixed", tmp_path / "mixed.safetensors", changes=few)).is_file()
    changes: list[dict[str, object]] = [few, {"encoder": "glm", "architecture": {"lags": 20}, "fit": {}}]
    for change in changes:
        least = 20 if "encoder" in change else 14
        said = rf"short: expected training trials of at least {least} frames.* got 9–12; cut longer trials, or lower"
        with pytest.raises(InputError, match=said):
            train_encoder(_config(tmp_path / "short", tmp_path / "short.safetensors") | change)


def test_gaps_of_the_pupil_are_refused_by_name_or_learnt_to_do_without(recording: Path, tmp_path: Path) -> None:
    """The eye tracker is lost for a stretch of a training trial; encoders of other channels train as they did."""
    mine = tmp_path / "mine"
    shutil.copytree(recording, mine)
    (trial, *_), (held_out, *_) = (open_recording(mine).trials(tier) for tier in ("train", "oracle"))
    whole = np.load(mine / f"data/behavior/{held_out}.npy")
    spoil(mine / f"data/behavior/{trial}.npy")
    with pytest.raises(InputError, match=rf"expected pupil_dilation in .* training trials, .* in trials {trial};"):
        train_encoder(_config(mine, tmp_path / "a.safetensors"))
    train_encoder(_config(mine, tmp_path / "b.safetensors", changes={"behavior": ["running_speed"]}))
    usual = train_encoder(_config(recording, tmp_path / "c.safetensors", changes={"behavior": ["running_speed"]}))
    first, second = (load_encoder(tmp_path / f"{name}.safetensors").state_dict() for name in "bc")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert "behavior" not in json.loads(usual.with_suffix(".json").read_text())
    np.save(mine / f"data/behavior/{trial}.npy", np.load(recording / f"data/behavior/{trial}.npy"))
    spoil(mine / f"data/behavior/{held_out}.npy")
    with pytest.raises(InputError, match=rf"expected pupil_dilation in .* validation trials, .* in trials {held_out};"):
        train_encoder(_config(mine, tmp_path / "a.safetensors"))

    training = {"steps": 6, "batch": 2, "frames": 30, "validate_every": 3, "warmup_frames": 20, "behavior_dropout": 0.3}
    path = train_encoder(_config(mine, tmp_path / "d.safetensors", changes={"training": training}))
    encoder, card = load_encoder(path), json.loads(path.with_suffix(".json").read_text())
    assert len(encoder.spec.behavior_means) == 2 and card["behavior"].startswith("optional")
    assert card["training"]["behavior_dropout"] == 0.3 and np.isfinite(card["validation_correlation"])
    movie = open_recording(mine).trial(trial).movie[None]
    mean = torch.zeros(4, 1).index_copy(0, torch.tensor([0, 1]), torch.tensor(encoder.spec.behavior_means)[:, None])
    assert torch.equal(encoder(movie), encoder(movie, mean.expand(1, 4, movie.shape[2]))) and not np.isnan(whole).any()


def test_channels_that_a_recording_lacks_are_left_out(recording: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(recording, mine)
    for file in (mine / "data/behavior").glob("*.npy"):
        array = np.load(file)
        array[0] = np.nan
        np.save(file, array)
    encoder = load_encoder(train_encoder(_config(mine, tmp_path / "a.safetensors")))
    assert encoder.spec.behavior == ("running_speed",) and not encoder.spec.behavior_means


def spoil(file: Path) -> None:
    """Lose the pupil for ten frames."""
    array = np.load(file)
    array[0, 20:30] = np.nan
    np.save(file, array)
