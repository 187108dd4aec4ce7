"""Training of the text-conditioned movie prior: what it learns from, what it says of itself, and that it resumes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recon import cli
from recon.encoders.training.loop import Learning, learn
from recon.priors.movie_diffusion import MovieDiffusion, load_movie_diffusion
from recon.priors.movie_unet import MovieUnetSettings
from recon.priors.text import TextEncoder
from recon.train.captioned import captioned
from recon.train.prior import PriorTraining, errors, started, train_prior

TINY = MovieUnetSettings(widths=(4, 6, 8), depth=1, text=5, steering=8)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text embeddings of length 3, and few clips."""
    monkeypatch.setattr("recon.train.captioned.HELD_OUT", 3)
    monkeypatch.setattr("recon.train.captioned.HELD_OUT_FRAMES", 12)
    monkeypatch.setattr("recon.train.captioned.LENGTH", 10)
    monkeypatch.setattr("recon.train.prior.MEASURED", 4)


def test_a_prior_is_trained_saved_and_says_how_well_it_denoises(tmp_path: Path, short: None, capsys) -> None:
    tree = {
        "output": str(tmp_path / "tiny.safetensors"),
        "settings": {"widths": [4, 6], "depth": 1, "steering": 8},
        "learning": {"steps": 3, "validate_every": 2, "warmup": 1},
        "clips": 2,
        "batch": 2,
        "frames": 8,
        "artefacts": str(tmp_path / "artefacts"),
    }
    OmegaConf.save(OmegaConf.create(tree), tmp_path / "tiny.yaml")
    assert cli.main(["train", "prior", str(tmp_path / "tiny.yaml")]) == 0
    assert "card:" in capsys.readouterr().out
    card = json.loads((tmp_path / "tiny.json").read_text())
    assert card["name"] == "tiny" and card["command"] == f"recon train prior {tmp_path / 'tiny.yaml'}"
    assert card["data"]["recording"] == "generated movies" and len(card["data"]["fingerprint"]) == 12
    found = card["held_out_squared_error"]
    names = ("caption: right", "caption: none", "caption: wrong", "gaussian")
    assert found["scenes"] == 3 and all(0 < error < 50 for name in names for error in found[name].values())
    for name in ("none - right", "wrong - none", "gaussian - right"):
        assert all(low <= high for low, high in found[f"interval of {name}"].values())
    assert [step for step, _ in card["history"]] == [2, 3]
    assert load_movie_diffusion(tmp_path / "tiny.safetensors").text == "minilm"


@pytest.mark.slow  # draws of a whole training
def test_tensorboard_shows_draws_and_errors_while_a_prior_learns(
    tmp_path: Path, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interruption and logging do not change the final weights."""
    monkeypatch.setattr("recon.encoders.training.loop.SAVE_SECONDS", 0.0)
    tree = {
        "settings": {"widths": [4, 6], "depth": 1, "steering": 8},
        "learning": {"steps": 4, "validate_every": 2, "warmup": 1},
        "clips": 2,
        "batch": 2,
        "frames": 8,
        "artefacts": str(tmp_path / "artefacts"),
    }
    whole = train_prior(tree | {"output": str(tmp_path / "whole.safetensors")})
    with monkeypatch.context() as interrupted:
        interrupted.setattr("recon.media.contact_sheet", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train_prior(tree | {"output": str(tmp_path / "again.safetensors")}, log=tmp_path / "log")
    again = train_prior(tree | {"output": str(tmp_path / "again.safetensors")}, log=tmp_path / "log")
    assert all(torch.equal(value, load_file(again)[name]) for name, value in load_file(whole).items())
    events = EventAccumulator(str(tmp_path / "log")).Reload()
    assert {"samples/strips", "samples/movies"} == set(events.Tags()["images"])
    strip, movie = (events.Images(f"samples/{kind}")[-1] for kind in ("strips", "movies"))
    assert strip.step == movie.step == 4
    assert strip.encoded_image_string.startswith(b"\x89PNG") and movie.encoded_image_string.startswith(b"GIF89a")
    for words in ("right", "none", "wrong"):
        assert all(0 < event.value < 1 for event in events.Scalars(f"squared error at 0.4/caption {words}"))


def test_chunks_lie_in_one_scene_and_carry_its_caption(tmp_path: Path, short: None) -> None:
    chosen = PriorTraining(tmp_path / "t", TINY, clips=2, frames=8, artefacts=tmp_path)
    encoder = TextEncoder()
    shown = captioned("train", chosen.clips, encoder, artefacts=chosen.artefacts)
    again = captioned("train", chosen.clips, encoder, artefacts=chosen.artefacts)
    assert torch.equal(shown.movies, again.movies) and shown.scenes == again.scenes
    movie, text = shown.drawn(torch.Generator().manual_seed(0), batch=6, frames=8)
    assert movie.shape == (6, 1, 8, 36, 64) and text.shape == (6, 384)
    flat = shown.embeddings.flatten(0, 1)
    for chunk, told in zip(movie, text, strict=True):
        (row,) = (flat @ told > 0.9999).nonzero()[:1]
        clip, first, end = shown.scenes[int(row) // shown.embeddings.shape[1]]
        known = shown.movies[clip, first:end].float() / 255
        starts = [start for start in range(len(known) - 7) if torch.equal(known[start : start + 8], chunk[0])]
        assert starts


def test_errors_are_those_of_the_noise_that_is_left(tmp_path: Path, short: None) -> None:
    """The identity denoiser has error σ²; right and wrong captions get the same noise."""
    chosen = PriorTraining(tmp_path / "t", TINY, artefacts=tmp_path)
    held_out = captioned("validation", chosen.clips, TextEncoder(), artefacts=chosen.artefacts)

    class Nothing(MovieDiffusion):
        def forward(self, x: torch.Tensor, sigma: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
            return x

    right, wrong = (errors(Nothing(TINY), held_out, words, sigmas=(0.1, 0.4)) for words in ("right", "wrong"))
    assert torch.equal(right, wrong) and right.shape == (2, 3)
    assert torch.allclose(right.mean(1), torch.tensor([0.01, 0.16]), rtol=0.05)


def test_training_lowers_the_error() -> None:
    """On one movie, in 100 steps, to half the error of the white-movie denoiser."""
    model = started(PriorTraining(Path("tiny"), TINY, precision="float32"), torch.Generator().manual_seed(0))
    rows = torch.linspace(0, 6, 12)
    movie = (0.5 + 0.3 * torch.sin(rows[:, None] + rows[None, :])).expand(2, 1, 8, 12, 12)

    def loss(network: MovieDiffusion, draws: torch.Generator) -> torch.Tensor:
        noisy = movie + 0.3 * torch.randn(movie.shape, generator=draws)
        return ((network(noisy, torch.full((2,), 0.3)) - movie) ** 2).mean()

    before = float(loss(model, torch.Generator().manual_seed(1)).detach())
    learn(model, loss, Learning(steps=100, learning_rate=5e-3, average=0.9), generator=torch.Generator().manual_seed(2))
    assert float(loss(model, torch.Generator().manual_seed(1)).detach()) < 0.5 * before
