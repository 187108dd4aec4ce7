"""`recon train prior`: train a text-conditioned movie prior on generated movies with captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from recon.encoders.base import device_of, resolve_device
from recon.encoders.training.loop import Learning, Loss, draw_weights, fresh, learn
from recon.errors import InputError
from recon.errors.ranges import Count, Decay, Fraction, Positive, Seed
from recon.files.scale import Scale
from recon.methods.diffusion.sampling import drawn, steps_down
from recon.methods.named_files import content_named_in
from recon.methods.text.generated_clips import STANDARD, Raster
from recon.metrics.statistics import bootstrap_interval
from recon.priors.movie_diffusion import MovieDiffusion, load_movie_diffusion, save_movie_diffusion
from recon.priors.movie_unet import MovieUnetSettings
from recon.priors.spectrum import GaussianDenoiser, Spectrum, estimate_spectrum
from recon.priors.text import EMBEDDED, TextEncoder
from recon.train.augment import enlarged
from recon.train.captioned import HELD_OUT, Captioned, captioned
from recon.train.card import PYTHON, Command, origin
from recon.train.identity import identity

WATCHED = 8
"""Number of validation scenes that select the weights."""
MEASURED = 600
"""Number of training scenes for estimating the spectrum of `gaussian`."""
Words = Literal["right", "none", "wrong"]
WORDS: tuple[Words, ...] = get_args(Words)
SIGMAS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
CHOOSING = (0.1, 0.4, 1.6)
"""Noise levels of the validation score that selects the weights."""
SHOWN_DRAWS, SHOWN_FRAMES = 2, 16
SHOWN_LEVELS = (12, 10.0, 0.03)
"""Noise schedule of the samples shown in TensorBoard: number of levels, highest σ, lowest σ."""
FRAME_RATE = 30.0


@dataclass(frozen=True)
class PriorTraining:
    """Configuration of `recon train prior`: number of clips (10 s each), architecture, learning and output.

    Chunks of `frames` frames of one scene are noised with ln σ ~ N(`level`, `log_sd`²) and denoised. The squared
    error is divided by the posterior variance under a Gaussian of the same spectrum, as in Karras et al. 2022. A
    fraction `silent` of the chunks has no caption (Ho & Salimans 2021). With `zoom`, chunks are shifted and
    enlarged at random, at most to 1 / (1 − zoom). `raster` is the size and visual angle of the movies, at 30 Hz.
    Without `gaussian` the spectrum is taken as white. With `start` the network is initialised from another prior
    except for its last layer: next to an exact Gaussian denoiser only the nonlinear part remains to be learnt,
    which a new network hardly finds.
    """

    output: Path
    settings: MovieUnetSettings = field(default_factory=MovieUnetSettings)
    learning: Learning = field(default_factory=lambda: Learning(average=0.998))
    clips: Count = 1000
    batch: Count = 8
    frames: Count = 32
    raster: Raster = STANDARD
    level: float = -1.0
    log_sd: Positive = 1.3
    silent: Fraction = 0.15
    zoom: Decay = 0.0
    text: str = EMBEDDED
    precision: str = "bfloat16"
    gaussian: bool = True
    start: str | None = None
    seed: Seed = 0
    artefacts: Path = Path("runs/artefacts")
    device: str = "auto"


def train_prior(tree: Mapping[str, Any], *, log: Path | None = None, command: Command = PYTHON) -> Path:
    """Train from a configuration and return the path of the weights; the card is saved next to them."""
    from recon import config

    chosen = config.record(PriorTraining, tree, where="train")
    encoder = TextEncoder(chosen.text)
    shown, held_out = (
        captioned(split, chosen.clips, encoder, artefacts=chosen.artefacts, raster=chosen.raster)
        for split in ("train", "validation")
    )
    generator = torch.Generator().manual_seed(chosen.seed)
    power = estimate_spectrum(shown.chunk(place)[0, 0] for place in shown.scored(MEASURED))
    model = started(chosen, generator, power if chosen.gaussian else None).to(resolve_device(chosen.device))

    outcome = learn(
        model,
        denoising_loss(chosen, shown),
        chosen.learning,
        generator=generator,
        validate=lambda network: -float(chosen_by(network, held_out).log().mean()),
        checkpoint=chosen.output.with_suffix(".training"),
        log=log,
        title="train prior",
        show=lambda network: seen(network, held_out),
        about=identity(chosen, *content_named_in([chosen.text, chosen.start])),
    )
    card = origin(chosen.output, {"recording": "generated movies", "fingerprint": shown.fingerprint()}, command)
    card |= {"training": asdict(chosen) | {"output": chosen.output.name, "artefacts": ""}} | asdict(outcome)
    scale = Scale(chosen.raster.size, FRAME_RATE, chosen.raster.degrees)
    model = model.cpu()
    save_movie_diffusion(model, chosen.output, card=card, scale=scale)  # saved first: the errors take minutes
    card |= {"held_out_squared_error": report(model, power, held_out)}
    save_movie_diffusion(model, chosen.output, card=card, scale=scale)
    chosen.output.with_suffix(".training").unlink(missing_ok=True)
    return chosen.output


def denoising_loss(chosen: PriorTraining, shown: Captioned) -> Loss:
    """Return the loss of a step: noise of random σ on random chunks, denoised on the network's device.

    The squared error counts in units of the variance that noise leaves to the Gaussian. All draws are made on the CPU.
    """

    def loss(network: Any, draws: torch.Generator) -> Tensor:
        movie, text = shown.drawn(draws, batch=chosen.batch, frames=chosen.frames)
        movie = enlarged(movie, chosen.zoom, draws)
        text = torch.where(torch.rand(len(text), 1, generator=draws) < chosen.silent, torch.nan, text)
        sigma = (chosen.level + chosen.log_sd * torch.randn(len(movie), generator=draws)).exp()
        parts = (movie, text, sigma, torch.randn(movie.shape, generator=draws))
        movie, text, sigma, noise = (part.to(device_of(network)) for part in parts)
        level = sigma.reshape(-1, 1, 1, 1, 1)
        scale = network.uncertainty(sigma, movie.shape).reshape(level.shape)
        error: Tensor = (((network(movie + level * noise, sigma, text) - movie) / scale) ** 2).mean()
        return error

    return loss


def started(chosen: PriorTraining, generator: torch.Generator, power: Spectrum | None = None) -> MovieDiffusion:
    """Return a prior with random weights that initially equals the Gaussian denoiser of spectrum `power`."""
    model = fresh(lambda: MovieDiffusion(chosen.settings, spectrum=power, text=chosen.text))
    last = {name: value.clone() for name, value in model.state_dict().items() if _starts_at_zero(name)}
    draw_weights(model, generator)
    model.load_state_dict(last, strict=False)
    if chosen.start is not None:
        go_on(model, load_movie_diffusion(chosen.start))
    model.precision = torch.bfloat16 if chosen.precision == "bfloat16" else torch.float32
    return model


def go_on(model: MovieDiffusion, known: MovieDiffusion) -> None:
    """Copy weights from another network except the last layer, which stays zero; extra input views get zero weights."""
    state, mine, theirs = known.network.state_dict(), model.network.settings, known.network.settings
    if replace(theirs, inputs=mine.inputs) != mine:
        raise InputError(f"start: expected a network of {mine}, got one of {theirs}; train another")
    wide = torch.zeros_like(model.network.enter.weight)
    wide[:, : theirs.inputs * mine.patch**2] = state["enter.weight"]
    kept = {name: value for name, value in state.items() if not name.startswith("leave.")}
    model.network.load_state_dict(kept | {"enter.weight": wide}, strict=False)


def _starts_at_zero(name: str) -> bool:
    return "time.weight" in name or "leave.weight" in name


@torch.no_grad()
def errors(
    denoiser: nn.Module, clips: Captioned, words: Words, *, sigmas: Sequence[float] = SIGMAS, most: int = 0
) -> Tensor:
    """Return the mean squared denoising error `[S,K]` at each σ for the first frames of each scene.

    The noise is the same in every call. `words` selects the caption: that of the scene ("right"), none, or that of
    another scene ("wrong"). `most` limits the number of scenes (0: all).
    """
    generator, places = torch.Generator().manual_seed(HELD_OUT), clips.scored(most)
    device = next((value.device for value in (*denoiser.parameters(), *denoiser.buffers())), torch.device("cpu"))
    condition = clips.embeddings[places, 0]
    condition = {"right": condition, "none": torch.full_like(condition, torch.nan), "wrong": condition.roll(1, 0)}[
        words
    ]
    rows = []
    for sigma in sigmas:
        row = []
        for place, text in zip(places, condition, strict=True):
            movie = clips.chunk(place)
            noisy = movie + sigma * torch.randn(movie.shape, generator=generator)
            found = denoiser(noisy.to(device), torch.tensor([sigma], device=device), text[None].to(device)).cpu()
            row.append(((found - movie) ** 2).mean())
        rows.append(torch.stack(row))
    return torch.stack(rows)


def chosen_by(network: nn.Module, held_out: Captioned, words: Words = "right") -> Tensor:
    """Return the errors `[S]` at the noise levels `CHOOSING` on the scenes that select the weights."""
    return errors(network, held_out, words, sigmas=CHOOSING, most=WATCHED).mean(1)


def seen(network: Any, held_out: Captioned) -> list[Any]:
    """Return TensorBoard entries of a validation: samples without a caption and with two held-out ones, and errors.

    The noise is the same at every validation, so only the weights change pictures and curves.
    """
    from recon.media import contact_sheet, encode_gif, encode_png, side_by_side, to_uint8, upscale
    from recon.run.events import picture, scalar

    places = held_out.scored(2)
    captions = ["", *(held_out.captions[place] for place in places)]
    silent = torch.full_like(held_out.embeddings[:1, 0], torch.nan)
    shape, steps = (SHOWN_DRAWS, 1, SHOWN_FRAMES, *held_out.movies.shape[-2:]), list(steps_down(*SHOWN_LEVELS))
    draws = []
    for text in torch.cat([silent, held_out.embeddings[places, 0]]):
        condition, generator = (
            text.expand(SHOWN_DRAWS, -1).to(device_of(network)),
            torch.Generator().manual_seed(HELD_OUT),
        )
        draws.append(to_uint8(drawn(network, condition, shape, steps, generator=generator)[:, 0].cpu()))
    rows = [side_by_side(list(part)) for part in draws]
    playing = encode_gif(upscale(side_by_side(rows, below=True), 2), frame_rate=FRAME_RATE)
    values = [picture("samples/strips", encode_png(contact_sheet(draws, captions)), kind="png")]
    values.append(picture("samples/movies", playing, kind="gif"))
    for words in WORDS:
        means = chosen_by(network, held_out, words).tolist()
        values += [
            scalar(f"squared error at {sigma:g}/caption {words}", mean)
            for sigma, mean in zip(CHOOSING, means, strict=True)
        ]
    return values


def report(model: nn.Module, power: Spectrum, held_out: Captioned) -> dict[str, Any]:
    """Return held-out errors at each σ with the right caption, none and a wrong one, and of the Gaussian denoiser.

    Includes 95 % intervals of the differences none − right, wrong − none and Gaussian − right, paired over scenes.
    """
    found = {f"caption: {words}": errors(model, held_out, words) for words in WORDS}
    found["gaussian"] = errors(GaussianDenoiser(power), held_out, "none")
    right, none, wrong = (found[f"caption: {words}"] for words in WORDS)
    pairs = {"none - right": none - right, "wrong - none": wrong - none, "gaussian - right": found["gaussian"] - right}
    return {
        "scenes": right.shape[1],
        **{name: _by_sigma(table.mean(1).tolist()) for name, table in found.items()},
        **{f"interval of {name}": _by_sigma([_interval(row) for row in table]) for name, table in pairs.items()},
    }


def _by_sigma(values: Sequence[Any]) -> dict[str, Any]:
    return {f"{sigma:g}": value for sigma, value in zip(SIGMAS, values, strict=True)}


def _interval(differences: Tensor) -> list[float]:
    found = bootstrap_interval(differences.tolist(), generator=np.random.default_rng(0))
    return [float(end) for end in found]
