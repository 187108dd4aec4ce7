"""Weights state the scale of the movies that they were trained on; movies of another scale are refused or said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from worlds import linear

from recon.errors import InputError
from recon.files.scale import Scale, check_scale, scale_in
from recon.files.weights import read_header
from recon.methods.diffusion.priors import prior_sees
from recon.methods.named_files import DECODERS
from recon.methods.neural.latent import Latent, Movies
from recon.methods.training_set import TrainingSet
from recon.priors.diffusion import Diffusion
from recon.priors.weights_file import SHIPPED

TRAINED = Scale((36, 64), 30.0, 1.94)


def recorded_at(rate: float, degrees: float, size: tuple[int, int] = (36, 64)) -> TrainingSet:
    recording = linear.TinyRecording()
    recording.frame_size = size
    recording.frame_rate, recording.degrees_per_pixel = rate, degrees
    return linear.training(Path("artefacts"), recording)


@pytest.mark.parametrize(
    "file", [*SHIPPED.glob("*.safetensors"), *DECODERS.glob("*.safetensors")], ids=lambda f: f.stem
)
def test_shipped_weights_state_their_scale(file: Path) -> None:
    assert scale_in(read_header(file), file) == TRAINED


@pytest.mark.parametrize(("rate", "degrees"), [(60.0, 1.94), (30.0, 0.97), (8.0, 1.45)])
def test_movies_of_another_rate_or_angle_are_refused(rate: float, degrees: float) -> None:
    for part in (Diffusion(), Latent(Movies())):
        with pytest.raises(
            InputError, match=rf"expected movies of 36 × 64 pixels of 1.94° at 30 Hz, .* at {rate:g} Hz"
        ):
            part.check_weights(recorded_at(rate, degrees))


def test_frames_of_another_size_are_refused() -> None:
    for size in ((72, 128), (64, 64)):
        with pytest.raises(InputError, match=f"got {size[0]} × {size[1]} pixels"):
            Diffusion().check_weights(recorded_at(30.0, 1.94, size))


def test_the_same_scale_passes_and_stills_have_no_rate() -> None:
    Diffusion().check_weights(recorded_at(30.0, 1.94))
    Latent(Movies()).check_weights(recorded_at(29.97, 1.94))
    Diffusion(stills=True).check_weights(recorded_at(60.0, 1.94))


def test_another_scale_can_be_asked_for_and_is_said() -> None:
    prior = Diffusion(any_scale=True)
    prior.check_weights(recorded_at(60.0, 1.0))
    assert prior_sees(prior).pretrained == ("prior movie_diffusion, of whatever scale",)


def test_a_scale_survives_its_header_and_files_without_one_are_taken() -> None:
    assert scale_in(TRAINED.header(), "x") == TRAINED and scale_in({}, "x") is None
    check_scale(None, TRAINED, what="x", remedy="y")
    check_scale(TRAINED, replace(TRAINED, degrees_per_pixel=1.9), what="x", remedy="y")
    with pytest.raises(InputError, match="x: scale"):
        scale_in({"scale": '{"frame_size": [0, 1], "frame_rate": 30, "degrees_per_pixel": 1}'}, "x")
