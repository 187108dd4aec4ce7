"""Draws from a prior: their statistics, their files and pictures, what is kept, what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from worlds import pipelines as tiny_pipelines
from worlds.bench import original

from recon import cli, config
from recon.analysis import prior_samples as sampling
from recon.analysis.prior_samples import SampleSettings
from recon.data.sensorium import SensoriumRecording
from recon.files import claim
from recon.media import contact_sheet, film_strip, labelled
from recon.methods.diffusion.priors import load_spectrum
from recon.methods.diffusion.sampling import drawn, steps_down
from recon.methods.optimise.gradient import movie_spectrum
from recon.methods.training_set import TrainingSet
from recon.priors.diffusion import Diffusion
from recon.priors.movie_diffusion import MovieDiffusion, save_movie_diffusion
from recon.priors.movie_unet import MovieUnetSettings
from recon.priors.spectrum import GaussianDenoiser, Spectrum

ROOT = Path(__file__).parents[2]
CAPTIONS = ["", "a small bright disc moves to the left"]


def white(deviation: float) -> GaussianDenoiser:
    """Return the exact denoiser of independent pixels around grey."""
    return GaussianDenoiser(Spectrum(torch.full((6, 8, 10), deviation**2), torch.full((8, 10), 0.5)))


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, Any]:
    """Return a configuration of a few numbers, and write its prior."""
    model = MovieDiffusion(MovieUnetSettings(widths=(4, 6), depth=1, steering=8))
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.3, generator=generator)
    save_movie_diffusion(model, tmp_path / "tiny.safetensors", card={})
    sizes = {"draws": 2, "frames": 6, "frame_size": [8, 12], "levels": 3, "device": "cpu"}
    prior = {"name": "diffusion", "weights": str(tmp_path / "tiny.safetensors")}
    return {"prior": prior, "captions": CAPTIONS, "output": str(tmp_path / "sample"), **sizes}


@pytest.fixture
def run(tree: dict[str, Any], tmp_path: Path) -> Callable[..., int]:
    OmegaConf.save(OmegaConf.create(tree), tmp_path / "tiny.yaml")
    return lambda *overrides: cli.main(["sample", str(tmp_path / "tiny.yaml"), *overrides])


def draws(folder: Path) -> dict[str, np.ndarray]:
    with h5py.File(folder / "samples.h5", "r") as file:
        return {group.attrs["caption"]: np.stack([group[name][:] for name in group]) for group in file.values()}


def test_a_draw_is_the_noise_through_every_gain() -> None:
    """Of white movies of variance s² a step from σ to σ' keeps s²/(s²+σ²) + σ'/σ · σ²/(s²+σ²) of x − grey."""
    steps, deviation, shape = list(steps_down(7, 3.0, 0.05)), 0.1, (2, 1, 6, 8, 10)
    found = drawn(white(deviation), None, shape, steps, generator=torch.Generator().manual_seed(1))
    gain = [deviation**2 / (deviation**2 + now**2) for _, now, _ in steps]
    kept = math.prod(part + then / now * (1 - part) for part, (_, now, then) in zip(gain, steps, strict=True))
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(found, (0.5 + 3.0 * kept * noise).clamp(0, 1), atol=1e-5)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_draws_of_a_gaussian_have_its_spread(noise: float) -> None:
    """From noise that hides everything over many levels, whatever share of the noise is drawn anew."""
    steps = list(steps_down(120, 20.0, 0.005))
    found = drawn(white(0.1), None, (60, 1, 6, 8, 10), steps, noise=noise, generator=torch.Generator().manual_seed(2))
    assert float(found.std()) == pytest.approx(0.1, rel=0.04) and float(found.mean()) == pytest.approx(0.5, abs=0.003)


def test_the_shipped_configuration_is_valid() -> None:
    chosen = config.record(SampleSettings, config.load(ROOT / "configs/sample.yaml"), where="sample")
    assert chosen.prior == Diffusion() and "" in chosen.captions


def test_clips_and_pictures_are_written(run: Callable[..., int], tmp_path: Path, capsys) -> None:
    assert run() == 0
    folder = tmp_path / "sample"
    assert f"picture: {folder / 'samples.png'}" in capsys.readouterr().out
    found = draws(folder)
    assert list(found) == CAPTIONS
    assert all(clips.dtype == np.float16 and clips.shape == (2, 6, 8, 12) for clips in found.values())
    assert not np.array_equal(*found.values()), "a caption changes what is drawn from the same noise"
    assert not np.array_equal(*found[""]), "draws differ"
    with Image.open(folder / "01.gif") as movie, Image.open(folder / "01.png") as strip:
        assert movie.n_frames == 6 and strip.size == (6 * 24 + 5 * 2, 2 * 16 + 2)
    with Image.open(folder / "samples.png") as sheet:
        assert sheet.width > 6 * 24 + 50 and sheet.height == 2 * 34 + 8
    assert OmegaConf.load(folder / "config.yaml").levels == 3


def test_a_scale_of_zero_ignores_the_caption(run: Callable[..., int], tmp_path: Path) -> None:
    assert run("guidance=0.0") == 0
    assert np.array_equal(*draws(tmp_path / "sample").values())


def test_what_is_drawn_is_kept(run: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    told: list[str] = []
    embed = MovieDiffusion.embed

    def noted(prior: MovieDiffusion, texts: Sequence[str]) -> torch.Tensor:
        told.extend(texts)
        return embed(prior, texts)

    def seen(denoiser: Any, condition: torch.Tensor | None, *arguments: Any, **options: Any) -> torch.Tensor:
        caption = "" if condition is None else told.pop()
        if caption in asked:
            asked.clear()
            raise KeyboardInterrupt
        asked.append(caption)
        return drawn(denoiser, condition, *arguments, **options)

    monkeypatch.setattr(MovieDiffusion, "embed", noted)
    monkeypatch.setattr(sampling, "drawn", seen)
    asked.append(CAPTIONS[1])
    assert run() == 130, "interrupted at the second caption"
    assert list(draws(tmp_path / "sample")) == CAPTIONS[:1]
    assert run() == 0 and asked == CAPTIONS[1:]
    whole = draws(tmp_path / "sample")
    assert run("output=" + str(tmp_path / "other")) == 130
    asked.clear()
    assert run("output=" + str(tmp_path / "other")) == 0
    assert all(np.array_equal(clips, whole[text]) for text, clips in draws(tmp_path / "other").items())
    asked.clear()
    assert run("frame_rate=15.0") == 0 and not asked, "only pictures depend on it"
    assert run("captions=[a cloudy sky," + CAPTIONS[1] + "]") == 0 and asked == ["a cloudy sky"]
    assert np.array_equal(draws(tmp_path / "sample")[CAPTIONS[1]], whole[CAPTIONS[1]])
    asked.clear()
    assert run("captions=['']", "levels=2") == 0 and asked == [""]
    assert sorted(path.name for path in (tmp_path / "sample").glob("[0-9]*")) == ["00.gif", "00.png"]


def test_long_clips_are_drawn_in_windows(run: Callable[..., int], tmp_path: Path) -> None:
    assert run("frames=18", "prior.window=8", "prior.precision=bfloat16", "captions=['']") == 0
    assert draws(tmp_path / "sample")[""].shape == (2, 18, 8, 12)


@pytest.mark.parametrize("kind", tiny_pipelines.CASES)
def test_pretrained_pipelines_are_drawn_from(run: Callable[..., int], tmp_path: Path, kind: str) -> None:
    prior = f"prior={{name: pretrained, source: {tiny_pipelines.folder(kind)}, scale: 2, every: 2}}"
    assert run(prior, "captions=['', a b]", "guidance=2.0") == 0
    found = draws(tmp_path / "sample")
    assert all(clips.shape == (2, 6, 8, 12) and np.isfinite(clips).all() for clips in found.values())
    assert not np.array_equal(*found.values())


def test_the_shipped_configuration_of_a_pipeline_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its settings as they are, but for the model and fewer, smaller frames; without a model it says what to do."""
    smaller = [f"output={tmp_path}/out", "frames=9", "frame_size=[4,8]", "levels=2", "prior.scale=2", "device=cpu"]
    named = ["sample", str(ROOT / "configs/sample_pipeline.yaml"), *smaller]
    assert cli.main([*named, f"prior.source={tmp_path}/nothing"]) == 2
    said = capsys.readouterr().err
    assert (
        "expected a folder of a diffusers pipeline or a hub's id" in said and "download it and pass its folder" in said
    )
    assert not (tmp_path / "out").exists()
    assert cli.main([*named, f"prior.source={tiny_pipelines.folder('image')}"]) == 0
    assert [clips.shape for clips in draws(tmp_path / "out").values()] == [(1, 9, 4, 8)] * 2


