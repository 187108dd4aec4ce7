"""`recon train prior`: from generated movies and their captions to the weights of a text-conditioned movie prior."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from tqdm import tqdm

from encoders.learning import Learning, draw_weights, fresh, learn
from priors.movie_diffusion import SPREAD, MovieDiffusion, save_movie_diffusion
from priors.movie_unet import MovieUnetSettings
from priors.spectrum import GaussianDenoiser, estimate_spectrum
from priors.text import EMBEDDED, TextEncoder
from recon import config
from recon.artefacts import artefact_path, load_artefact, save_artefact
from recon.methods.guided import steps_down
from recon.movies import encode_gif, encode_png, side_by_side, to_uint8, upscale
from recon.sampling import contact_sheet, drawn
from recon.simulate.movies import make_clip
from recon.summaries import picture, scalar

FIRST = 2000
"""Clips are the training clips of the committed split from this number on; simulated recordings show earlier ones."""
HELD_OUT = 24
HELD_OUT_FRAMES = 180
PART = 50
WATCHED = 8
"""Held-out clips that choose the weights that are kept; the card's errors are of all."""
Words = Literal["right", "none", "wrong"]
WORDS: tuple[Words, ...] = get_args(Words)
SIGMAS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
CHOOSING = SIGMAS[1::2]
"""Noise levels of the score that chooses the weights."""
SHOWN_DRAWS, SHOWN_FRAMES = 2, 16
SHOWN_LEVELS = (12, 10.0, 0.03)
"""What TensorBoard shows at every validation is drawn down so many levels of σ, from the highest to the lowest."""
FRAME_RATE = 30.0


@dataclass(frozen=True)
class PriorTraining:
    """A configuration: how many clips of 10 s, how large a network, and where weights and drawn clips go.

    Chunks of `frames` frames of one scene are noised with ln σ ~ N(`level`, `spread`²) and denoised, in the weighting
    of Karras et al. 2022; a share `silent` of them without their caption (Ho & Salimans 2021).
    """

    name: str
    output: Path
    settings: MovieUnetSettings = field(default_factory=MovieUnetSettings)
    learning: Learning = field(default_factory=lambda: Learning(average=0.998))
    clips: int = 1000
    batch: int = 8
    frames: int = 32
    level: float = -1.2
    spread: float = 1.2
    silent: float = 0.15
    text: str = EMBEDDED
    precision: str = "bfloat16"
    seed: int = 0
    artefacts: Path = Path("runs/artefacts")


@dataclass(frozen=True)
class Captioned:
    """Clips as bytes `[K,T,H,W]`, the scenes (clip, first, end) in them, and their captions' embeddings `[S,P,D]`.

    `captions` has the first phrasing of every scene's.
    """

    movies: Tensor
    scenes: tuple[tuple[int, int, int], ...]
    embeddings: Tensor
    captions: tuple[str, ...]

    @property
    def first(self) -> list[int]:
        """The places of every clip's first scene among the scenes."""
        return [place for place, scene in enumerate(self.scenes) if place == 0 or scene[0] != self.scenes[place - 1][0]]

    def drawn(self, generator: torch.Generator, *, batch: int, frames: int) -> tuple[Tensor, Tensor]:
        """Return chunks `[B,1,F,H,W]` in [0,1], each of one scene, and the embedding of one of its captions."""
        chosen = torch.randint(len(self.scenes), (batch,), generator=generator).tolist()
        phrased = torch.randint(self.embeddings.shape[1], (batch,), generator=generator)
        parts = []
        for clip, first, end in (self.scenes[index] for index in chosen):
            late = max(end - first - frames, 0)
            start = first + int(torch.randint(late + 1, (1,), generator=generator))
            start = min(start, self.movies.shape[1] - frames)
            parts.append(self.movies[clip, start : start + frames])
        return torch.stack(parts)[:, None].float() / 255, self.embeddings[torch.tensor(chosen), phrased]


