"""The contract of priors, over the registry; and a prior that is one file and one line of it."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from worlds import linear as worlds
from worlds import pipelines as tiny_pipelines
from worlds.toy_prior import ToyPrior

from recon import cli, config
from recon.errors import InputError
from recon.methods import Egg, fitted
from recon.methods.facts import ENCODER, SPECTRUM
from recon.priors import PRIORS
from recon.priors.diffusion import Diffusion
from recon.priors.latent_diffusion import Pretrained
from recon.priors.movie_diffusion import MovieDiffusion, save_movie_diffusion
from recon.priors.movie_unet import MovieUnetSettings
from recon.priors.prior import PixelPrior, Prior
from recon.run.runner import reconstruct
from recon.study.saw import saw_by
from recon.study.seen import seen_by
from recon.study.settings import Row

SHAPE = (2, 1, worlds.FRAMES, worlds.HEIGHT, worlds.WIDTH)


@functools.cache
def prior_named(name: str) -> Prior:
    """Return a small prior of a registered name; one that needs nothing has its default settings."""
    if name == "diffusion":
        path = Path(tempfile.mkdtemp()) / "tiny.safetensors"
        save_movie_diffusion(MovieDiffusion(MovieUnetSettings(widths=(4, 6), depth=1, steering=8)), path, card={})
        return Diffusion(str(path))
    return Pretrained(tiny_pipelines.folder("image"), scale=2) if name == "pretrained" else PRIORS[name]()


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_declares_what_it_is(name: str) -> None:
    prior = prior_named(name)
    assert dataclasses.is_dataclass(prior) and prior.__dataclass_params__.frozen
    assert {type(prior.learnt), type(prior.takes_text)} == {bool} and isinstance(prior.pretrained, str)
    assert prior.conditioning.text is None and prior.fit(None) == prior
    if prior.learnt:
        with pytest.raises(InputError, match="expected the spectrum of movies"):
            prior.denoiser(SHAPE, None)
        return
    denoiser = prior.denoiser(SHAPE, None)
    if prior.takes_text:
        assert denoiser.embed(["a", "b"]).shape[0] == 2
    else:
        with pytest.raises(InputError, match="takes no text"):
            denoiser.embed(["a"])


@pytest.mark.parametrize("name", PRIORS)
@torch.no_grad()
def test_a_denoiser_keeps_shape_and_samples_apart(name: str) -> None:
    """Of pixels it denoises the movie itself; of latents, what it encodes and decodes."""
    prior = prior_named(name)
    denoiser = prior.denoiser(SHAPE, worlds.spectrum())
    movie = worlds.movies(2)
    x = denoiser.encode(movie)
    assert (x is movie) == isinstance(prior, PixelPrior) and denoiser.decode(x).shape == movie.shape
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    for sigma in (torch.tensor([0.1, 2.0]), torch.tensor([5.0, 0.5])):
        noisy = x + sigma.reshape(-1, 1, 1, 1, 1) * noise
        together = denoiser(noisy, sigma)
        assert together.shape == x.shape and bool(together.isfinite().all())
        alone = torch.cat([denoiser(noisy[i : i + 1], sigma[i : i + 1]) for i in range(2)])
        assert torch.allclose(together, alone, atol=1e-4)


def test_methods_of_pixels_take_priors_of_pixels() -> None:
    tree = {"name": "diffpir", "denoiser": {"name": "pretrained", "source": "x"}}
    with pytest.raises(
        InputError, match=r"method\.denoiser\.name: expected one of gaussian, diffusion, got 'pretrained'"
    ):
        config.build("method", tree)
    assert config.build("method", {**tree, "name": "egg"}).denoiser == Pretrained("x")


def test_a_prior_is_one_file_and_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> None:
    """Once registered it is listed, named by YAML, drawn from, and taken by methods; the contract holds for it."""
    monkeypatch.setitem(PRIORS, "toy", ToyPrior)
    assert cli.main(["list"]) == 0
    assert "Independent pixels around a grey level" in capsys.readouterr().out
    method = config.build("method", {"name": "egg", "levels": 3, "denoiser": {"name": "toy", "grey": 0.4}})
    assert method == Egg(ToyPrior(0.4), levels=3)
    assert config.build("method", {"name": "diffpir", "denoiser": {"name": "toy"}}).denoiser == ToyPrior()
    for wrong, message in (
        ({"name": "tio"}, "did you mean 'toy'"),
        ({"name": "toy", "gray": 1}, "did you mean 'grey'"),
    ):
        with pytest.raises(InputError, match=message):
            config.build("method", {"name": "egg", "denoiser": wrong})
    result = reconstruct(fitted(method, worlds.training(tmp_path)), worlds.problem())
    assert result.status == "finished" and result.denoiser_evaluations == 3
    assert method.sees.learnt == (SPECTRUM,) and method.sees | ENCODER == method.sees and not method.sees.pretrained
    saw = saw_by(method, Row("toy", {"name": "egg"}), behavior=False)
    assert "responses of the clip" in seen_by(saw) and "pretrained" not in seen_by(saw), "the page's words"
    sizes = {"frames": 4, "frame_size": [6, 8], "levels": 2, "device": "cpu", "output": str(tmp_path / "sample")}
    OmegaConf.save(OmegaConf.create({"prior": {"name": "toy"}, **sizes}), tmp_path / "sample.yaml")
    assert cli.main(["sample", str(tmp_path / "sample.yaml")]) == 0 and (tmp_path / "sample" / "samples.png").is_file()
    test_a_prior_declares_what_it_is("toy")
    test_a_denoiser_keeps_shape_and_samples_apart("toy")
