"""`recon train prior` with `stage: fine`: the fine stage of a cascade of movies, beside its frozen coarse stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from recon.encoders.base import device_of, resolve_device
from recon.encoders.training.loop import Learning, Loss, learn
from recon.errors.ranges import Count, Fraction, Positive, Seed
from recon.files.scale import Scale
from recon.methods.named_files import content_named_in
from recon.methods.text.generated_clips import STANDARD, Raster
from recon.priors.coarse_diffusion import load_coarse_diffusion, packed
from recon.priors.movie_cascade import VIEWS, MovieCascade, save_movie_cascade, set_precision
from recon.priors.movie_diffusion import MovieDiffusion, load_movie_diffusion
from recon.priors.text import TextEncoder
from recon.train.captioned import Captioned, captioned
from recon.train.card import PYTHON, Command, origin
from recon.train.identity import identity
from recon.train.prior import FRAME_RATE, chosen_by, report


@dataclass(frozen=True)
class FineTraining:
    """Configuration of the fine stage: the coarse stage's weights, the network to start from, learning and output.

    The fine stage starts from a prior of one stage, `start`, whose view of the coarse correction has zero weights at
    first, so that the cascade begins with the errors of that prior. Chunks of `frames` frames are noised with ln σ ~
    N(`level`, `log_sd`²) and denoised by both stages; only the fine one learns. A fraction `silent` of the chunks has
    no caption. `raster` is the size and visual angle of the movies, at 30 Hz.
    """

    output: Path
    coarse: str
    start: str = "movie_diffusion"
    stage: Literal["fine"] = "fine"
    learning: Learning = field(default_factory=lambda: Learning(average=0.998))
    clips: Count = 1000
    batch: Count = 8
    frames: Count = 32
    raster: Raster = STANDARD
    level: float = -0.5
    log_sd: Positive = 1.5
    silent: Fraction = 0.15
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    seed: Seed = 0
    artefacts: Path = Path("runs/artefacts")
    device: str = "auto"


def train_fine(tree: Mapping[str, Any], *, log: Path | None = None, command: Command = PYTHON) -> Path:
    """Train from a configuration and return the path of the cascade's weights; the card is saved next to them."""
    from recon import config

    chosen = config.record(FineTraining, tree, where="train")
    model = started(chosen).to(resolve_device(chosen.device))
    encoder = TextEncoder(model.text)
    shown, held_out = (
        captioned(split, chosen.clips, encoder, artefacts=chosen.artefacts, raster=chosen.raster)
        for split in ("train", "validation")
    )
    generator = torch.Generator().manual_seed(chosen.seed)
    outcome = learn(
        model,
        fine_loss(chosen, shown, encoder),
        chosen.learning,
        generator=generator,
        validate=lambda network: -float(chosen_by(network, held_out).log().mean()),
        checkpoint=chosen.output.with_suffix(".training"),
        log=log,
        title="train fine stage",
        about=identity(chosen, *content_named_in([chosen.coarse, chosen.start])),
    )
    card = origin(chosen.output, {"recording": "generated movies", "fingerprint": shown.fingerprint()}, command)
    card |= {"training": asdict(chosen) | {"output": chosen.output.name, "artefacts": ""}} | asdict(outcome)
    scale = Scale(chosen.raster.size, FRAME_RATE, chosen.raster.degrees)
    model = model.cpu()
    save_movie_cascade(model, chosen.output, card=card, scale=scale)  # saved first: the errors take minutes
    power = model.gaussian(held_out.chunk(held_out.scored(1)[0]).shape)
    card |= {"held_out_squared_error": report(model, power, held_out)}
    save_movie_cascade(model, chosen.output, card=card, scale=scale)
    chosen.output.with_suffix(".training").unlink(missing_ok=True)
    return chosen.output


def started(chosen: FineTraining) -> MovieCascade:
    """Return a cascade whose error is that of the prior it starts from; its coarse stage is frozen."""
    known = load_movie_diffusion(chosen.start)
    settings = replace(known.network.settings, inputs=VIEWS)
    fine = MovieDiffusion(settings, spectrum=known.gaussian(known.get_buffer("log_power").shape), text=known.text)
    state = known.state_dict()
    wide = torch.zeros_like(fine.network.enter.weight)
    wide[:, : state["network.enter.weight"].shape[1]] = state["network.enter.weight"]
    fine.load_state_dict(state | {"network.enter.weight": wide})
    model = MovieCascade(load_coarse_diffusion(chosen.coarse), fine)
    set_precision(model, chosen.precision)
    return model


def fine_loss(chosen: FineTraining, shown: Captioned, encoder: TextEncoder) -> Loss:
    """Return the loss of a step: noise of random σ on random chunks, denoised on the network's device.

    The squared error counts in units of the variance that noise leaves to the Gaussian. All draws are made on the CPU.
    """

    def loss(network: Any, draws: torch.Generator) -> Tensor:
        movie, texts = shown.drawn_texts(draws, batch=chosen.batch, frames=chosen.frames)
        silent = torch.rand(len(texts), generator=draws) < chosen.silent
        condition = packed(["" if mute else text for mute, text in zip(silent.tolist(), texts, strict=True)], encoder)
        sigma = (chosen.level + chosen.log_sd * torch.randn(len(movie), generator=draws)).exp()
        parts = (movie, condition, sigma, torch.randn(movie.shape, generator=draws))
        movie, condition, sigma, noise = (part.to(device_of(network)) for part in parts)
        level = sigma.reshape(-1, 1, 1, 1, 1)
        scale = network.uncertainty(sigma, movie.shape).reshape(level.shape)
        noisy = movie + level * noise
        with torch.no_grad():
            correction = network.correction(noisy, sigma, condition)
        error: Tensor = (((network.refined(noisy, sigma, condition, correction) - movie) / scale) ** 2).mean()
        return error

    return loss