def train_prior(tree: Mapping[str, Any], *, log: Path | None = None) -> Path:
    """Train as a configuration says and return the path of the weights; the card lies beside them."""
    chosen = config.record(PriorTraining, tree, where="train")
    encoder = TextEncoder(chosen.text)
    shown, held_out = captioned("train", chosen, encoder), captioned("validation", chosen, encoder)
    watched = replace(held_out, movies=held_out.movies[:WATCHED], scenes=held_out.scenes[:WATCHED])
    generator = torch.Generator().manual_seed(chosen.seed)
    model = started(chosen, generator)

    def loss(network: Any, draws: torch.Generator) -> Tensor:
        movie, text = shown.drawn(draws, batch=chosen.batch, frames=chosen.frames)
        text = torch.where(torch.rand(len(text), 1, generator=draws) < chosen.silent, torch.nan, text)
        sigma = (chosen.level + chosen.spread * torch.randn(len(movie), generator=draws)).exp()
        level = sigma.reshape(-1, 1, 1, 1, 1)
        noisy = movie + level * torch.randn(movie.shape, generator=draws)
        weight = (level**2 + SPREAD**2) / (level * SPREAD) ** 2
        error: Tensor = (weight * (network(noisy, sigma, text) - movie) ** 2).mean()
        return error

    outcome = learn(
        model,
        loss,
        chosen.learning,
        generator=generator,
        validate=lambda network: -float(errors(network, watched, "right", sigmas=CHOOSING).mean(1).log().mean()),
        checkpoint=chosen.output.with_suffix(".training"),
        log=log,
        title="train prior",
        show=lambda network: seen(network, watched),
    )
    card = {"name": chosen.name, "training": asdict(chosen) | {"output": chosen.output.name, "artefacts": ""}}
    card |= asdict(outcome) | {"held_out_squared_error": report(model, shown, held_out)}
    save_movie_diffusion(model, chosen.output, card=card | {"command": f"recon train prior {_config(chosen)}"})
    return chosen.output


def started(chosen: PriorTraining, generator: torch.Generator) -> MovieDiffusion:
    """Return a prior with weights from a generator, which denoises as if movies were white."""
    model = fresh(lambda: MovieDiffusion(chosen.settings, text=chosen.text))
    last = {name: value.clone() for name, value in model.state_dict().items() if _starts_at_zero(name)}
    draw_weights(model, generator)
    model.load_state_dict(last, strict=False)
    model.precision = torch.bfloat16 if chosen.precision == "bfloat16" else torch.float32
    return model


def _starts_at_zero(name: str) -> bool:
    return "time.weight" in name or "leave.weight" in name


def captioned(split: str, chosen: PriorTraining, encoder: TextEncoder) -> Captioned:
    """Return the clips of a split; they are drawn in parts that are kept, so that an interrupted drawing goes on."""
    count, first, frames = (chosen.clips, FIRST, 300) if split == "train" else (HELD_OUT, 0, HELD_OUT_FRAMES)
    movies: list[Tensor] = []
    scenes: list[tuple[int, int, int]] = []
    texts: list[list[str]] = []
    for start in tqdm(range(0, count, PART), f"draw {split} movies", unit="part", disable=None):
        numbers = range(first + start, first + min(start + PART, count))
        part = _part(split, numbers, frames, chosen.artefacts)
        for number, clip in enumerate(json.loads(bytes(part["about"].tolist())), start):
            scenes += [(number, scene["first"], scene["end"]) for scene in clip]
            texts += [scene["captions"] for scene in clip]
        movies.append(part["movies"])
    phrasings = min(map(len, texts))
    distinct = sorted({text for captions in texts for text in captions})
    known = dict(zip(distinct, encoder(distinct), strict=True))
    embeddings = torch.stack([torch.stack([known[text] for text in captions[:phrasings]]) for captions in texts])
    return Captioned(torch.cat(movies), tuple(scenes), embeddings, tuple(captions[0] for captions in texts))