def test_the_gaussian_prior_is_that_of_a_recording(run: Callable[..., int], tmp_path: Path, capsys) -> None:
    """Its spectrum, of training clips as long as the draws, is the one that a benchmark of the recording uses."""
    recording = SensoriumRecording(original() / "recording")
    named = [
        "prior={name: gaussian}",
        "captions=['']",
        f"recording={recording.path}",
        f"artefacts={tmp_path}/artefacts",
    ]
    height, width = recording.frame_size
    assert run(*named) == 2
    assert f"sample.frame_size: expected ({height}, {width}) as in" in capsys.readouterr().err
    assert run(*named, f"frame_size=[{height},{width}]") == 0
    (kept,) = (tmp_path / "artefacts").glob("spectrum-*.safetensors")
    assert kept == movie_spectrum(TrainingSet(recording, torch.ones(3), tmp_path / "artefacts", 6))
    denoiser = GaussianDenoiser(load_spectrum(kept, torch.device("cpu"), method="test"))
    steps, generator = list(steps_down(3, 10.0, 0.02)), torch.Generator().manual_seed(0)
    expected = drawn(denoiser, None, (2, 1, 6, height, width), steps, generator=generator)
    assert np.array_equal(draws(tmp_path / "sample")[""], expected[:, 0].half().numpy())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("captions=[]", "expected captions, each once"),
        ("captions=[a,a]", "expected captions, each once"),
        ("draws=0", "sample.draws: expected greater than or equal to 1"),
        ("noise=2.0", "sample.noise: expected less than or equal to 1"),
        ("lowest=0.0", "sample.lowest: expected greater than 0"),
        ("level=3", "did you mean 'levels'"),
        ("prior.weights=nothing", "recon train prior"),
        ("prior={name: nothing}", "sample.prior.name: expected one of gaussian, diffusion, pretrained, got 'nothing'"),
        ("prior={name: movie_diffusion}", "did you mean 'diffusion'"),
        ("prior.text={name: typed, caption: a disc}", "expected no text in the prior, got one; write it into captions"),
        ("prior={name: gaussian}", "expected captions [''] for a prior without text"),
        ("prior={name: gaussian} & captions=['']", "expected a recording for a prior learnt from its movies"),
        ("recording=recordings/demo", "and for no other, got recordings/demo; leave it out"),
    ],
)
def test_what_cannot_be_drawn_is_refused(run: Callable[..., int], capsys, override: str, message: str) -> None:
    assert run(*override.split(" & ")) == 2
    assert message in capsys.readouterr().err


