"""Identification of static images: alignment, direct encoding and direct decoding of single responses (T = 1).

An image is held out with all its responses. The training images are identified too: the gap between both accuracies, as
a function of the number of training images, measures overfitting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from recon import config
from recon.analysis.identification.scores import IDENTIFICATION, SCORED, TASKS, scores
from recon.correlation import pearson
from recon.data.arrays import read_array
from recon.data.complete_repeats import FEWEST, named
from recon.data.open import open_recording
from recon.encoders.training.loop import Learning, draw_weights, fresh, learn
from recon.errors import InputError
from recon.errors.ranges import Count, Decay, Part, Seed, Some, Whole
from recon.files import check_ours, claim, write_table
from recon.methods.linear.lags import Lags
from recon.methods.linear.regression import regressed
from recon.methods.neural.towers import Towers, TowerSettings
from recon.metrics.identification import cosine_similarity
from recon.study.benchmark import Say
from recon.study.shared import make_recording

COLUMNS = ("approach", "task", "images", "trained_on", "neurons", "segments", *SCORED, "note")
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0)
FOLDS = 3
COARSE = 400
"""Maximum number of pixels for linear encoding and decoding; larger images are downsampled by area averaging."""


@dataclass(frozen=True)
class StaticIdentification:
    """Configuration: a `recording` of static frames, or arrays `images` (S,H,W) and `responses` (N,S).

    Arrays are FILE or FILE:NAME; NaN marks images not shown to a neuron. A recording is split by tier: "train" trains,
    `tier` is held out. Of arrays a random fraction `held_out` is held out. `shares`: fractions of the training images,
    one fit each. `sizes`: candidates per set (0: all); sizes above the number of images are skipped.
    """

    run: Path
    recording: Path | None = None
    simulate: Mapping[str, Any] | None = None
    tier: str = "live_test_main"
    images: str = ""
    responses: str = ""
    held_out: Part = 0.2
    shares: Annotated[tuple[Part, ...], Some] = (1.0,)
    sizes: Annotated[tuple[Whole, ...], Some] = (2, 10, 50, 100, 0)
    towers: TowerSettings = field(default_factory=lambda: TowerSettings(stride=1, lags=Lags(0, 0, 1)))
    learning: Learning = field(
        default_factory=lambda: Learning(steps=600, learning_rate=1e-3, weight_decay=0.05, validate_every=50)
    )
    batch: Count = 128
    dropout: Decay = 0.3
    note: str = ""
    seed: Seed = 0

    def __post_init__(self) -> None:
        if (self.recording is None) == (not (self.images and self.responses)):
            raise InputError("static: expected a recording, or images and responses, got both or neither; name one")
        if not self.shares or not all(0 < share <= 1 for share in (*self.shares, self.held_out)):
            raise InputError(f"static: expected shares in 0–1, got {self.shares} and {self.held_out}; correct them")


@dataclass(frozen=True)
class StaticResponses:
    """Images `[S,H,W]` in [0,1] and responses `[n,S]`; NaN marks images not shown to a neuron."""

    images: Tensor
    responses: Tensor

    def part(self, chosen: Tensor) -> StaticResponses:
        """Return a subset of the images, by index or mask."""
        return StaticResponses(self.images[chosen], self.responses[:, chosen])


def identify_static(tree: Mapping[str, Any], *, say: Say = lambda line: None) -> Path:
    """Identify the held-out images and as many training images of a configuration; return the path of the table."""
    chosen = config.record(StaticIdentification, tree, where="identify")
    check_ours(chosen.run, IDENTIFICATION)
    known, held_out = read_shown(chosen, say=say)
    rows: list[dict[str, Any]] = []
    path = chosen.run / "identification.csv"
    claim(chosen.run, IDENTIFICATION)
    for share in chosen.shares:
        training = known.part(torch.arange(max(round(share * len(known.images)), FOLDS)))
        every = torch.linspace(0, len(training.images) - 1, min(len(held_out.images), len(training.images))).long()
        asked = {"held out": held_out, "learnt from": training.part(every)}
        for name, views in approaches(training, asked, chosen):
            rows += list(_rows(views, chosen, name, len(training.images), len(known.responses)))
            write_table(path, rows, COLUMNS)
        say(f"{len(training.images)} training images: done")
    return path


def read_shown(
    chosen: StaticIdentification, *, say: Say = lambda line: None
) -> tuple[StaticResponses, StaticResponses]:
    """Return the training and the held-out images with their responses.

    Neurons with fewer than two responses are left out and named, as are images that no other neuron responded to.
    """
    if chosen.recording is not None:
        if chosen.simulate is not None:
            make_recording(chosen.recording, chosen.simulate, progress=False)
        return _of_recording(chosen.recording, "train"), _of_recording(chosen.recording, chosen.tier)
    images, responses = (
        torch.from_numpy(read_array(name).astype(np.float32)) for name in (chosen.images, chosen.responses)
    )
    if images.ndim != 3 or responses.ndim != 2 or len(images) != responses.shape[1] or not torch.isfinite(images).all():
        raise InputError(
            f"{chosen.images}: expected finite images (S,H,W) and responses (N,S), got {tuple(images.shape)} and "
            f"{tuple(responses.shape)}; transpose or name other arrays"
        )
    images, responses = _with_responses(chosen, images, responses, say)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(chosen.seed))
    whole, count = StaticResponses(images / 255, responses), max(round(chosen.held_out * len(images)), 2)
    return whole.part(order[count:]), whole.part(order[:count])


def _with_responses(chosen: StaticIdentification, images: Tensor, responses: Tensor, say: Say) -> tuple[Tensor, Tensor]:
    shown = torch.isfinite(responses)
    neurons = shown.sum(1) >= FEWEST
    pictures = shown[neurons].any(0)
    if not bool(neurons.any()):
        raise InputError(
            f"{chosen.responses}: expected neurons with {FEWEST} or more responses, got only NaN; name another array"
        )
    for what, kept in (("neurons with fewer than two responses", neurons), ("images without responses", pictures)):
        without = (~kept).nonzero()[:, 0].tolist()
        if without:
            say(f"{what}, left out: {len(without)} ({named(without)}; from 0)")
    return images[pictures], responses[neurons][:, pictures]


def _of_recording(path: Path, tier: str) -> StaticResponses:
    recording = open_recording(path)
    trials = [recording.trial(index) for index in recording.trials(tier)]
    if not trials:
        raise InputError(f"{path}: expected trials of tier {tier!r}, got none; take another tier")
    return StaticResponses(
        torch.cat([trial.movie[0] for trial in trials]), torch.cat([trial.responses for trial in trials], 1)
    )


Pair = tuple[Tensor, Tensor]
"""Representations `[S,D]` of images and of the responses to them."""


def approaches(
    training: StaticResponses, asked: Mapping[str, StaticResponses], chosen: StaticIdentification
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield each approach with its similarities `[S,S]` of images and responses, per set of images."""
    towers = aligned(training, chosen)
    yield "alignment", {name: alignment_similarity(towers, shown) for name, shown in asked.items()}
    encoding = linear_encoding(training)
    yield "direct encoding, linear", {name: encoding_similarity(encoding, shown) for name, shown in asked.items()}
    decoding = linear_decoding(training)
    yield "direct decoding, linear", {name: decoding_similarity(decoding, shown) for name, shown in asked.items()}


