"""Decoders that learn from encoders: distilled responses, generated movies, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from worlds import linear as worlds

from recon.methods import Convolutional
from recon.methods.neural import distillation
from recon.methods.neural.distillation import distilled, drawn_chunk, generated
from recon.problem.fidelities.independent import Poisson
from recon.problem.fidelities.low_rank import LowRank
from recon.simulate.movies import make_clip


def test_distilled_responses_are_the_encoders_with_its_noise(tmp_path: Path) -> None:
    training = worlds.training(tmp_path)
    source = distilled(training, Poisson())
    assert len(source.clips) == 6 * 12
    fit, trial = worlds.sets()[0], worlds.TinyRecording().trial(0)
    mirrored = worlds.encoder()(trial.movie.flip(-1)[None])[0, fit]
    assert torch.allclose(source.clips[1].responses.float(), mirrored, rtol=2e-3)
    assert torch.equal(source.clips[1].movie, source.clips[0].movie.flip(-1))
    assert torch.equal(source.clips[2].movie, source.clips[1].movie.flip(1))
    assert torch.equal(source.clips[3].movie, source.clips[0].movie.flip(2))
    assert all(clip.movie.shape == source.clips[0].movie.shape for clip in source.clips)
    responses, movies = drawn_chunk(source, torch.Generator().manual_seed(0), batch=4, frames=9)
    assert responses.shape == (4, 25, 9) and movies.shape == (4, 1, 9, worlds.HEIGHT, worlds.WIDTH)
    assert torch.equal(responses, responses.round())


def test_generated_movies_are_those_that_no_animal_saw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation, "PART", 2)
    training = worlds.training(tmp_path)
    source = distilled(training, Poisson(), minutes=0.5)
    made = source.clips[6 * 12 :]
    assert len(made) == 3 and len(list(tmp_path.glob("**/generated-*"))) == 2
    shown = make_clip("train", 1002, frames=300, frame_size=(worlds.HEIGHT, worlds.WIDTH), degrees_per_pixel=2.0)
    assert torch.equal(made[2].movie[0], torch.from_numpy(shown.video))
    rates = worlds.encoder()(made[2].movie[None].float() / 255)[0, worlds.sets()[0]]
    assert torch.allclose(made[2].responses.float(), rates, rtol=2e-3, atol=1e-4)


def test_an_interrupted_distillation_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation, "PART", 1)
    training, seen = worlds.training(tmp_path), []

    def stop(*arguments: object, **named: object) -> object:
        seen.append(arguments[1])
        if len(seen) == 2:
            raise KeyboardInterrupt
        return make_clip(*arguments, **named)

    monkeypatch.setattr(distillation, "make_clip", stop)
    with pytest.raises(KeyboardInterrupt):
        generated(training, 0.5)
    assert len(generated(training, 0.5)) == 3 and seen == [1000, 1001, 1001, 1002]


def test_movies_are_generated_for_recordings_at_their_frame_rate_alone(tmp_path: Path) -> None:
    training = worlds.training(tmp_path)
    training.recording.frame_rate = 8.0
    with pytest.raises(ValueError, match="30 frames a second, as generated movies are, got 8"):
        generated(training, 1.0)
    with pytest.raises(ValueError, match="distilled above 0 with it, got 20 and 0"):
        Convolutional(generated=20)


def test_distillation_needs_encoders_and_noise_that_can_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="encoders of a row, got none"):
        distilled(replace(worlds.training(tmp_path), encoders=()), Poisson())
    with pytest.raises(ValueError, match="noise that can be drawn, got LowRank"):
        distilled(worlds.training(tmp_path), LowRank())
