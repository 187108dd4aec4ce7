"""Contrastive training of caption decoders: networks, and InfoNCE over scenes (van den Oord et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recon.encoders.training.loop import Learning, draw_weights, fresh, learn
from recon.methods.neural.towers import info_nce
from recon.methods.text.examples import Examples
from recon.methods.training_set import TrainingSet

BATCH = 128
"""Scenes per batch."""
KEPT_BACK = 10
"""Every tenth trial is validation data; with fewer than ten trials, none."""


class Layers(nn.Module):
    """Features `[K,F]` → embeddings `[K,D]`: two linear layers, with `dropout` of features in training."""

    def __init__(self, features: int, hidden: int, space: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, hidden), nn.SiLU(), nn.Linear(hidden, space))

    def forward(self, features: Tensor, dropout: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return the embeddings."""
        read: Tensor = self.layers(features if dropout is None else dropout(features))
        return read


class _Learner(nn.Module):
    """A network, and the log inverse temperature of its loss."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.log_scale = nn.Parameter(torch.tensor(2.5))


def tell_apart(
    make: Callable[[], nn.Module],
    examples: Examples,
    training: TrainingSet,
    *,
    settings: Learning,
    dropout: float,
    centre: Tensor,
    checkpoint: Path,
) -> dict[str, Tensor]:
    """Return the weights of a network trained by InfoNCE between scenes and their captions, centred at `centre`.

    Every tenth trial is validation data; the averaged weights with the lowest validation loss are kept.
    """
    generator = torch.Generator().manual_seed(training.seed)
    model = fresh(lambda: _Learner(make())).to(training.device)
    draw_weights(model, generator)
    trials = torch.unique(examples.trial)
    kept_back = torch.isin(examples.trial, trials[::KEPT_BACK]) & (len(trials) >= KEPT_BACK)
    scenes = torch.unique(examples.scene[~kept_back])

    def contrastive_loss(learner: Any, chosen: Tensor, draws: torch.Generator | None) -> Tensor:
        def silence(values: Tensor) -> Tensor:
            dropped = torch.rand(values.shape, generator=draws).to(values.device) < dropout
            return values.masked_fill(dropped, 0) / (1 - dropout)

        read = learner.network(examples.features[chosen].to(training.device), silence if draws else None)
        said = (examples.embeddings[chosen] - centre).to(training.device)
        return info_nce(read[:, None], said[:, None], learner.log_scale)

    def loss(learner: nn.Module, draws: torch.Generator) -> Tensor:
        several = scenes[torch.randperm(len(scenes), generator=draws)[:BATCH]]
        return contrastive_loss(learner, one_window_each(examples.scene, several, draws), draws)

    def score(learner: nn.Module) -> float:
        draws = torch.Generator().manual_seed(0)
        several = torch.unique(examples.scene[kept_back])
        several = several[torch.randperm(len(several), generator=draws)[: 4 * BATCH]]
        return -float(contrastive_loss(learner, one_window_each(examples.scene, several, draws), None))

    learn(
        model,
        loss,
        settings,
        generator=generator,
        validate=score if bool(kept_back.any()) else None,
        checkpoint=checkpoint,
        title="train captions" if training.progress else "",
    )
    return {f"network.{name}": value for name, value in model.network.state_dict().items()}


def one_window_each(scene: Tensor, chosen: Tensor, generator: torch.Generator) -> Tensor:
    """Return the index of one random window `[S]` of each chosen scene `[S]`, given the scene of every window `[K]`."""
    order = torch.argsort(scene, stable=True)
    counts = torch.bincount(scene)
    first = counts.cumsum(0) - counts
    drawn = (torch.rand(len(chosen), generator=generator) * counts[chosen]).long()
    return order[first[chosen] + drawn]
