"""`recon train prior` with `stage: coarse`: the coarse, text-conditioned stage of a cascade of movies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from recon.encoders.base import device_of, resolve_device
from recon.encoders.training.loop import Learning, Loss, draw_weights, fresh, learn
from recon.errors.ranges import Count, Fraction, Positive, Seed
from recon.methods.diffusion.sampling import drawn, steps_down
from recon.methods.named_files import content_named_in
from recon.methods.text.generated_clips import FRAMES, PART
from recon.priors.coarse_diffusion import CoarseDiffusion, save_coarse_diffusion
from recon.priors.coarse_unet import CoarseUnetSettings, Told
from recon.priors.guidance import ClassifierFree
from recon.priors.spectrum import Spectrum, estimate_spectrum
from recon.priors.text import EMBEDDED, TextEncoder
from recon.train.card import PYTHON, Command, origin
from recon.train.coarse_held_out import CHOOSING, CoarseHeldOut, by_caption, held_out_errors
from recon.train.coarse_scenes import Chunks, ChunksAhead, CoarseScenes, Growth, Telling, drawn_chunks
from recon.train.identity import identity

MEASURED = 600
"""Number of training scenes for estimating the spectrum."""
SHOWN = (
    "",
    "a pile of small leaves moves steadily to the left",
    "a large plain disc in the centre stays almost still over a cloudy background",
    "a large striped star on the left moves steadily to the right over a background of large leaves",
)
SHOWN_LEVELS, SHOWN_GUIDANCE = (24, 20.0, 0.02), 2.0


@dataclass(frozen=True)
class CoarseTraining:
    """Configuration of the coarse stage: number of clips (10 s each), architecture, learning and output.

    Chunks of `frames` coarse frames (18×32 pixels, 7.5 Hz) are noised with ln σ ~ N(`level`, `log_sd`²) and denoised.
    The squared error is divided by the posterior variance under a Gaussian of the same spectrum, as in Karras et al.
    2022. A fraction `silent` of the chunks has no caption (Ho & Salimans 2021). Clips are drawn while training runs:
    `begin` parts of `part` clips at first, all `clips` after the share `grown` of the steps. A clip has `clip_frames`
    frames at 30 Hz. Without `gaussian` the spectrum is taken as white: beside an exact Gaussian denoiser only the
    nonlinear part remains to be learnt, which a new network hardly finds.
    """

    output: Path
    stage: Literal["coarse"] = "coarse"
    settings: CoarseUnetSettings = field(default_factory=CoarseUnetSettings)
    learning: Learning = field(default_factory=lambda: Learning(average=0.999))
    clips: Count = 6000
    begin: Count = 4
    grown: Fraction = 0.6
    part: Count = PART
    clip_frames: Count = FRAMES
    batch: Count = 32
    frames: Count = 16
    level: float = -0.3
    log_sd: Positive = 1.4
    silent: Fraction = 0.12
    text: str = EMBEDDED
    precision: str = "bfloat16"
    gaussian: bool = False
    seed: Seed = 0
    artefacts: Path = Path("runs/artefacts")
    device: str = "auto"

    @property
    def growth(self) -> Growth:
        """Clips from which each step draws."""
        steps = round(self.grown * self.learning.steps)
        return Growth(self.clips, self.begin, steps, part=self.part, frames=self.clip_frames)


def train_coarse(tree: Mapping[str, Any], *, log: Path | None = None, command: Command = PYTHON) -> Path:
    """Train from a configuration and return the path of the weights; the card is saved next to them."""
    from recon import config

    chosen = config.record(CoarseTraining, tree, where="train")
    held_out = CoarseHeldOut.drawn(TextEncoder(chosen.text), chosen.artefacts)
    generator = torch.Generator().manual_seed(chosen.seed)
    telling = Telling(TextEncoder(chosen.text), chosen.silent)
    with (
        closing(CoarseScenes(chosen.growth, chosen.artefacts)) as scenes,
        closing(ahead_of(scenes, telling, chosen)) as ahead,
    ):
        scenes.grow(0)
        power = coarse_spectrum(scenes, chosen.frames) if chosen.gaussian else None
        model = started(chosen, generator, power).to(resolve_device(chosen.device))
        outcome = learn(
            model,
            coarse_loss(chosen, ahead),
            chosen.learning,
            generator=generator,
            validate=lambda network: held_out.score(network),
            checkpoint=chosen.output.with_suffix(".training"),
            log=log,
            title="train coarse stage",
            show=lambda network: seen(network, held_out, chosen.frames),
            before=ahead.prepare,
            about=identity(chosen, *content_named_in([chosen.text])),
        )
    card = origin(chosen.output, {"recording": "generated movies", "clips": chosen.clips}, command)
    card |= {"training": asdict(chosen) | {"output": chosen.output.name, "artefacts": ""}} | asdict(outcome)
    model = model.cpu()
    save_coarse_diffusion(model, chosen.output, card=card)  # saved first: the errors take a while
    card |= {"held_out_squared_error": by_caption(model, held_out)}
    save_coarse_diffusion(model, chosen.output, card=card)
    chosen.output.with_suffix(".training").unlink(missing_ok=True)
    return chosen.output


def ahead_of(scenes: CoarseScenes, telling: Telling, chosen: CoarseTraining) -> ChunksAhead:
    """Return the chunks of a training's steps."""

    def draw(step: int) -> Chunks:
        generator = torch.Generator().manual_seed(2**20 * (chosen.seed + 1) + step)
        return drawn_chunks(scenes, telling, generator, batch=chosen.batch, frames=chosen.frames)

    return ChunksAhead(draw, scenes, chosen.learning.steps)


