"""Receptive fields: found where they were put, of linear filters and of both signs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from recon import cli
from recon.analysis.receptive_fields import FieldMapping, fitted_fields, receptive_fields, sparse_noise
from recon.encoders.base import Encoder, freeze
from recon.encoders.checkpoints import save_encoder
from recon.encoders.linear import Linear

HEIGHT, WIDTH = 20, 28
CENTRES = np.array([[5.0, 6.0], [12.0, 20.0], [9.0, 13.0], [14.0, 8.0]])
CHOSEN = FieldMapping({}, Path("unused"), frames=6000, clip=200, square=4, lags=4)


def population(*, link: str = "exp") -> Encoder:
    """Return neurons with Gaussian fields of deviation 2 pixels; the second sees dark, the third is two frames late."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    fields = [np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 8) for row, column in CENTRES]
    weights = torch.zeros(len(CENTRES), 1, 3, HEIGHT, WIDTH)
    for index, field in enumerate(fields):
        lag, sign = (2, 1) if index == 2 else (0, -1 if index == 1 else 1)
        weights[index, 0, 2 - lag] = sign * 0.4 * torch.from_numpy(field).float()
    return freeze(Linear(weights, -0.5 * weights.flatten(1).sum(1), link=link))


def test_fields_are_found_where_they_are() -> None:
    found = receptive_fields(population(), CHOSEN)
    assert np.abs(found.centre - CENTRES).max() < 1.0
    assert (found.share > 0.6).all()
    assert (np.abs(found.deviation - 2.5) < 1.0).all(), "squares of four pixels widen a field of two"


def test_a_silent_neuron_has_no_field() -> None:
    maps = np.zeros((2, 6, 8))
    maps[1, 2:4, 3:5] = 1.0
    found = fitted_fields(maps)
    assert np.isnan(found.share[0]) and np.isnan(found.centre[0]).all()
    assert np.abs(found.centre[1] - [2.5, 3.5]).max() < 0.2


def test_noise_is_sparse_and_balanced() -> None:
    noise = sparse_noise((HEIGHT, WIDTH), CHOSEN, torch.Generator().manual_seed(0))
    assert noise.shape == (200, HEIGHT, WIDTH) and set(noise.unique().tolist()) == {-1.0, 0.0, 1.0}
    assert abs(float(noise.abs().mean()) - CHOSEN.density) < 0.02 and abs(float(noise.mean())) < 0.02
    assert torch.equal(noise[0], noise[3]) and not torch.equal(noise[3], noise[4])


def test_the_command_writes_numbers_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_encoder(population(), tmp_path / "linear.safetensors", card={})
    (tmp_path / "fields.yaml").write_text(
        f"encoder: {{name: linear, weights: {tmp_path / 'linear.safetensors'}}}\n"
        f"output: {tmp_path / 'out' / 'fields.npz'}\nframes: 4000\nsquare: 4\nlags: 4\n"
    )
    assert cli.main(["map", "fields", str(tmp_path / "fields.yaml")]) == 0
    assert "fields: for 4 of 4 neurons" in capsys.readouterr().out
    with np.load(tmp_path / "out/fields.npz") as found:
        assert found["centre"].shape == (4, 2) and found["neuron_ids"].tolist() == [0, 1, 2, 3]
    assert (tmp_path / "out/fields.png").read_bytes()[:4] == b"\x89PNG"


def test_a_typo_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "fields.yaml").write_text("encoder: {name: linear}\noutput: x.npz\nframe: 3\n")
    assert cli.main(["map", "fields", str(tmp_path / "fields.yaml")]) == 2
    assert "did you mean 'frames'" in capsys.readouterr().err
