"""Responses that encoders predict, with drawn noise: for training movies, others made of them, generated ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
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
"""Training trials, spread evenly, to which the noise of distilled responses is fitted."""
FIRST_GENERATED = 1000
"""Generated movies are the training clips from this number on: those of simulated recordings are numbered from 0."""
GENERATED_FRAMES = 300
PART = 60
"""Generated movies whose rates are learnt, and kept, at once."""


@dataclass(frozen=True)
class Distilled:
    """Clips whose responses are rates of encoders, and the noise with which responses are drawn from them."""

    clips: list[TrainingClip]
    noise: SamplingLikelihood


@torch.no_grad()
def distilled(training: TrainingSet, noise: Likelihood, minutes: float = 0.0) -> Distilled:
    """Return what the encoders predict for the training movies, for others made of them (`views`), and generated ones.

    The rates are an artefact that all seeds share. The noise is fitted to the training responses and the rates of the
    movies as they were shown. `minutes` of natural-like movies are generated; no animal saw them, and no source of a
    test clip is in them.
    """
    training.required_encoders("distillation")
    if not isinstance(noise, SamplingLikelihood):
        raise InputError(f"distillation: expected noise that can be drawn, got {noise}; take poisson or mixture")
    path = training.artefact("distilled", "six views", lambda checkpoint: _seen(training), uses=("neurons", "encoders"))
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
    """Return generated movies as bytes with the encoders' rates for them, under the behavior of training trials.

    Movies are made as those of simulated recordings are (training sources of the committed split). They are learnt in
    parts, so that an interrupted distillation goes on; raises InputError where frames come at another rate.
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
        learn = partial(_made, training, start)
        path = training.artefact("generated", f"from {start}", learn, uses=("neurons", "encoders"))
        learnt = load_artefact(path, method="distillation")
        clips += [TrainingClip(movie, rates) for movie, rates in zip(learnt["movies"], learnt["rates"], strict=True)]
    return clips[:count]


def _made(training: TrainingSet, start: int, checkpoint: Path) -> dict[str, Tensor]:
    """Return generated movies `[K,1,T,H,W]` and the encoders' rates for them `[K,n,T]`; trials lend their behavior."""
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


def _seen(training: TrainingSet) -> dict[str, Tensor]:
    """Return the encoders' rates `[n,T]` for all views of all training movies, joined."""
    parts = [training.rates(view, trial.behavior).half() for trial in training.trials() for view in views(trial.movie)]
    return {"rates": torch.cat(parts, 1)}


def views(movie: Tensor) -> Iterator[Tensor]:
    """Yield a movie `[C,T,H,W]` and five made of it: mirrored, the same backwards, upside down, and two enlarged.

    The enlarged ones show the upper left, and mirrored the lower right, three quarters of height and width.
    """
    mirrored = movie.flip(-1)
    yield movie
    yield mirrored
    yield mirrored.flip(-3)
    yield movie.flip(-2)
    height, width = movie.shape[-2:]
    rows, columns = max(1, height * 3 // 4), max(1, width * 3 // 4)
    for corner in (movie[..., :rows, :columns], mirrored[..., -rows:, -columns:]):
        yield functional.interpolate(corner.transpose(0, 1), (height, width), mode="bilinear").transpose(0, 1)


def drawn_chunk(source: Distilled, generator: torch.Generator, *, batch: int, frames: int) -> tuple[Tensor, Tensor]:
    """Return random chunks as `chunk` does, with responses drawn from the rates."""
    rates, movies = chunk(source.clips, generator, batch=batch, frames=frames)
    return source.noise.sample(rates.float(), generator), movies
