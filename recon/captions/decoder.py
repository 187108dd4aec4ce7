"""Responses → caption embeddings: ridge regression, and a network trained to tell the right caption from others."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.learning import Learning, draw_weights, fresh, learn
from priors.text import EMBEDDED, TextEncoder
from recon.artefacts import load_artefact
from recon.captions.examples import Examples, Windows, generated_examples, read_examples, spoken_digest
from recon.decoders.towers import info_nce
from recon.fidelities.base import Likelihood
from recon.fidelities.mixture import Mixture
from recon.learning_set import TrainingSet

PENALTIES = tuple(float(10 ** (power / 2)) for power in range(-4, 7))
"""Ridge penalties in units of the features' mean variance times the number of windows."""
FOLDS = 5
BATCH = 128
"""Scenes that are told apart in one step of learning."""


@dataclass(frozen=True)
class Decoded:
    """The text is what activity says: the caption embedding of each moment, predicted from a window of responses.

    `reader`: "ridge" (its penalty chosen by cross-validation over trials) or "contrastive" (two layers of `hidden`
    units, InfoNCE over scenes; van den Oord et al. 2018). Embeddings are those of `encoder`. With `unit` the prediction
    has length 1, as embeddings have; without, it is as long as the regression is sure. To the training trials come
    `generated` movies of 10 s that no animal saw, with their captions and responses that the row's encoders predict,
    with `noise` fitted to the training trials.
    """

    reader: Literal["ridge", "contrastive"] = "ridge"
    windows: Windows = field(default_factory=Windows)
    encoder: str = EMBEDDED
    unit: bool = False
    generated: int = 0
    noise: Likelihood = field(default_factory=Mixture)
    hidden: int = 256
    dropout: float = 0.3
    learning: Learning = field(
        default_factory=lambda: Learning(steps=600, learning_rate=1e-3, weight_decay=0.1, validate_every=50)
    )
    artefact: Path | None = None

    def fit(self, training: TrainingSet) -> Decoded:
        """Learn from the training trials of a recording with captions."""

        def learn_reader(checkpoint: Path) -> dict[str, Tensor]:
            encoder = TextEncoder(self.encoder)
            recorded, scale = read_examples(training, self.windows, encoder).standardised()
            examples = recorded
            if self.generated:
                made = generated_examples(training, self.windows, encoder, clips=self.generated, noise=self.noise)
                examples = recorded.joined(made.standardised()[0])
            chosen = ridge(examples) if self.reader == "ridge" else self._contrastive(examples, training, checkpoint)
            kept = {"average": examples.embeddings.mean(0), "neurons": training.neurons}
            return chosen | scale | kept | _bank(training, encoder)

        about = (replace(self, artefact=None, unit=False), spoken_digest(training))
        seeded = ["seed"] if self.reader == "contrastive" or self.generated else []
        uses = ("neurons", *seeded, *(["encoders"] if self.generated else []))
        return replace(self, artefact=training.artefact("captions", about, learn_reader, uses=uses))

    @property
    def neurons(self) -> Tensor:
        """Mask `[N]` of the neurons that it reads."""
        return self._learnt()["neurons"].bool()

    @torch.no_grad()
    def __call__(self, responses: Tensor) -> Tensor:
        """Return the embedding of every frame `[B,T,D]` of responses `[B,n,T]` of its neurons."""
        at = self.at_windows(responses)
        centres = self.windows.centres(responses.shape[-1]).to(at)
        place = torch.bucketize(torch.arange(responses.shape[-1]).to(at), centres).clamp(1, max(len(centres) - 1, 1))
        if len(centres) == 1:
            return at.expand(-1, responses.shape[-1], -1)
        before, after = centres[place - 1], centres[place]
        share = ((torch.arange(responses.shape[-1]).to(at) - before) / (after - before)).clamp(0, 1)[:, None]
        return torch.lerp(at[:, place - 1], at[:, place], share.expand(-1, at.shape[-1]))

    def at_windows(self, responses: Tensor) -> Tensor:
        """Return the embedding of every window `[B,W,D]`."""
        learnt = {name: value.to(responses.device) for name, value in self._learnt().items()}
        features = (self.windows.features(responses) - learnt["mean"]) / learnt["std"]
        if self.reader == "ridge":
            found = features @ learnt["weights"] + learnt["offset"]
        else:
            network = _network(features.shape[-1], self.hidden, learnt["average"].numel())
            network.load_state_dict({name[8:]: value for name, value in learnt.items() if name.startswith("network.")})
            found = functional.normalize(network.to(responses.device)(features), dim=-1)
        return functional.normalize(found, dim=-1) if self.unit else found

    def nearest(self, responses: Tensor) -> list[str]:
        """Return the training trials' caption that comes nearest to what each clip `[B,n,T]` says on average."""
        learnt, average = self._learnt(), self.average()
        texts = json.loads(bytes(learnt["bank"].tolist()))
        bank = functional.normalize(learnt["bank_embeddings"] - average, dim=1)
        likeness = (self(responses).mean(1).cpu() - average) @ bank.T
        return [texts[place] for place in likeness.argmax(1).tolist()]

    def average(self) -> Tensor:
        """Return the mean embedding `[D]` of the training trials' captions: what is common to all of them."""
        return self._learnt()["average"]

    def _learnt(self) -> dict[str, Tensor]:
        return load_artefact(self.artefact, method="decoded captions")

    def _contrastive(self, examples: Examples, training: TrainingSet, checkpoint: Path) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(training.seed)
        network = fresh(lambda: _Reader(examples, self.hidden))
        draw_weights(network, generator)
        trials = torch.unique(examples.trial)
        kept_back = torch.isin(examples.trial, trials[:: 2 * FOLDS])
        if len(trials) < 2 * FOLDS:
            kept_back = torch.zeros_like(kept_back)
        scenes = torch.unique(examples.scene[~kept_back])

        def loss(model: Any, draws: torch.Generator) -> Tensor:
            several = scenes[torch.randperm(len(scenes), generator=draws)[:BATCH]]
            chosen = _one_window_each(examples.scene, several, draws)
            seen = examples.features[chosen]
            dropped = torch.rand(seen.shape, generator=draws) < self.dropout
            return _told_apart(model, seen.masked_fill(dropped, 0) / (1 - self.dropout), examples.embeddings[chosen])

        def score(model: Any) -> float:
            draws = torch.Generator().manual_seed(0)
            chosen = _one_window_each(examples.scene, torch.unique(examples.scene[kept_back]), draws)
            return -float(_told_apart(model, examples.features[chosen], examples.embeddings[chosen]))

        learn(
            network,
            loss,
            self.learning,
            generator=generator,
            validate=score if bool(kept_back.any()) else None,
            checkpoint=checkpoint,
            title="train captions" if training.progress else "",
        )
        return {f"network.{name}": value for name, value in network.layers.state_dict().items()}