def coarse_spectrum(scenes: CoarseScenes, frames: int) -> Spectrum:
    """Return the spectrum of the first coarse training scenes that are long enough."""
    long = [scene for scene in scenes.scenes if scene.end - scene.first >= 4 * frames][:MEASURED]
    return estimate_spectrum(scenes.chunk(scene.clip, -(-scene.first // 4), frames)[0] for scene in long)


def started(chosen: CoarseTraining, generator: torch.Generator, power: Spectrum | None = None) -> CoarseDiffusion:
    """Return a coarse stage with random weights that initially equals the Gaussian denoiser of spectrum `power`."""
    model = fresh(lambda: CoarseDiffusion(chosen.settings, spectrum=power, text=chosen.text))
    zero = {name: value.clone() for name, value in model.state_dict().items() if not value.any()}
    draw_weights(model, generator, gain=1.0)
    model.load_state_dict(zero, strict=False)
    model.precision = torch.bfloat16 if chosen.precision == "bfloat16" else torch.float32
    return model


def coarse_loss(chosen: CoarseTraining, ahead: ChunksAhead) -> Loss:
    """Return the loss of a step: noise of random σ on random chunks, denoised on the network's device.

    The squared error counts in units of the variance that noise leaves to the Gaussian. All draws are made on the CPU.
    """

    def loss(network: Any, draws: torch.Generator) -> Tensor:
        chunks = ahead.taken()
        sigma = (chosen.level + chosen.log_sd * torch.randn(chosen.batch, generator=draws)).exp()
        noise = torch.randn(chunks.movies.shape, generator=draws)
        return weighted_error(network, chunks, sigma, noise)

    return loss


def weighted_error(network: Any, chunks: Chunks, sigma: Tensor, noise: Tensor) -> Tensor:
    """Return the mean squared error of the network in units of the variance that noise leaves to the Gaussian."""
    device = device_of(network)
    movie, sigma, noise = (part.to(device) for part in (chunks.movies, sigma, noise))
    level = sigma.reshape(-1, 1, 1, 1, 1)
    told = Told(*(part.to(device) for part in chunks.told))
    scale = network.uncertainty(sigma, movie.shape).reshape(level.shape)
    error: Tensor = (((network.told(movie + level * noise, sigma, told) - movie) / scale) ** 2).mean()
    return error


def seen(network: Any, held_out: CoarseHeldOut, frames: int) -> Sequence[Any]:
    """Return TensorBoard entries of a validation: samples of captions, and held-out errors.

    The noise is the same at every validation, so only the weights change pictures and curves.
    """
    from recon.media import contact_sheet, encode_png, to_uint8, upscale
    from recon.run.events import picture, scalar

    guided, steps = ClassifierFree(network, SHOWN_GUIDANCE), list(steps_down(*SHOWN_LEVELS))
    shape = (1, 1, frames, *held_out.movies.shape[-2:])
    draws = []
    for text in SHOWN:
        condition = network.embed([text]).to(device_of(network)) if text else None
        found = drawn(guided, condition, shape, steps, generator=torch.Generator().manual_seed(0))
        draws.append(upscale(to_uint8(found[:, 0].cpu()), 3))
    values = [picture("samples/strips", encode_png(contact_sheet(draws, list(SHOWN))), kind="png")]
    for words in ("right", "none", "wrong"):
        means = held_out_errors(network, held_out, words, sigmas=CHOOSING).mean(1).tolist()
        values += [
            scalar(f"squared error at {sigma:g}/caption {words}", mean)
            for sigma, mean in zip(CHOOSING, means, strict=True)
        ]
    return values
