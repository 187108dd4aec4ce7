"""Checkpoints: round trip, invalid files, atomic writing, shipped weights and their cards."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from recon import encoders
from recon.encoders.base import Encoder, Spec
from recon.encoders.checkpoints import SHIPPED, load_encoder, read_card, save_encoder
from recon.encoders.core_readout.core import CoreSettings
from recon.encoders.core_readout.model import CoreReadout, CoreReadoutSettings
from recon.encoders.judge import Judge, JudgeSettings
from recon.encoders.linear import Linear
from recon.encoders.wrap import Wrapped
from recon.files import write_bytes

SPEC = Spec((8, 12), (4, 7, 9), degrees_per_pixel=1.94, behavior=("running_speed",))
NAMES = ("v1_seed0", "v1_seed1", "v1_seed2", "v1_judge")


def _small(name: str) -> Encoder:
    if name == "linear":
        return Linear(torch.randn(3, 1, 2, 8, 12, generator=torch.Generator().manual_seed(0)), link="exp")
    encoder: CoreReadout | Judge = (
        CoreReadout(SPEC, CoreReadoutSettings(CoreSettings(lags=3, features=4, hidden=4, temporal=2)))
        if name == "core_readout"
        else Judge(SPEC, JudgeSettings(lags=3, filters=4, units=4))
    )
    encoder.initialise(torch.Generator().manual_seed(0))
    return encoder.eval()


@pytest.mark.parametrize("name", ["core_readout", "judge", "linear"])
def test_round_trip(name: str, tmp_path: Path) -> None:
    encoder, path = _small(name), tmp_path / "encoder.safetensors"
    save_encoder(encoder, path, card={"steps": 3})
    movie, behavior = torch.rand(1, 1, 9, 8, 12), torch.rand(1, 4, 9)
    loaded = encoders.load(name, weights=str(path))
    assert loaded.spec == encoder.spec
    assert torch.equal(loaded(movie, behavior), encoder(movie, behavior))
    assert read_card(path) == {"steps": 3}
    assert json.loads(path.with_suffix(".json").read_text())["architecture"] == name


def test_half_precision_is_harmless(tmp_path: Path) -> None:
    encoder, path = _small("core_readout"), tmp_path / "half.safetensors"
    save_encoder(encoder, path, card={}, dtype=torch.float16)
    movie, behavior = torch.rand(1, 1, 9, 8, 12), torch.rand(1, 4, 9)
    loaded = load_encoder(path)
    torch.testing.assert_close(loaded(movie, behavior), encoder(movie, behavior), atol=2e-3, rtol=2e-3)
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "judge.safetensors"
    save_encoder(_small("judge"), path, card={})
    with pytest.raises(ValueError, match=r"expected weights of 'core_readout', got 'judge'"):
        encoders.load("core_readout", weights=str(path))


@pytest.mark.parametrize("damage", ["missing", "shape", "extra"])
def test_other_tensors_are_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    save_encoder(_small("judge"), path, card={})
    tensors, header = load_file(path), _header(path)
    if damage == "missing":
        del tensors["weights"]
    elif damage == "shape":
        tensors["weights"] = torch.zeros(5, 5)
    else:
        tensors["more"] = torch.zeros(2)
    save_file(tensors, path, header)
    with pytest.raises(ValueError, match=r"expected shape|expected nothing"):
        load_encoder(path)


@pytest.mark.parametrize(
    ("key", "value"), [("architecture", "unknown"), ("format", "other"), ("settings", '{"colour": 3}'), ("spec", "{")]
)
def test_other_headers_are_refused(key: str, value: str, tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    save_encoder(_small("judge"), path, card={})
    save_file(load_file(path), path, _header(path) | {key: value})
    with pytest.raises(ValueError, match="expected"):
        load_encoder(path)


def test_truncated_and_pickled_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    save_encoder(_small("judge"), path, card={})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="whole safetensors file"):
        load_encoder(path)
    path.write_bytes(pickle.dumps({"state_dict": {}}))
    with pytest.raises(ValueError, match="pickled"):
        load_encoder(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="whole safetensors file"):
        load_encoder(path)


def test_unknown_weights_name_the_shipped_ones() -> None:
    with pytest.raises(ValueError, match="shipped name"):
        load_encoder("nowhere")


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_has_no_settings_cannot_be_saved(tmp_path: Path) -> None:
    wrapped = Wrapped(torch.nn.Identity(), SPEC)
    with pytest.raises(ValueError, match="save its module yourself"):
        save_encoder(wrapped, tmp_path / "x.safetensors", card={})


@pytest.mark.parametrize("name", NAMES)
def test_shipped_weights_load_and_say_what_they_are(name: str) -> None:
    architecture = "judge" if name == "v1_judge" else "core_readout"
    encoder = encoders.freeze(encoders.load(architecture, weights=name))
    assert encoder.spec.frame_size == (36, 64)
    assert len(encoder.spec.neuron_ids) == 1000
    rates = encoder(torch.full((1, 1, 20, 36, 64), 0.4), torch.zeros(1, 4, 20) + 45.0)
    assert rates.shape == (1, 1000, 20)
    assert rates.isfinite().all()
    card = json.loads((SHIPPED / f"{name}.json").read_text())
    assert card["architecture"] == architecture
    assert {key: card[key] for key in read_card(name)} == read_card(name)
    assert 0.5 * card["oracle_ceiling"] < card["validation_correlation"] < card["oracle_ceiling"]
    assert card["validation_correlation_with_noise_free_rates"] > 0.5
    assert card["steps"] >= card["best_step"] > 0
    assert card["seconds"] > 0


def test_shipped_weights_come_from_one_recording_and_are_small() -> None:
    cards = [json.loads((SHIPPED / f"{name}.json").read_text()) for name in NAMES]
    assert len({card["data"]["fingerprint"] for card in cards}) == 1
    seeds = {card["training"]["seed"] for card in cards if card["architecture"] == "core_readout"}
    assert len(seeds) == 3
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 12e6


def _header(path: Path) -> dict[str, str]:
    size = int.from_bytes(path.read_bytes()[:8], "little")
    header: dict[str, str] = json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]
    return header