def aligned(training: StaticResponses, chosen: StaticIdentification) -> Towers:
    """Return towers trained on seven of eight images; the others are validation data that select the weights."""
    generator = torch.Generator().manual_seed(chosen.seed)
    watching = torch.arange(len(training.images)) % 8 == 7
    known, watched = training.part(~watching), training.part(watching)
    height, width = training.images.shape[1:]
    towers = fresh(lambda: Towers(len(training.responses), (height, width), chosen.towers))
    draw_weights(towers, generator)
    towers.neural.transform.measure(_filled(known.responses))
    towers.visual.mean.copy_(known.images.mean(0))

    def loss(model: Any, draws: torch.Generator) -> Tensor:
        batch = known.part(torch.randperm(len(known.images), generator=draws)[: chosen.batch])
        seen = torch.isfinite(batch.responses) & (torch.rand(batch.responses.shape, generator=draws) >= chosen.dropout)
        value: Tensor = model.loss(_as_movies(batch), _as_series(batch), seen.T)
        return value

    def score(model: Any) -> float:
        return -float(model.loss(_as_movies(watched), _as_series(watched), torch.isfinite(watched.responses).T))

    learn(towers, loss, chosen.learning, generator=generator, validate=score, title="align images")
    return towers.requires_grad_(False)


@torch.no_grad()
def alignment_similarity(towers: Any, shown: StaticResponses) -> Tensor:
    """Return cosine similarities of image and response embeddings."""
    embedded = towers.neural(_as_series(shown), torch.isfinite(shown.responses).T)
    return cosine_similarity(towers.visual(_as_movies(shown)), embedded)


