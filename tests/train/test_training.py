"""`recon train encoder`: from a recording on disk to weights with a true card."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from recon.data.open import open_recording
from recon.encoders.base import freeze
from recon.encoders.checkpoints import SHIPPED, load_encoder
from recon.encoders.training.clips import TrainingClip, evaluate
from recon.errors import InputError
from recon.simulate.recording import GENERATOR_VERSION, simulate
from recon.simulate.settings import TINY, SimulationSettings
from recon.train.encoder import oracle_correlation, train_encoder
from recon.train.resume import resumable

SETTINGS = replace(TINY, neurons=8, minutes=0.2, validation_clips=2, test_clips=1, repeats=2, train_frames=90)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("recordings") / "tiny", SETTINGS, progress=False)


def _config(
    recording: Path, output: Path, *, seed: int = 0, changes: dict[str, object] | None = None
) -> dict[str, object]:
    core = {"lags": 4, "temporal": 2, "features": 4, "hidden": 4}
    training = {"steps": 6, "batch": 2, "frames": 30, "validate_every": 3, "warmup_frames": 20, "seed": seed}
    config = {"name": "tiny", "recording": str(recording), "output": str(output), "architecture": {"core": core}}
    return config | {"training": training, "validations": 3} | (changes or {})


def test_the_card_is_true(recording: Path, tmp_path: Path) -> None:
    path = train_encoder(_config(recording, tmp_path / "tiny.safetensors"))
    card = json.loads(path.with_suffix(".json").read_text())
    opened = open_recording(recording)
    assert card["data"]["fingerprint"] == opened.fingerprint()
    assert card["command"] == "recon train encoder configs/train/tiny.yaml"
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


def test_an_interrupted_training_is_not_resumed_with_other_data(recording: Path, tmp_path: Path) -> None:
    output, data = tmp_path / "tiny.safetensors", open_recording(recording).learning_fingerprint()
    with pytest.raises(KeyboardInterrupt), resumable(output, data) as state:
        state.write_bytes(b"half")
        raise KeyboardInterrupt
    with resumable(output, data) as state:
        assert state.read_bytes() == b"half"
    for before in ("other", None):
        if before:
            with pytest.raises(KeyboardInterrupt), resumable(tmp_path / "new", before):
                raise KeyboardInterrupt
            (tmp_path / "new.training.json").replace(tmp_path / "tiny.training.json")
        else:
            (tmp_path / "tiny.training.json").unlink()
        with pytest.raises(InputError, match=r"got one that learnt from other data; delete it to start again"):
            train_encoder(_config(recording, output))
    state.unlink()
    train_encoder(_config(recording, output))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.json", "tiny.safetensors"]