def _part(split: str, numbers: range, frames: int, folder: Path) -> dict[str, Tensor]:
    """Return the clips of these numbers as bytes and, as JSON in bytes, their scenes."""
    path = artefact_path(folder, "movies", [split, numbers.start, numbers.stop, frames])
    if not path.exists():
        clips = [make_clip(split, number, frames=frames) for number in numbers]
        about = json.dumps([clip.describe() for clip in clips]).encode()
        movies = torch.stack([torch.from_numpy(clip.video) for clip in clips])
        save_artefact({"movies": movies, "about": torch.tensor(list(about), dtype=torch.uint8)}, path)
    return load_artefact(path, method="movies")


@torch.no_grad()
def errors(denoiser: nn.Module, clips: Captioned, words: Words, *, sigmas: Sequence[float] = SIGMAS) -> Tensor:
    """Return the mean squared error `[S,K]` with which the first scene of each clip is denoised at each σ.

    The noise is the same in every call. `words` says which caption the denoiser is told: the right one, none, or that
    of the next clip.
    """
    generator = torch.Generator().manual_seed(HELD_OUT)
    told = clips.embeddings[clips.first, 0]
    told = {"right": told, "none": torch.full_like(told, torch.nan), "wrong": told.roll(1, 0)}[words]
    rows = []
    for sigma in sigmas:
        row = []
        for (clip, start, end), text in zip((clips.scenes[place] for place in clips.first), told, strict=True):
            movie = clips.movies[clip, start:end].float()[None, None] / 255
            noisy = movie + sigma * torch.randn(movie.shape, generator=generator)
            row.append(((denoiser(noisy, torch.tensor([sigma]), text[None]) - movie) ** 2).mean())
        rows.append(torch.stack(row))
    return torch.stack(rows)


def seen(network: Any, watched: Captioned) -> list[Any]:
    """Return what TensorBoard shows at a validation: draws without a caption and with two held-out ones, and errors.

    The noise is the same at every validation, so that pictures and curves change with the weights alone.
    """
    places = watched.first[:2]
    captions = ["", *(watched.captions[place] for place in places)]
    silent = torch.full_like(watched.embeddings[:1, 0], torch.nan)
    shape, steps = (SHOWN_DRAWS, 1, SHOWN_FRAMES, *watched.movies.shape[-2:]), list(steps_down(*SHOWN_LEVELS))
    draws = []
    for text in torch.cat([silent, watched.embeddings[places, 0]]):
        told, generator = text.expand(SHOWN_DRAWS, -1), torch.Generator().manual_seed(HELD_OUT)
        draws.append(to_uint8(drawn(network, told, shape, steps, generator=generator)[:, 0]))
    rows = [side_by_side(list(part)) for part in draws]
    playing = encode_gif(upscale(side_by_side(rows, below=True), 2), frame_rate=FRAME_RATE)
    values = [picture("samples/strips", encode_png(contact_sheet(draws, captions)), kind="png")]
    values.append(picture("samples/movies", playing, kind="gif"))
    for words in WORDS:
        means = errors(network, watched, words, sigmas=CHOOSING).mean(1).tolist()
        values += [
            scalar(f"squared error at {sigma:g}/caption {words}", mean)
            for sigma, mean in zip(CHOOSING, means, strict=True)
        ]
    return values


def report(model: MovieDiffusion, shown: Captioned, held_out: Captioned) -> dict[str, dict[str, float]]:
    """Return the held-out error at each σ with the right caption, none and a wrong one, and that of `gaussian`."""
    power = estimate_spectrum(movie[:HELD_OUT_FRAMES].float() / 255 for movie in shown.movies[:300])
    found = {f"caption: {words}": errors(model, held_out, words) for words in WORDS}
    found["gaussian"] = errors(GaussianDenoiser(power), held_out, "none")
    return {
        name: {f"{sigma:g}": round(float(row.mean()), 7) for sigma, row in zip(SIGMAS, table, strict=True)}
        for name, table in found.items()
    }


def _config(chosen: PriorTraining) -> str:
    return f"configs/train/{chosen.name}.yaml"
