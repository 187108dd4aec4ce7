"""Latent decoder: responses → latents of an autoencoder → movie (Takagi & Nishimoto 2023; Scotti et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from einops import rearrange
from pydantic import Tag
from torch import Tensor
from torch.nn import functional

from recon.encoders.identity import weights_hash
from recon.encoders.training.loop import Learning, draw_weights, fresh, learn
from recon.errors.ranges import Count, Decay, Folds, NonNegative, Some
from recon.files.scale import check_scale
from recon.methods.artefacts import load_artefact
from recon.methods.base import only_iterate, responses_of
from recon.methods.facts import PAIRS, Sees, Strength
from recon.methods.linear.lags import Lags, Scaling, measure_scaling
from recon.methods.linear.regression import regressed
from recon.methods.neural.towers import NeuralTower, TowerSettings, info_nce
from recon.methods.neural.weights_file import recorded_scale
from recon.methods.requirements import Needs
from recon.methods.training_set import TrainingSet
from recon.priors.autoencoder import Autoencoder, load_image_autoencoder
from recon.priors.movie_autoencoder import load_autoencoder
from recon.priors.weights_file import scale_of
from recon.problem.problem import Problem
from recon.types import Iterate, State, Trial


@dataclass(frozen=True)
class Movies:
    """Small movie autoencoder: a file of weights, or a shipped name."""

    weights: str = "movies"

    @property
    def sees(self) -> Sees:
        """The pretrained autoencoder."""
        return Sees(pretrained=(f"autoencoder {self.weights}",))

    def load(self) -> Autoencoder:
        """Return the autoencoder."""
        return load_autoencoder(self.weights)


@dataclass(frozen=True)
class Images:
    """Image autoencoder of diffusers, applied per frame: a folder or hub id; frames are enlarged by `scale`."""

    model: str
    scale: Count = 4

    @property
    def sees(self) -> Sees:
        """The pretrained autoencoder."""
        return Sees(pretrained=(f"autoencoder {self.model}",))

    def load(self) -> Autoencoder:
        """Return the autoencoder."""
        return load_image_autoencoder(self.model, scale=self.scale)


@dataclass(frozen=True)
class RidgeReader:
    """Ridge regression from lagged responses to latents; penalty by cross-validation, as in `ridge`."""

    lags: Lags = field(default_factory=Lags)
    penalties: Annotated[tuple[NonNegative, ...], Some] = (0.03, 0.1, 0.3, 1.0, 3.0)
    folds: Folds = 3
    root: bool = True


@dataclass(frozen=True)
class Contrastive:
    """Network from responses to latents: squared error + `weight` · symmetric InfoNCE between trials of a batch.

    InfoNCE identifies the latents of each chunk among those of the other trials (learnt temperature).
    """

    hidden: Count = 256
    lags: Lags = field(default_factory=lambda: Lags(-2, 15, 5))
    learning: Learning = field(default_factory=lambda: Learning(steps=800, learning_rate=1e-3, weight_decay=0.05))
    weight: NonNegative = 0.1
    batch: Count = 24
    frames: Count = 32
    dropout: Decay = 0.2


@dataclass(frozen=True)
class Latent:
    """movie = decode(latents), with latents regressed on the responses.

    `autoencoder` defines the latents and decodes them; `reader` is linear or contrastive. Where responses are
    uninformative the latents regress to their mean, so that blur reflects uncertainty.
    """

    title: ClassVar[str] = "latent decoder"
    strength: ClassVar[Strength | None] = None
    separable: ClassVar[bool] = True

    autoencoder: Annotated[Movies, Tag("movies")] | Annotated[Images, Tag("images")] = field(default_factory=Movies)
    reader: Annotated[RidgeReader, Tag("linear")] | Annotated[Contrastive, Tag("contrastive")] = field(
        default_factory=RidgeReader
    )
    artefact: Path | None = None

    @property
    def sees(self) -> Sees:
        """What decides the movie."""
        return Sees(responses=True, learnt=(PAIRS,)) | self.autoencoder.sees

    @property
    def needs(self) -> Needs:
        """Training trials; two for cross-validation."""
        return Needs(trials=2 if isinstance(self.reader, RidgeReader) else 1)

    def check_weights(self, training: TrainingSet) -> None:
        """Raise InputError where the autoencoder is absent, or was trained on movies of another scale."""
        self.autoencoder.load()
        if isinstance(self.autoencoder, Movies):
            check_scale(
                scale_of(self.autoencoder.weights, what="an autoencoder of movies"),
                recorded_scale(training.recording),
                what=f"autoencoder {self.autoencoder.weights}",
                remedy="train one on this recording with `recon train autoencoder`",
            )

    def fit(self, training: TrainingSet) -> Latent:
        """Encode the training movies, then train the reader."""
        autoencoder = self.autoencoder.load()

        def learn_reader(checkpoint: Path) -> dict[str, Tensor]:
            if isinstance(self.reader, RidgeReader):
                learnt = fit_linear(self.reader, training, autoencoder)
            else:
                learnt = fit_contrastive(self.reader, training, autoencoder, checkpoint=checkpoint)
            return learnt | {"neurons": training.neurons}

        about = (self.autoencoder, self.reader, weights_hash(autoencoder))
        return replace(
            self, artefact=training.artefact("latent", about, learn_reader, code=[__name__], uses=("neurons", "seed"))
        )

    @torch.no_grad()
    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the decoded movie once."""
        if state:
            return
        learnt, autoencoder = load_artefact(self.artefact, method="latent"), self.autoencoder.load()
        responses = responses_of(problem, learnt.pop("neurons")).cpu()
        read = _read_linear if isinstance(self.reader, RidgeReader) else _read_contrastive
        shape = (problem.shape[2], problem.shape[3], problem.shape[4])
        size = [int(side) for side in learnt.pop("size")]
        flat = read(self.reader, responses, learnt, autoencoder.stride)
        latents = rearrange(flat, "b t (d h w) -> b d t h w", d=size[0], h=size[1])
        clips = [autoencoder.decode(sample[None], shape) for sample in latents]
        movie = torch.cat(clips).clamp(0, 1).to(problem.device)
        yield only_iterate(problem, movie)


