"""Convolutional decoder from responses to movies, trained on recorded and on distilled trials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from recon.encoders.training.clips import TrainingClip
from recon.encoders.training.loop import Learning, fresh, learn
from recon.errors import InputError
from recon.errors.ranges import Count, Decay, Fraction, NonNegative, Whole
from recon.files.weights import built
from recon.methods.artefacts import load_artefact
from recon.methods.base import POSING, only_iterate, responses_of, validation_pairs
from recon.methods.facts import PAIRS, VALIDATED, Sees, Strength
from recon.methods.neural.chunks import Reading, chunk, decoded, decoding_score, mean_frame, places, recorded
from recon.methods.neural.critic import Rivals, rivalry, with_critic
from recon.methods.neural.distillation import distilled, drawn_chunk
from recon.methods.neural.network import Decoder, DecoderArchitecture, initialised
from recon.methods.neural.weights_file import architecture_of, dropout_of, find_decoder, read_decoder
from recon.methods.requirements import Needs
from recon.methods.training_set import TrainingSet
from recon.metrics.movie import SSIM_RADIUS, ssim
from recon.problem.fidelities.base import Likelihood
from recon.problem.fidelities.mixture import Mixture
from recon.problem.problem import Problem
from recon.simulate.render import FRAME_RATE
from recon.types import Iterate, State

DROPOUT = 0.1
Pair = tuple[Tensor, Tensor]
"""Responses `[B,n,F]` and movies `[B,1,F,H,W]`."""


@dataclass(frozen=True)
class Convolutional:
    """movie = U-Net(Σ neurons' vectors at their receptive fields), trained on chunks of training trials.

    Loss: squared error / variance of the movies + `similarity` · (1 − SSIM) + `adversarial` · least-squares GAN loss of
    a frame-wise critic; the last two on every second frame. Chunks have `frames` frames, the first and last `margin` of
    which are context only. A fraction `dropout` of the neurons is silenced per chunk; at test time responses are scaled
    by the fraction kept.

    A fraction `distilled` of each batch is drawn from the row's encoders, with `noise` fitted to the training trials,
    for training movies, transformed versions of them (mirrored, reversed, flipped, enlarged) and `generated` minutes of
    natural-like movies.

    The averaged weights with the best video correlation + SSIM on validation clips are kept. "bfloat16" trains three
    times as fast on CPUs that support it and falls back to float32 on others; loss and weights are float32. With
    `weights`, a file or shipped name ("{seed}" stands for the row's seed), nothing is trained and the architecture is
    the file's.
    """

    title: ClassVar[str] = "convolutional decoder"
    strength: ClassVar[Strength | None] = None
    separable: ClassVar[bool] = True

    architecture: DecoderArchitecture = field(default_factory=DecoderArchitecture)
    learning: Learning = field(default_factory=Learning)
    batch: Count = 8
    frames: Count = 80
    margin: Whole = 12
    similarity: NonNegative = 0.3
    dropout: Decay = DROPOUT
    adversarial: NonNegative = 0.0
    distilled: Fraction = 0.0
    generated: NonNegative = 0.0
    noise: Likelihood = field(default_factory=Mixture)
    precision: Literal["float32", "bfloat16"] = "float32"
    weights: str = ""
    artefact: Path | None = None

    def __post_init__(self) -> None:
        shares = 0 <= self.distilled <= 1 and 0 <= self.dropout < 1 and self.adversarial >= 0
        if not shares or self.batch < 1:
            raise InputError(
                f"convolutional: expected distilled in 0–1, dropout from 0 to below 1, adversarial of at least 0 and "
                f"batch of at least 1, got {self.distilled:g}, {self.dropout:g}, {self.adversarial:g} and "
                f"{self.batch}; correct them"
            )
        if self.generated < 0 or (self.generated and not self.distilled):
            raise InputError(
                f"convolutional: expected generated of at least 0 minutes, and distilled above 0 with it, got "
                f"{self.generated:g} and {self.distilled:g}; correct them"
            )

    @property
    def sees(self) -> Sees:
        """What decides the movie: responses, and what the weights were trained on."""
        if self.weights:
            return Sees(responses=True, pretrained=(f"decoder {self.weights}",))
        predicted = ("responses predicted by the encoders",) if self.distilled else ()
        drawn = ("generated movies",) if self.generated else ()
        return Sees(responses=True, learnt=(PAIRS, *predicted, *drawn, VALIDATED))

    @property
    def needs(self) -> Needs:
        """Training trials, unless trained before; generated movies have a frame rate of their own."""
        if self.weights:
            return Needs()
        return Needs(trials=1, rate=FRAME_RATE if self.generated else 0.0)

    def check_weights(self, training: TrainingSet) -> None:
        """Raise InputError for weights that are absent, or of other neurons or frames."""
        if self.weights:
            find_decoder(self.weights.replace("{seed}", str(training.seed)), training)

    def fit(self, training: TrainingSet) -> Convolutional:
        """Train the network, or find its file; an interrupted training resumes from its checkpoint."""
        if self.weights:
            named = self.weights.replace("{seed}", str(training.seed))
            return replace(self, artefact=find_decoder(named, training))

        def learn_decoder(checkpoint: Path) -> dict[str, Tensor]:
            return {**self.trained(training, checkpoint=checkpoint).state_dict(), "neurons": training.neurons}

        uses = ("neurons", "seed", *(["encoders"] if self.distilled > 0 else []))
        about = replace(self, artefact=None)
        return replace(
            self, artefact=training.artefact("convolutional", about, learn_decoder, code=[__name__, POSING], uses=uses)
        )

    def trained(self, training: TrainingSet, *, checkpoint: Path | None = None) -> Decoder:
        """Return the network trained on a training set."""
        examples = recorded(training)
        generator = torch.Generator().manual_seed(training.seed)
        decoder = self._start(training, examples, generator).to(training.device)
        reading = Reading(self.dropout, self.margin, self.precision, training.device)
        variance = float(torch.stack([clip.movie.float().div(255).var() for clip in examples]).mean())
        draw = self._source(training, examples)
        learner = with_critic(decoder, generator).to(training.device) if self.adversarial else decoder

        def loss(model: nn.Module, draws: torch.Generator) -> Tensor:
            movie, truth = reading(_network(model), draw(draws), draws)
            error = self._loss(movie, truth, variance)
            if not isinstance(model, Rivals):
                return error
            decoder_loss, critic_loss = rivalry(model.critic, movie[:, :, ::2], truth[:, :, ::2])
            return error + self.adversarial * decoder_loss + critic_loss

        clips = validation_pairs(training)
        learn(
            learner,
            loss,
            self.learning,
            generator=generator,
            validate=(lambda model: decoding_score(_network(model), clips)) if clips else None,
            checkpoint=checkpoint,
            title="train convolutional decoder" if training.progress else "",
        )
        return decoder

    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the decoded movie once."""
        if state:
            return
        decoder, neurons = self.load()
        movie = decoded(decoder.to(problem.device), responses_of(problem, neurons))
        yield only_iterate(problem, movie)

    def load(self) -> tuple[Decoder, Tensor]:
        """Return the trained network and the mask `[N]` of its neurons."""
        sizes, dropout = self.architecture, self.dropout
        if not (self.weights and self.artefact):
            learnt = load_artefact(self.artefact, method="convolutional")
        else:
            learnt = read_decoder(self.artefact)
            sizes, dropout = architecture_of(self.artefact), dropout_of(self.artefact, DROPOUT)
        learnt.pop("unit_ids", None)
        neurons, mean = learnt.pop("neurons").bool(), learnt["mean"]
        size = (mean.shape[0], mean.shape[1])
        empty = partial(fresh, lambda: Decoder(int(neurons.sum()), size, sizes))
        decoder = built(self.artefact or "decoder", empty, learnt)
        decoder.load_state_dict({name: value.float() for name, value in learnt.items()})
        decoder.read_in.kept_share = 1 - dropout
        return decoder.eval().requires_grad_(False), neurons

    def _source(self, training: TrainingSet, examples: list[TrainingClip]) -> Callable[[torch.Generator], Pair]:
        """Return a function that draws a batch of recorded and, for a fraction `distilled`, distilled chunks."""
        count = round(self.distilled * self.batch)
        source = distilled(training, self.noise, self.generated) if count else None

        def draw(draws: torch.Generator) -> Pair:
            parts = []
            if count < self.batch:
                parts.append(chunk(examples, draws, batch=self.batch - count, frames=self.frames))
            if source is not None:
                parts.append(drawn_chunk(source, draws, batch=count, frames=self.frames))
            length = min(movie.shape[2] for _, movie in parts)
            return torch.cat([part[0][..., :length] for part in parts]), torch.cat([p[1][:, :, :length] for p in parts])

        return draw

    def _start(self, training: TrainingSet, examples: list[TrainingClip], generator: torch.Generator) -> Decoder:
        neurons, size = int(training.neurons.sum()), training.recording.frame_size
        decoder = initialised(neurons, size, self.architecture, generator)
        decoder.read_in.kept_share = 1 - self.dropout
        decoder.read_in.initialise(torch.cat([clip.responses for clip in examples], 1), generator)
        decoder.read_in.painter.centre.data.copy_(places(examples, decoder.grid))
        decoder.mean.copy_(mean_frame(examples))
        return decoder

    def _loss(self, movie: Tensor, truth: Tensor, variance: float) -> Tensor:
        error = ((movie - truth) ** 2).mean() / variance
        if not self.similarity or min(truth.shape[-2:]) <= 2 * SSIM_RADIUS:
            return error
        return error + self.similarity * (1 - ssim(movie[:, :, ::2], truth[:, :, ::2]).mean())


def _network(model: nn.Module) -> nn.Module:
    """Return the decoder of a model trained with or without a critic."""
    return model.get_submodule("decoder") if isinstance(model, Rivals) else model
