"""MEIcoder: most exciting inputs weighted by responses, then a convolutional network (Sobotka et al. 2025)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from recon.encoders.training.clips import TrainingClip
from recon.encoders.training.loop import Learning, fresh, learn
from recon.errors import InputError
from recon.errors.ranges import Count, Decay, Whole
from recon.methods.artefacts import load_artefact
from recon.methods.base import POSING, only_iterate, responses_of, validation_pairs
from recon.methods.facts import PAIRS, VALIDATED, Sees, Strength
from recon.methods.neural.chunks import Reading, chunk, decoded, decoding_score, mean_frame, recorded
from recon.methods.neural.critic import Rivals, rivalry
from recon.methods.neural.frame_network import FrameArchitecture, FrameDecoder, rivals
from recon.methods.neural.most_exciting import pictures
from recon.methods.requirements import Needs
from recon.methods.training_set import TrainingSet
from recon.metrics.movie import SSIM_RADIUS, ssim
from recon.problem.problem import Problem
from recon.types import Iterate, State

FLOOR = 1e-3
"""Floor of SSIM under the logarithm."""


@dataclass(frozen=True)
class Meicoder:
    """movie(t) = CNN(Σ_n features of the responses around t × the encoder's most exciting input of neuron n).

    Loss: (1 − adversarial) · (−log SSIM) + adversarial · least-squares GAN, on every second frame. Published for static
    images; lagged responses replace the single response here. Chunks, dropout of neurons and the selection of weights
    by validation clips are as in `convolutional`.
    """

    title: ClassVar[str] = "MEIcoder"
    strength: ClassVar[Strength | None] = None
    needs: ClassVar[Needs] = Needs(trials=1)
    sees: ClassVar[Sees] = Sees(responses=True, learnt=(PAIRS, "most exciting inputs of the encoder", VALIDATED))
    separable: ClassVar[bool] = True

    architecture: FrameArchitecture = field(default_factory=FrameArchitecture)
    learning: Learning = field(default_factory=lambda: Learning(steps=1000, learning_rate=1e-3, weight_decay=0.3))
    batch: Count = 8
    frames: Count = 48
    margin: Whole = 8
    adversarial: Decay = 0.1
    dropout: Decay = 0.1
    precision: Literal["float32", "bfloat16"] = "float32"
    artefact: Path | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.adversarial < 1 and 0 <= self.dropout < 1 and self.batch >= 1):
            raise InputError(
                f"meicoder: expected adversarial and dropout from 0 to below 1 and batch of at least 1, got "
                f"{self.adversarial:g}, {self.dropout:g} and {self.batch}; correct them"
            )

    def fit(self, training: TrainingSet) -> Meicoder:
        """Compute the most exciting inputs, then train; an interrupted training resumes from its checkpoint."""

        def learn_decoder(checkpoint: Path) -> dict[str, Tensor]:
            return {**self.trained(training, checkpoint).state_dict(), "neurons": training.neurons}

        about, uses = replace(self, artefact=None), ("neurons", "encoders", "seed")
        return replace(
            self, artefact=training.artefact("meicoder", about, learn_decoder, code=[__name__, POSING], uses=uses)
        )

    def trained(self, training: TrainingSet, checkpoint: Path | None = None) -> FrameDecoder:
        """Return the network trained on a training set."""
        examples = recorded(training)
        generator = torch.Generator().manual_seed(training.seed)
        both = self._start(training, examples, generator).to(training.device)
        reading = Reading(self.dropout, self.margin, self.precision, training.device)

        def loss(model: Any, draws: torch.Generator) -> Tensor:
            pair = chunk(examples, draws, batch=self.batch, frames=self.frames)
            return self._loss(model, *reading(model.decoder, pair, draws))

        clips = validation_pairs(training)
        learn(
            both,
            loss,
            self.learning,
            generator=generator,
            validate=(lambda model: decoding_score(model.get_submodule("decoder"), clips)) if clips else None,
            checkpoint=checkpoint,
            title="train meicoder" if training.progress else "",
        )
        return both.decoder

    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the decoded movie once."""
        if state:
            return
        learnt = load_artefact(self.artefact, method="meicoder")
        neurons, size = learnt.pop("neurons").bool(), learnt["mean"].shape
        decoder = fresh(lambda: FrameDecoder(int(neurons.sum()), (size[0], size[1]), self.architecture))
        decoder.load_state_dict(learnt)
        decoder.read_in.kept_share = 1 - self.dropout
        movie = decoded(decoder.eval().requires_grad_(False).to(problem.device), responses_of(problem, neurons))
        yield only_iterate(problem, movie)

    def _start(
        self, training: TrainingSet, examples: list[TrainingClip], generator: torch.Generator
    ) -> Rivals[FrameDecoder]:
        neurons, size = int(training.neurons.sum()), training.recording.frame_size
        both = rivals(neurons, size, self.architecture, generator)
        decoder = both.decoder
        decoder.read_in.kept_share = 1 - self.dropout
        decoder.read_in.initialise(torch.cat([clip.responses for clip in examples], 1), generator)
        decoder.read_in.painter.pictures.copy_(pictures(training, decoder.grid, generator))
        decoder.mean.copy_(mean_frame(examples))
        return both

    def _loss(self, model: Rivals[FrameDecoder], read: Tensor, shown: Tensor) -> Tensor:
        movie, truth = read[:, :, ::2], shown[:, :, ::2]
        if min(truth.shape[-2:]) > 2 * SSIM_RADIUS:
            dissimilarity = -ssim(movie, truth).mean().clamp_min(FLOOR).log()
        else:
            dissimilarity = (movie - truth).square().mean() / truth.var().clamp_min(FLOOR)
        if not self.adversarial:
            return dissimilarity
        decoder_loss, critic_loss = rivalry(model.critic, movie, truth)
        return (1 - self.adversarial) * dissimilarity + self.adversarial * decoder_loss + critic_loss