@torch.no_grad()
def latents_of(trial: Trial, autoencoder: Autoencoder) -> Tensor:
    """Return the latents `[T',D,h,w]` of a trial's movie."""
    return rearrange(autoencoder.encode(trial.movie[:1][None]), "1 d t h w -> t d h w")


def fit_linear(reader: RidgeReader, training: TrainingSet, autoencoder: Autoencoder) -> dict[str, Tensor]:
    """Return weights and mean of the ridge regression, the scaling of responses, and the size of a latent."""
    scaling, sizes = measure_scaling(training, root=reader.root), []

    def pairs() -> Iterator[tuple[Tensor, Tensor]]:
        for trial in training.trials():
            latents = latents_of(trial, autoencoder)
            sizes.append(latents.shape[1:])
            features = reader.lags.apply(scaling.apply(training.responses(trial)))[:: autoencoder.stride]
            yield features, latents.flatten(1)

    learnt = regressed(pairs(), reader.penalties, folds=reader.folds)
    return learnt | {"scale_mean": scaling.mean, "scale_std": scaling.std, "size": torch.tensor(sizes[0])}


def _read_linear(reader: Any, responses: Tensor, learnt: dict[str, Tensor], stride: int) -> Tensor:
    scaling = Scaling(learnt["scale_mean"], learnt["scale_std"], reader.root)
    features = torch.stack([reader.lags.apply(scaling.apply(sample))[::stride] for sample in responses])
    return features @ learnt["weights"] + learnt["mean"]


def fit_contrastive(
    reader: Contrastive, training: TrainingSet, autoencoder: Autoencoder, *, checkpoint: Path
) -> dict[str, Tensor]:
    """Return the weights of the trained network, mean and deviation of the latents, and the size of a latent."""
    trials = [(training.responses(trial), latents_of(trial, autoencoder)) for trial in training.trials()]
    every = torch.cat([latents.flatten(1) for _, latents in trials])
    mean, std = every.mean(0), every.std(0).clamp_min(1e-6)
    known = [(responses, (latents.flatten(1) - mean) / std) for responses, latents in trials]
    tower = _tower(reader, len(known[0][0]), every.shape[1], stride=autoencoder.stride)
    generator = torch.Generator().manual_seed(training.seed)
    draw_weights(tower, generator, gain=1.0)
    tower.transform.measure(torch.cat([responses for responses, _ in known], 1))
    title = "train brain encoder" if training.progress else ""
    learn(
        tower.to(training.device),
        lambda model, draws: contrastive_loss(reader, model, known, draws),
        reader.learning,
        generator=generator,
        checkpoint=checkpoint,
        title=title,
    )
    return tower.state_dict() | {"mean": mean, "std": std, "size": torch.tensor(trials[0][1].shape[1:])}


def contrastive_loss(
    reader: Contrastive, tower: Any, known: list[tuple[Tensor, Tensor]], draws: torch.Generator
) -> Tensor:
    """Return the loss of a batch of chunks, one per trial, from `known` responses `[n,T]` and latents `[T',L]`."""
    stride, responses, latents = tower.settings.stride, [], []
    chosen = torch.randperm(len(known), generator=draws)[: reader.batch].tolist()
    frames = min(reader.frames, *(known[index][0].shape[1] for index in chosen)) // stride
    for index in chosen:
        late = known[index][0].shape[1] // stride - frames
        start = int(torch.randint(late + 1, (1,), generator=draws))
        responses.append(known[index][0][:, start * stride : (start + frames) * stride])
        latents.append(known[index][1][start : start + frames])
    device = tower.log_scale.device
    seen, truth = torch.stack(responses).to(device), torch.stack(latents).to(device)
    kept = torch.rand(seen.shape[:2], generator=draws) >= reader.dropout
    read = tower(seen, kept.to(device))
    return functional.mse_loss(read, truth) + reader.weight * info_nce(read, truth, tower.log_scale)


def _read_contrastive(reader: Any, responses: Tensor, learnt: dict[str, Tensor], stride: int) -> Tensor:
    mean, std = learnt.pop("mean"), learnt.pop("std")
    tower = _tower(reader, responses.shape[1], len(mean), stride=stride)
    tower.load_state_dict(learnt)
    read: Tensor = tower.eval()(responses) * std + mean
    return read


def _tower(reader: Contrastive, neurons: int, size: int, *, stride: int) -> NeuralTower:
    settings = TowerSettings(space=size, hidden=reader.hidden, stride=stride, lags=reader.lags)
    tower = fresh(lambda: NeuralTower(neurons, settings))
    tower.register_parameter("log_scale", torch.nn.Parameter(torch.tensor(2.5)))
    return tower
