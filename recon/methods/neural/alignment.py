"""Visual–neural alignment: retrieves the training movies nearest to the responses in a common embedding space.

Towers are trained contrastively on pairs of training trials (Gao, Rong & He 2025). The reconstruction can show nothing
but pieces of the library.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from recon.encoders.training.clips import TrainingClip
from recon.encoders.training.loop import Learning, draw_weights, fresh, learn
from recon.errors import InputError
from recon.errors.ranges import Count, Decay, Folds, NonNegative, Some
from recon.methods.artefacts import load_artefact
from recon.methods.base import POSING, only_iterate, responses_of, validation_pairs
from recon.methods.facts import PAIRS, VALIDATED, Sees, Strength
from recon.methods.neural.chunks import chunk, mean_frame, recorded
from recon.methods.neural.library import Pieces, blended, pieces_of, window_starts
from recon.methods.neural.towers import Towers, TowerSettings, info_nce
from recon.methods.requirements import Needs
from recon.methods.training_set import TrainingSet
from recon.problem.problem import Problem
from recon.types import Iterate, State

SEGMENT = 30
"""Length in frames of the validation segments to identify."""


@dataclass(frozen=True)
class Alignment:
    """Softmax-weighted average of the `best` pieces of training movies, by cosine to the responses in a common space.

    Trained by symmetric InfoNCE with learnt temperature, on batches of `batch` trials cut to one of the lengths
    `frames`. A fraction `dropout` of the neurons is silenced; brightness, contrast and position of movies are jittered.
    Pieces have `window` frames, start at every `stride`-th frame, and are weighted by exp(beta·cosine).
    """

    title: ClassVar[str] = "contrastive alignment"
    strength: ClassVar[Strength | None] = None
    sees: ClassVar[Sees] = Sees(responses=True, learnt=(PAIRS, "pieces of training movies", VALIDATED))
    separable: ClassVar[bool] = True

    towers: TowerSettings = field(default_factory=TowerSettings)
    learning: Learning = field(default_factory=lambda: Learning(steps=1500, learning_rate=1e-3, weight_decay=0.05))
    batch: Folds = 48
    frames: Annotated[tuple[Count, ...], Some] = (8, 16, 32, 64)
    dropout: Decay = 0.2
    window: Count = 16
    stride: Count = 2
    best: Count = 30
    beta: NonNegative = 20.0
    artefact: Path | None = None

    def __post_init__(self) -> None:
        step = self.towers.stride
        if self.window % step or self.stride % step or self.batch < 2 or not self.frames:
            raise InputError(
                f"alignment: expected window and stride to be multiples of {step} frames, batches of at least 2 and "
                f"some length of frames, got {self.window}, {self.stride}, {self.batch}, {self.frames}; correct them"
            )

    @property
    def needs(self) -> Needs:
        """Training trials with pieces of the window's length."""
        return Needs(trials=1, frames=self.window)

    def fit(self, training: TrainingSet) -> Alignment:
        """Train the towers and embed the training movies; an interrupted training resumes from its checkpoint."""

        def learn_towers(checkpoint: Path) -> dict[str, Tensor]:
            examples = recorded(training)
            towers = self.trained(training, examples, checkpoint=checkpoint)
            return towers.state_dict() | library(towers, examples) | {"neurons": training.neurons}

        about = (self.towers, self.learning, self.batch, self.frames, self.dropout)
        return replace(
            self,
            artefact=training.artefact(
                "alignment", about, learn_towers, code=[__name__, POSING], uses=("neurons", "seed")
            ),
        )

    def trained(self, training: TrainingSet, examples: list[TrainingClip], *, checkpoint: Path | None = None) -> Towers:
        """Return towers trained on the examples."""
        generator = torch.Generator().manual_seed(training.seed)
        neurons, size = int(training.neurons.sum()), training.recording.frame_size
        towers = fresh(lambda: Towers(neurons, size, self.towers))
        draw_weights(towers, generator)
        towers.neural.transform.measure(torch.cat([clip.responses for clip in examples], 1))
        towers.visual.mean.copy_(mean_frame(examples))
        device, towers = training.device, towers.to(training.device)

        def loss(model: Any, draws: torch.Generator) -> Tensor:
            length = self.frames[int(torch.randint(len(self.frames), (1,), generator=draws))]
            responses, movie = chunk(examples, draws, batch=self.batch, frames=length, apart=True)
            kept = torch.rand(responses.shape[:2], generator=draws) >= self.dropout
            value: Tensor = model.loss(augmented(movie, draws).to(device), responses.to(device), kept.to(device))
            return value

        clips = validation_pairs(training)
        learn(
            towers,
            loss,
            self.learning,
            generator=generator,
            validate=(lambda model: validation_score(model, clips)) if clips else None,
            checkpoint=checkpoint,
            title="train alignment" if training.progress else "",
        )
        return towers.cpu()

    def load(self) -> tuple[Towers, dict[str, Tensor]]:
        """Return the trained towers and the library: `frames`, `embeddings`, `lengths` and the mask `neurons`."""
        learnt = load_artefact(self.artefact, method="alignment")
        kept = {name: learnt.pop(name) for name in ("frames", "embeddings", "lengths", "neurons")}
        size = (learnt["visual.mean"].shape[0], learnt["visual.mean"].shape[1])
        towers = fresh(lambda: Towers(int(kept["neurons"].sum()), size, self.towers))
        towers.load_state_dict(learnt)
        return towers.eval().requires_grad_(False), kept

    @torch.no_grad()
    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the averaged movie once."""
        if state:
            return
        towers, kept = self.load()
        window = min(self.window, problem.shape[2] // self.towers.stride * self.towers.stride)
        places = pieces_of(kept["lengths"], window, self.stride)
        responses = responses_of(problem, kept["neurons"]).cpu()
        clips = [self._averaged(towers.neural(sample[None])[0], kept, places, window) for sample in responses]
        movie = torch.stack([clip[: problem.shape[2]] for clip in clips]).reshape(problem.shape).to(problem.device)
        yield only_iterate(problem, movie)

    def _averaged(self, embedded: Tensor, kept: dict[str, Tensor], places: Tensor, window: int) -> Tensor:
        """Return frames `[T,P]` for the embedding `[T',D]` of one clip's responses."""
        step = self.towers.stride
        starts = window_starts(len(embedded), window // step, max(self.stride // step, 1))
        scores = nearness(kept["embeddings"], embedded, places // step, starts, window=window // step)
        values, chosen = scores.topk(min(self.best, len(places)), dim=0)
        pieces = Pieces(kept["frames"], places[chosen], torch.softmax(self.beta * values, 0))
        return blended(pieces, starts * step, frames=len(embedded) * step, window=window)


@torch.no_grad()
def library(towers: Towers, examples: list[TrainingClip]) -> dict[str, Tensor]:
    """Return frames `[T,P]` (0–255), embeddings `[T',D]` and lengths of all training trials, cut to whole strides."""
    step = towers.visual.settings.stride
    movies = [clip.movie[0, : clip.movie.shape[1] // step * step] for clip in examples]
    embedded = [towers.visual(movie[None, None].float() / 255)[0] for movie in movies]
    lengths = torch.tensor([len(movie) for movie in movies])
    return {"frames": torch.cat(movies).flatten(1), "embeddings": torch.cat(embedded), "lengths": lengths}


def nearness(embeddings: Tensor, embedded: Tensor, places: Tensor, starts: Tensor, *, window: int) -> Tensor:
    """Return cosines `[K,W]` of library pieces (`[T',D]`, at `places`) and clip windows (`[t',D]`, at `starts`)."""
    products, ours, theirs = embeddings @ embedded.T, embedded.square().sum(1), embeddings.square().sum(1)
    scores = torch.zeros(len(places), len(starts))
    first, second = torch.zeros(len(places)), torch.zeros(len(starts))
    for step in range(window):
        scores += products[places + step][:, starts + step]
        first, second = first + theirs[places + step], second + ours[starts + step]
    return scores / (first[:, None] * second).sqrt().clamp_min(1e-12)


def augmented(movie: Tensor, generator: torch.Generator) -> Tensor:
    """Return movies `[B,1,T,H,W]` with jittered brightness (±0.1), contrast (×0.7–1.3) and position (±1 pixel)."""
    gain, shift = torch.rand(2, len(movie), 1, 1, 1, 1, generator=generator)
    mean = movie.mean((1, 2, 3, 4), keepdim=True)
    changed = mean + (0.7 + 0.6 * gain) * (movie - mean) + 0.2 * (shift - 0.5)
    down, across = torch.randint(3, (2,), generator=generator).tolist()
    padded = functional.pad(rearrange(changed, "b 1 t h w -> b t h w"), (1, 1, 1, 1), mode="replicate")
    height, width = movie.shape[-2:]
    return rearrange(padded[..., down : down + height, across : across + width], "b t h w -> b 1 t h w")


def validation_score(model: Any, clips: list[tuple[Tensor, Tensor]]) -> float:
    """Return −InfoNCE over all validation segments, in both directions."""
    visual, neural = [], []
    for responses, movie in clips:
        length = min(SEGMENT, movie.shape[2])
        for first in range(0, movie.shape[2] - length + 1, length):
            visual.append(model.visual(movie[:, :, first : first + length]))
            neural.append(model.neural(responses[..., first : first + length]))
    return -float(info_nce(torch.cat(visual), torch.cat(neural), model.log_scale))