def test_another_file_in_the_place_of_samples_is_refused(run: Callable[..., int], tmp_path: Path, capsys) -> None:
    claim(tmp_path / "sample", sampling.SAMPLES)
    (tmp_path / "sample" / "samples.h5").write_bytes(b"nonsense")
    assert run() == 2
    assert "expected samples that `recon sample` wrote" in capsys.readouterr().err


def test_captions_stand_beside_their_strips() -> None:
    draws = np.full((2, 5, 36, 64), 128, np.uint8)
    caption = "a large spotted triangle moves quickly down and to the right over a background of small leaves"
    sheet = contact_sheet([draws, draws], ["", caption])
    one = film_strip(list(draws), frames=range(5), scale=2)
    margin = sheet[:, : sheet.shape[1] - one.shape[1]]
    assert sheet.shape[0] == 2 * len(one) + 8 and 100 < margin.shape[1] < 300
    upper, lower = margin[: len(one)] < 128, margin[len(one) + 8 :] < 128
    assert 0 < upper.sum() < lower.sum() and not (margin[len(one) : len(one) + 8] < 128).any()
    assert labelled(one, [""]).shape[1] > one.shape[1]
    long = contact_sheet([draws, draws], [caption, 3 * caption])
    wide = long[:, : long.shape[1] - one.shape[1]]
    assert (wide[[0, -1]] == 255).all() and (wide[len(one) : len(one) + 8] == 255).all(), "all of it is seen"