def _bank(training: TrainingSet, encoder: TextEncoder) -> dict[str, Tensor]:
    """Return the captions of the training trials, as JSON in bytes, with their embeddings."""
    trials = training.recording.trials("train")
    texts = sorted({said.texts[0] for trial in trials for said in training.recording.spoken(trial)})
    written = torch.tensor(list(json.dumps(texts).encode()), dtype=torch.uint8)
    return {"bank": written, "bank_embeddings": encoder(texts)}


class _Reader(nn.Module):
    """Two layers, and the logarithm of the inverse temperature with which captions are told apart."""

    def __init__(self, examples: Examples, hidden: int) -> None:
        super().__init__()
        self.layers = _network(examples.features.shape[1], hidden, examples.embeddings.shape[1])
        self.log_scale = nn.Parameter(torch.tensor(2.5))


def _network(features: int, hidden: int, space: int) -> nn.Sequential:
    return fresh(lambda: nn.Sequential(nn.Linear(features, hidden), nn.SiLU(), nn.Linear(hidden, space)))


def _told_apart(model: Any, features: Tensor, embeddings: Tensor) -> Tensor:
    return info_nce(model.layers(features)[:, None], embeddings[:, None], model.log_scale)


def _one_window_each(scene: Tensor, chosen: Tensor, generator: torch.Generator) -> Tensor:
    """Return one window of each chosen scene."""
    order = torch.argsort(scene, stable=True)
    counts = torch.bincount(scene)
    first = counts.cumsum(0) - counts
    drawn = (torch.rand(len(chosen), generator=generator) * counts[chosen]).long()
    return order[first[chosen] + drawn]


def ridge(examples: Examples) -> dict[str, Tensor]:
    """Return `weights` `[F,D]` and `offset` `[D]`, with the penalty of least squared error over left-out trials."""
    fold = torch.unique(examples.trial, return_inverse=True)[1] % FOLDS
    errors = torch.zeros(len(PENALTIES))
    for number in fold.unique() if len(fold.unique()) > 1 else ():
        left = fold == number
        paths = solutions(examples.features[~left], examples.embeddings[~left])
        for index, (weights, offset) in enumerate(paths):
            predicted = examples.features[left] @ weights + offset
            errors[index] += float((predicted - examples.embeddings[left]).square().sum())
    weights, offset = solutions(examples.features, examples.embeddings)[int(errors.argmin())]
    return {"weights": weights.contiguous(), "offset": offset}


def solutions(features: Tensor, targets: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return the ridge regression of targets `[K,D]` on features `[K,F]` for each of `PENALTIES`."""
    mean, centre = features.mean(0), targets.mean(0)
    x, y = features - mean, targets - centre
    values, vectors = torch.linalg.eigh(x.T @ x)
    rotated, typical = vectors.T @ (x.T @ y), float(values.clamp_min(0).mean())
    found = []
    for penalty in PENALTIES:
        weights = vectors @ (rotated / (values.clamp_min(0) + penalty * typical)[:, None])
        found.append((weights, centre - mean @ weights))
    return found