def linear_encoding(training: StaticResponses) -> dict[str, Tensor]:
    """Return ridge regression from pixels to square roots of responses, with √(r²/(1 − r²)) per neuron as reliability.

    r is the cross-validated correlation of predicted and recorded responses.
    """
    pixels, responses = _coarse(training.images), _filled(training.responses).clamp_min(0).sqrt()
    mean, std = responses.mean(1), responses.std(1).clamp_min(1e-6)
    targets = ((responses - mean[:, None]) / std[:, None]).T
    centre, deviation = pixels.mean(0), pixels.std(0).clamp_min(1e-6)
    features, fold = (pixels - centre) / deviation, torch.arange(len(pixels)) % FOLDS
    predicted = torch.zeros_like(targets)
    for out in range(FOLDS):
        part = _regressed(features[fold != out], targets[fold != out])
        predicted[fold == out] = features[fold == out] @ part["weights"] + part["mean"]
    explained = pearson(predicted.T, targets.T).nan_to_num().clamp(0, 0.99).square().float()
    whole = _regressed(features, targets)
    known = {"centre": centre, "deviation": deviation, "mean": mean, "std": std, "offset": whole["mean"]}
    return known | {"weights": whole["weights"], "reliability": (explained / (1 - explained)).sqrt()}


def encoding_similarity(encoding: Mapping[str, Tensor], shown: StaticResponses) -> Tensor:
    """Return cosine similarities of predicted and recorded responses, weighted by the neurons' reliability.

    Each image is compared over the neurons it was shown to.
    """
    pixels = (_coarse(shown.images) - encoding["centre"]) / encoding["deviation"]
    predicted = (pixels @ encoding["weights"] + encoding["offset"]) * encoding["reliability"]
    given = (shown.responses.clamp_min(0).sqrt().T - encoding["mean"]) / encoding["std"] * encoding["reliability"]
    seen, given = torch.isfinite(given).float(), given.nan_to_num(0.0)
    lengths = (predicted.square() @ seen.T).sqrt() * given.norm(dim=1)
    cosines: Tensor = predicted @ given.T / lengths.clamp_min(1e-12)
    return cosines


def linear_decoding(training: StaticResponses) -> dict[str, Tensor]:
    """Return ridge regression from standardised square roots of responses to pixels."""
    responses = _filled(training.responses).clamp_min(0).sqrt()
    mean, std = responses.mean(1), responses.std(1).clamp_min(1e-6)
    found = _regressed(((responses - mean[:, None]) / std[:, None]).T, _coarse(training.images))
    return {"mean": mean, "std": std, "weights": found["weights"], "offset": found["mean"]}


def decoding_similarity(decoding: Mapping[str, Tensor], shown: StaticResponses) -> Tensor:
    """Return correlations of images and decoded images."""
    given = ((shown.responses.clamp_min(0).sqrt().T - decoding["mean"]) / decoding["std"]).nan_to_num(0.0)
    decoded, pixels = given @ decoding["weights"] + decoding["offset"], _coarse(shown.images)
    centred = [values - values.mean(1, keepdim=True) for values in (pixels, decoded)]
    return cosine_similarity(*centred)


def _regressed(features: Tensor, targets: Tensor) -> dict[str, Tensor]:
    parts = [(features[fold::FOLDS], targets[fold::FOLDS]) for fold in range(FOLDS)]
    return regressed(parts, PENALTIES, folds=FOLDS)


def _filled(responses: Tensor) -> Tensor:
    """Return responses with missing values replaced by the neuron's mean."""
    mean = responses.nanmean(1, keepdim=True).nan_to_num(0.0)
    return torch.where(torch.isfinite(responses), responses, mean)


def _coarse(images: Tensor) -> Tensor:
    share = min(1.0, (COARSE / (images.shape[1] * images.shape[2])) ** 0.5)
    size = (max(1, round(images.shape[1] * share)), max(1, round(images.shape[2] * share)))
    return functional.adaptive_avg_pool2d(images[:, None], size).flatten(1)


def _as_movies(shown: StaticResponses) -> Tensor:
    return shown.images[:, None, None]


def _as_series(shown: StaticResponses) -> Tensor:
    return shown.responses.nan_to_num(0.0).T[..., None]


def _rows(
    views: Mapping[str, Tensor], chosen: StaticIdentification, approach: str, trained: int, neurons: int
) -> Iterator[dict[str, Any]]:
    for images, similarity in views.items():
        about = {"approach": approach, "images": images, "trained_on": trained, "neurons": neurons}
        about |= {"segments": len(similarity), "note": chosen.note}
        for task, table in zip(TASKS, (similarity.T, similarity), strict=True):
            sizes = dict.fromkeys(size or len(table) for size in chosen.sizes if size <= len(table))
            yield from (about | {"task": task} | scores([table], size, together=1) for size in sizes)
