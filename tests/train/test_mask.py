"""Transparency masks: they open where the population looks, and files of masks are read with care."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from worlds import linear as worlds
from worlds.bench import configuration

from recon.cli import main
from recon.data.formats.arrays_import import import_arrays
from recon.data.mask_files import read_mask
from recon.data.sensorium import SensoriumRecording
from recon.encoders.base import freeze
from recon.encoders.checkpoints import save_encoder
from recon.encoders.linear import Linear
from recon.study.benchmark import benchmark
from recon.train.mask import MaskLearning, iou, learn_mask

LEFT = slice(0, 4)


@pytest.fixture(scope="module")
def half_blind(tmp_path_factory: pytest.TempPathFactory) -> tuple[Linear, SensoriumRecording]:
    """A population that sees the left half of the screen only, and its noisy responses to many short clips."""
    encoder = worlds.encoder()
    weights = encoder.weights.detach().clone()
    weights[..., LEFT.stop :] = 0
    blind = freeze(Linear(weights, encoder.bias.detach(), link="exp"))
    movie = worlds.movies(1, seed=5, frames=1200)
    rates = blind(movie)[0]
    responses = torch.poisson(rates, generator=torch.Generator().manual_seed(0))
    recording = import_arrays(
        tmp_path_factory.mktemp("blind") / "r",
        movie=movie[0, 0].numpy() * 255,
        responses=responses.numpy(),
        unit_ids=np.arange(worlds.NEURONS),
        frame_rate=30,
        degrees_per_pixel=1,
        trial_frames=40,
    )
    return blind, recording


CHOSEN = MaskLearning(steps=150, pairs=2, frames=30, skip=5, rate=2.0, blur=0.7)


def test_a_mask_opens_where_the_population_looks(half_blind: tuple[Linear, SensoriumRecording]) -> None:
    encoder, recording = half_blind
    mask = learn_mask(encoder, recording, CHOSEN)
    truth = torch.zeros(recording.frame_size, dtype=torch.bool)
    truth[:, LEFT] = True
    assert iou(mask >= 0.5, truth) >= 0.7
    assert float(mask[:, LEFT.stop + 2 :].max()) < 0.3, "nothing opens where no neuron looks"


def test_the_same_seed_gives_the_same_mask_and_no_global_randomness(
    half_blind: tuple[Linear, SensoriumRecording],
) -> None:
    before = torch.random.get_rng_state()
    first, second = (learn_mask(*half_blind, MaskLearning(steps=3, frames=30, skip=0)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(before, torch.random.get_rng_state())


def test_clips_that_are_too_short_are_refused(half_blind: tuple[Linear, SensoriumRecording]) -> None:
    with pytest.raises(ValueError, match="at least 2 training trials of 90 frames"):
        learn_mask(*half_blind, MaskLearning(steps=1, frames=40, skip=50))


def test_the_command_writes_a_mask_that_is_read_again(
    half_blind: tuple[Linear, SensoriumRecording], tmp_path: Path
) -> None:
    encoder, recording = half_blind
    save_encoder(encoder, tmp_path / "blind.safetensors", card={})
    tree = {
        "recording": str(recording.path),
        "encoder": {"name": "linear", "weights": str(tmp_path / "blind.safetensors")},
        "output": str(tmp_path / "masks/blind.npy"),
        "learning": {"steps": 2, "frames": 30, "skip": 0},
    }
    OmegaConf.save(OmegaConf.create(tree), tmp_path / "mask.yaml")
    assert main(["train", "mask", str(tmp_path / "mask.yaml")]) == 0
    assert read_mask(tmp_path / "masks/blind.npy", recording.frame_size).shape == recording.frame_size


def test_published_canvases_are_cropped_to_the_screen(tmp_path: Path) -> None:
    canvas = np.random.default_rng(0).random((64, 64))
    np.save(tmp_path / "m.npy", canvas)
    np.testing.assert_allclose(read_mask(tmp_path / "m.npy", (36, 64)).numpy(), canvas[14:50], rtol=1e-6)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((5, 5)), "expected a mask of"),
        (np.full((6, 8), np.nan), "finite"),
        (np.array([{}], dtype=object), "plain numbers"),
        (None, "got nothing at"),
    ],
)
def test_other_masks_are_refused(tmp_path: Path, mask: np.ndarray | None, message: str) -> None:
    if mask is not None:
        np.save(tmp_path / "m.npy", mask, allow_pickle=True)
    with pytest.raises(ValueError, match=message):
        read_mask(tmp_path / "m.npy", (6, 8))


def test_a_benchmark_optimises_and_scores_inside_the_mask(world: Path, tmp_path: Path) -> None:
    mask = np.zeros((16, 24), dtype=np.float32)
    mask[4:12, 6:18], mask[6:10, 8:16] = 0.7, 1.2
    np.save(tmp_path / "mask.npy", mask)
    tree = configuration(world) | {"run": str(tmp_path / "run"), "mask": {"file": str(tmp_path / "mask.npy")}}
    tree["rows"] = [{"label": "pixels", "method": {"name": "gradient", "iterations": 2}}]
    run = benchmark(tree)
    (task,) = (run / "tasks").iterdir()
    with h5py.File(task / "movie.h5") as file:
        movies = np.stack([np.asarray(file[name]["reconstruction"]) for name in file])
    assert (movies[..., mask < 0.5] == 0.5).all()
    assert (movies[..., mask >= 0.5] != 0.5).any()
    whole = benchmark(configuration(world) | {"run": str(tmp_path / "all"), "rows": tree["rows"]})
    assert (whole / "results.csv").read_text() != (run / "results.csv").read_text()


def test_a_mask_that_leaves_nothing_is_refused(world: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.full((16, 24), 0.8))
    tree = configuration(world) | {"run": str(tmp_path / "run"), "mask": {"file": str(tmp_path / "mask.npy")}}
    with pytest.raises(ValueError, match="expected pixels to score, got none"):
        benchmark(tree)
