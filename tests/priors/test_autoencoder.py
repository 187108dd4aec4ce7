"""Autoencoders of movies, ours and diffusers': training, files, and errors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DModel
from omegaconf import OmegaConf
from worlds import linear as worlds
from worlds.bench import make_world

from recon import cli
from recon.encoders.training.loop import Learning
from recon.methods import Latent, Mean, Ridge
from recon.methods.linear.lags import Lags
from recon.methods.neural.latent import Contrastive, Images, Movies, RidgeReader
from recon.metrics.movie import video_correlation
from recon.priors.autoencoder import Autoencoder, load_image_autoencoder
from recon.priors.movie_autoencoder import AutoencoderSettings, MovieAutoencoder, load_autoencoder
from recon.simulate.movies import make_clip

KINDS = {
    "kl": lambda: AutoencoderKL(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=2,
        latent_channels=3,
    ),
    "tiny": lambda: AutoencoderTiny(
        encoder_block_out_channels=(4, 4, 4),
        decoder_block_out_channels=(4, 4, 4),
        num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1),
        latent_channels=3,
        act_fn="silu",
    ),
}


@pytest.mark.parametrize("shape", [(12, 6, 8), (7, 9, 10), (1, 36, 64)])
def test_movies_of_any_size_come_back(shape) -> None:
    model = MovieAutoencoder(AutoencoderSettings(3, 4))
    latents = model.encode(torch.rand(2, 1, *shape))
    assert latents.shape == (2, 3, *(-(-side // step) for side, step in zip(shape, (2, 4, 4), strict=True)))
    assert model.decode(latents, shape).shape == (2, 1, *shape)


def test_latents_are_standardised() -> None:
    model, movies = MovieAutoencoder(AutoencoderSettings(3, 4)), torch.rand(6, 1, 8, 16, 16)
    model.standardise(movies)
    latents = model.encode(movies)
    assert torch.allclose(latents.mean((0, 2, 3, 4)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(latents.std((0, 2, 3, 4)), torch.ones(3), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inside", [".", "vae"])
def test_diffusers_autoencoders_load_from_a_folder_and_are_differentiable(
    kind: str, inside: str, tmp_path: Path
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)  # with other weights all four ReLU features may be dead, without a gradient
        made = KINDS[kind]().eval()
    made.save_pretrained(tmp_path / inside)
    model = load_image_autoencoder(tmp_path, scale=2)
    movie = torch.rand(2, 1, 3, 7, 10, generator=torch.Generator().manual_seed(0))
    latents = model.encode(movie)
    assert latents.shape[:3] == (2, 3, 3)
    leaf = latents.requires_grad_(True)
    decoded = model.decode(leaf, (3, 7, 10))
    assert decoded.shape == movie.shape
    (gradient,) = torch.autograd.grad(decoded.sum(), leaf)
    assert bool(gradient.any())
    alone = model.encode(movie[1:, :, 2:])
    assert torch.allclose(alone[0, :, 0], latents[1, :, 2], atol=1e-5)


def test_what_is_no_autoencoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"not available .* download it and pass its folder"):
        load_image_autoencoder(tmp_path / "nowhere")
    UNet2DModel(
        block_out_channels=(4, 4), down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
        norm_num_groups=2, layers_per_block=1,
    ).save_pretrained(tmp_path)  # fmt: skip
    with pytest.raises(ValueError, match="got UNet2DModel"):
        load_image_autoencoder(tmp_path)


def test_weights_are_found_checked_and_explained(tmp_path: Path) -> None:
    assert load_autoencoder(worlds.autoencoder()).settings == AutoencoderSettings(3, 2)
    with pytest.raises(ValueError, match="a file or a shipped name"):
        load_autoencoder("nothing")
    (tmp_path / "broken.safetensors").write_bytes(b"abc")
    with pytest.raises(ValueError, match="whole safetensors file"):
        load_autoencoder(tmp_path / "broken.safetensors")


def test_the_command_trains_one(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_world(tmp_path)
    tree = {
        "recording": str(tmp_path / "recording"),
        "output": str(tmp_path / "tiny.safetensors"),
        "settings": {"latents": 4, "width": 6},
        "learning": {"steps": 150, "learning_rate": 0.005, "validate_every": 50},
        "batch": 4,
        "frames": 8,
    }
    OmegaConf.save(OmegaConf.create(tree), tmp_path / "tiny.yaml")
    assert cli.main(["train", "autoencoder", str(tmp_path / "tiny.yaml")]) == 0
    assert "card:" in capsys.readouterr().out
    card = OmegaConf.load(tmp_path / "tiny.json")
    assert card.name == "tiny" and card.command == f"recon train autoencoder {tmp_path / 'tiny.yaml'}"
    assert card.data.recording == "recording" and card.data.fingerprint
    assert card.steps == 150 and card.validation_correlation > 0.6
    assert load_autoencoder(tmp_path / "tiny.safetensors").settings.latents == 4


class Identity(Autoencoder):
    """Latents are the pixels, with each row as a channel."""

    def encode(self, movie):
        return movie[:, 0].transpose(1, 2)[:, :, :, None]

    def decode(self, latents, shape):
        return latents[:, :, :, 0].transpose(1, 2)[:, None]


def test_ridge_through_latents_that_are_pixels_is_ridge(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Movies, "load", lambda source: Identity())
    training, problem = worlds.training(tmp_path), worlds.problem()
    (last,) = Latent(reader=RidgeReader(Lags(0, 3, 4))).fit(training)(problem, torch.Generator())
    (ridge,) = Ridge(lags=Lags(0, 3, 4)).fit(training)(problem, torch.Generator())
    assert torch.allclose(last.movie, ridge.movie, atol=1e-4)


def test_the_contrastive_brain_encoder_beats_the_mean(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Movies, "load", lambda source: Identity())
    training, problem = worlds.training(tmp_path, worlds.TinyRecording(60)), worlds.problem(4)
    learning = Learning(steps=200, learning_rate=3e-3)
    reader = Contrastive(64, Lags(0, 3, 4), learning, batch=16, frames=12, dropout=0.0)
    truth, errors = worlds.movies(4, seed=5), []
    for method in (Latent(reader=reader), Mean()):
        (last,) = method.fit(training)(problem, torch.Generator())
        errors.append(float(((last.movie - truth) ** 2).mean()))
    assert errors[0] < 0.85 * errors[1]


def test_the_file_of_the_autoencoder_names_what_is_learnt(tmp_path: Path) -> None:
    training = worlds.training(tmp_path)
    assert Latent(Movies(worlds.autoencoder())).fit(training).artefact.exists()


def test_latents_of_a_diffusers_autoencoder_become_movies(tmp_path: Path) -> None:
    KINDS["kl"]().save_pretrained(tmp_path / "kl")
    method = Latent(Images(str(tmp_path / "kl"), 2), RidgeReader(Lags(0, 3, 4))).fit(worlds.training(tmp_path))
    problem = worlds.problem()
    (last,) = method(problem, torch.Generator())
    assert last.movie.shape == problem.shape and float(last.movie.std()) > 0


def test_the_shipped_autoencoder_keeps_movies_that_it_has_not_seen() -> None:
    model = Movies().load()
    clip = make_clip("test", 0, frames=24, frame_size=(36, 64), degrees_per_pixel=1.9)
    movie = torch.from_numpy(clip.video).float()[None, None] / 255
    latents = model.encode(movie)
    assert latents.shape == (1, 8, 12, 9, 16)  # four times fewer values than pixels
    assert float(video_correlation(model.decode(latents, (24, 36, 64)), movie)) > 0.95
