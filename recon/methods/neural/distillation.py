"""Distillation: responses predicted by encoders, with sampled noise, for training, transformed and generated movies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from recon.encoders.training.clips import TrainingClip
from recon.errors import InputError
from recon.methods.artefacts import load_artefact
from recon.methods.neural.chunks import as_bytes, chunk
from recon.methods.training_set import TrainingSet
from recon.problem.fidelities.base import Likelihood, SamplingLikelihood
from recon.simulate.movies import make_clip
from recon.simulate.render import FRAME_RATE

NOISE_TRIALS = 40
"""Number of training trials, evenly spaced, for fitting the noise of distilled responses."""
FIRST_GENERATED = 1000
"""Index of the first generated training clip; clips of simulated recordings are numbered from 0."""
GENERATED_FRAMES = 300
PART = 60
"""Number of generated movies per cached artefact."""


@dataclass(frozen=True)
class Distilled:
    """Clips with the rates of encoders, and the noise model to sample responses from them."""

    clips: list[TrainingClip]
    noise: SamplingLikelihood


@torch.no_grad()
def distilled(training: TrainingSet, noise: Likelihood, minutes: float = 0.0) -> Distilled:
    """Return the encoders' rates for training movies, their transformed versions (`views`) and generated movies.

    Rates are cached and shared by all seeds. The noise model is fitted to the training responses given the rates for
    the untransformed movies. `minutes` of natural-like movies are generated; they contain no source of a test clip.
    """
    training.required_encoders("distillation")
    if not isinstance(noise, SamplingLikelihood):
        raise InputError(f"distillation: expected noise that can be drawn, got {noise}; take poisson or mixture")
    path = training.artefact(
        "distilled",
        "six views",
        lambda checkpoint: _rates_of_views(training),
        code=[__name__],
        uses=("neurons", "encoders"),
    )
    rates, start = load_artefact(path, method="distillation")["rates"], 0
    clips: list[TrainingClip] = []
    known: list[tuple[Tensor, Tensor]] = []
    for trial in training.trials():
        length, seen = trial.movie.shape[1], []
        for view in views(trial.movie):
            seen.append(TrainingClip(as_bytes(view), rates[:, start : start + length]))
            start += length
        known.append((seen[0].responses, training.responses(trial)))
        clips += seen
    frames = min(shown.shape[1] for shown, _ in known)
    every = max(1, len(known) // NOISE_TRIALS)
    shown, responses = (torch.stack([pair[part][:, :frames].float() for pair in known[::every]]) for part in (0, 1))
    fitted = noise.fit(shown, responses, torch.ones_like(shown, dtype=torch.bool))
    return Distilled(clips + generated(training, minutes), fitted)


def generated(training: TrainingSet, minutes: float) -> list[TrainingClip]:
    """Return generated movies as bytes with the encoders' rates, under the behavior of training trials.

    Movies are generated as for simulated recordings, from training sources of the committed split, and cached in parts,
    so that an interrupted distillation resumes. Raises InputError for a recording at another frame rate.
    """
    count = round(minutes * 60 * FRAME_RATE / GENERATED_FRAMES)
    if count and abs(training.recording.frame_rate - FRAME_RATE) > 0.5:
        raise InputError(
            f"generated: expected a recording at {FRAME_RATE:g} frames a second, as generated movies are, got "
            f"{training.recording.frame_rate:g}; set generated to 0"
        )
    silent = not (count and training.progress)
    starts = tqdm(range(0, count, PART), "distil generated movies", unit="part", disable=silent)
    clips: list[TrainingClip] = []
    for start in starts:
        learn = partial(_generate, training, start)
        path = training.artefact("generated", f"from {start}", learn, code=[__name__], uses=("neurons", "encoders"))
        learnt = load_artefact(path, method="distillation")
        clips += [TrainingClip(movie, rates) for movie, rates in zip(learnt["movies"], learnt["rates"], strict=True)]
    return clips[:count]


def _generate(training: TrainingSet, start: int, checkpoint: Path) -> dict[str, Tensor]:
    """Return generated movies `[K,1,T,H,W]` and the encoders' rates `[K,n,T]`, with behavior of training trials."""
    held = [trial.behavior for trial in training.evenly_spaced(PART)]
    frames = min([GENERATED_FRAMES, *(part.shape[1] for part in held if part is not None)])
    recording, movies, rates = training.recording, [], []
    for index in range(PART):
        clip = make_clip(
            "train",
            FIRST_GENERATED + start + index,
            frames=frames,
            frame_size=recording.frame_size,
            degrees_per_pixel=recording.degrees_per_pixel,
        )
        movie, behavior = torch.from_numpy(clip.video)[None], held[index % len(held)]
        seen = None if behavior is None else behavior[:, :frames]
        movies.append(movie)
        rates.append(training.rates(movie.float() / 255, seen).half())
    return {"movies": torch.stack(movies), "rates": torch.stack(rates)}


def _rates_of_views(training: TrainingSet) -> dict[str, Tensor]:
    """Return the encoders' rates `[n,T]` for all views of all training movies, concatenated."""
    parts = [training.rates(view, trial.behavior).half() for trial in training.trials() for view in views(trial.movie)]
    return {"rates": torch.cat(parts, 1)}


def views(movie: Tensor) -> Iterator[Tensor]:
    """Yield a movie `[C,T,H,W]` and five transformed versions: mirrored, mirrored and reversed, flipped, two enlarged.

    The enlarged views show the upper left three quarters of height and width, and the lower right of the mirrored
    movie.
    """
    from kornia.geometry.transform import hflip, resize, vflip

    mirrored = hflip(movie)
    yield movie
    yield mirrored
    yield mirrored.flip(-3)
    yield vflip(movie)
    height, width = movie.shape[-2:]
    rows, columns = max(1, height * 3 // 4), max(1, width * 3 // 4)
    for corner in (movie[..., :rows, :columns], mirrored[..., -rows:, -columns:]):
        yield resize(corner, (height, width), interpolation="bilinear", align_corners=False)


def drawn_chunk(source: Distilled, generator: torch.Generator, *, batch: int, frames: int) -> tuple[Tensor, Tensor]:
    """Return random chunks as `chunk` does, with responses sampled from the rates."""
    rates, movies = chunk(source.clips, generator, batch=batch, frames=frames)
    return source.noise.sample(rates.float(), generator), movies
