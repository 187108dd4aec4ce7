"""Identification of segments of a repeated movie from other repeats of it (templates).

Training and test repeats are disjoint, but the segments themselves were *seen in training*: the accuracy measures how
well activity discriminates known segments, not whether an unknown segment could be reconstructed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recon import config
from recon.analysis.identification.circular_shift_null import against_chance, turned_worlds
from recon.analysis.identification.scores import IDENTIFICATION, SCORED, scores
from recon.data.ceilings import read_areas, read_responses
from recon.data.complete_repeats import FEWEST, complete_repeats, named, sharing, span_of
from recon.data.layout import Array
from recon.encoders.training.loop import Learning, draw_weights, fresh, learn
from recon.errors import InputError
from recon.errors.ranges import Count, Folds, Seed, Some, Whole
from recon.files import check_ours, claim, digest, write_table
from recon.files.code_version import code_version
from recon.methods.neural.towers import info_nce
from recon.metrics.identification import cosine_similarity
from recon.study.benchmark import Say

COUNTED = ("top1", "near")
"""Accuracies: the correct segment (top1), and the correct segment or a temporal neighbour of it (near)."""
CHANCE = tuple(f"{name}_by_chance_{end}" for name in COUNTED for end in ("low", "high", "p"))
COLUMNS = ("group", "approach", "units", "segments", "repeats", *SCORED, "near", *CHANCE, "note")
LOG_SCALE = torch.tensor(10.0).log()
"""Log inverse temperature of the contrastive loss."""
NOTE = "segments seen in training"


@dataclass(frozen=True)
class NeuralIdentification:
    """Configuration: arrays `responses` (units, repeats, segments) and `areas` (units), each FILE or FILE:NAME.

    `groups`: areas whose units are pooled. Repeats are split into `folds`. Segments of the test fold are identified by
    templates (means over the training repeats) and by a linear map to `space` dimensions, trained contrastively on
    pairs of training repeats once per seed; accuracies are averaged over `seeds`. `sizes`: candidates per set (0: all);
    sizes above the number of segments are skipped. `turned`: draws of the circular-shift null distribution per group;
    its 95 % interval and p value are columns of the table.

    NaN marks what was not shown. A unit counts with its complete repeats: in a test repeat that it lacks it is left out
    of templates and takes its mean in the map. Units that some fold leaves fewer than two repeats are left out.
    """

    run: Path
    responses: str
    areas: str
    groups: Mapping[str, list[str]]
    folds: Folds = 5
    sizes: Annotated[tuple[Whole, ...], Some] = (2, 10, 0)
    space: Count = 24
    learning: Learning = field(
        default_factory=lambda: Learning(steps=200, learning_rate=3e-3, weight_decay=1.0, warmup=20)
    )
    seeds: Annotated[tuple[Seed, ...], Some] = (0, 1, 2)
    turned: Mapping[str, Whole] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.turned) - set(self.groups))
        if unknown:
            raise InputError(f"turned: expected groups out of {list(self.groups)}, got {unknown}; correct them")
        if not self.seeds:
            raise InputError("seeds: expected at least one, got none; write for example [0]")


def identify_segments(tree: Mapping[str, Any], *, say: Say = lambda line: None, progress: bool = False) -> Path:
    """Identify the segments of a configuration with every group of units; return identification.csv.

    Draws of the null distribution are cached, so that an interrupted run resumes.
    """
    chosen = config.record(NeuralIdentification, tree, where="identify")
    check_ours(chosen.run, IDENTIFICATION)
    responses, areas = read_units(chosen)
    claim(chosen.run, IDENTIFICATION)
    rows: list[dict[str, Any]] = []
    path = chosen.run / "identification.csv"
    for group, names in chosen.groups.items():
        units = np.isin(areas, names)
        if not units.any():
            raise InputError(f"groups.{group}: expected areas out of {sorted(set(areas))}, got {names}; correct them")
        found, told = with_repeats(responses, np.flatnonzero(units), chosen.folds, where=f"groups.{group}")
        about = {"group": group, "units": len(found)}
        own = [about | row | {"note": row["note"] + told} for row in _rows(found, chosen)]
        write_table(path, [*rows, *own], COLUMNS)
        say(f"{group}: {len(found)} units{told}")
        if chosen.turned.get(group):
            own = _with_null(own, found, chosen, progress)
            write_table(path, [*rows, *own], COLUMNS)
        rows += own
    return path


def _with_null(
    rows: list[dict[str, Any]], responses: Tensor, chosen: NeuralIdentification, progress: bool
) -> list[dict[str, Any]]:
    """Return a group's rows with interval and p value of the circular-shift null distribution."""
    worlds, settings = chosen.turned[rows[0]["group"]], {**asdict(chosen), "turned": {}, "groups": {}, "run": ""}
    content = hashlib.sha256(responses.numpy().tobytes()).hexdigest()
    key = digest([settings, content, list(responses.shape), code_version(__name__)])

    def measure(shown: Tensor) -> dict[str, float]:
        return {_name(row, of): row[of] for row in _rows(shown, chosen) for of in COUNTED if of in row}

    found = turned_worlds(responses, worlds, measure, keep=chosen.run / f"turned-{key}.json", progress=progress)
    return [
        row
        | {
            f"{of}_by_chance_{name}": value
            for of in COUNTED
            if of in row
            for name, value in against_chance(row[of], [world[_name(row, of)] for world in found]).items()
        }
        for row in rows
    ]


def _name(row: Mapping[str, Any], share: str) -> str:
    return f"{row['approach']} of {row['candidates']}: {share}"


def read_units(chosen: NeuralIdentification) -> tuple[Array, Array]:
    """Return responses (units, repeats, segments) and the area of each unit."""
    responses, areas = read_responses(chosen.responses), np.array(read_areas(chosen.areas))
    if len(areas) != len(responses):
        raise InputError(
            f"{chosen.areas}: expected the areas of {len(responses)} units, got {len(areas)}; name another array"
        )
    if responses.shape[1] < chosen.folds or chosen.folds < 2:
        raise InputError(
            f"folds: expected 2 to {responses.shape[1]} (one repeat or more each), got {chosen.folds}; correct it"
        )
    return responses, areas


def with_repeats(responses: Array, units: Array, folds: int, *, where: str) -> tuple[Tensor, str]:
    """Return the responses `[n,repeats,segments]` of those units that have enough complete repeats, and what is told.

    Each fold leaves a unit at least two complete repeats for its template. Repeats that no unit has are left out.
    """
    found, left = torch.from_numpy(responses[units].astype(np.float32)), torch.from_numpy(units)
    while True:
        complete, fold = complete_repeats(found), torch.arange(found.shape[1]) % folds
        enough = torch.stack([complete[:, fold != one].sum(1) for one in range(folds)]).amin(0) >= FEWEST
        there = complete[enough].any(0)
        if bool(enough.all()) and bool(there.all()):
            break
        found, left = found[enough][:, there], left[enough]
    if not len(found) or found.shape[1] < folds:
        raise InputError(
            f"{where}: expected units with {FEWEST} or more complete repeats (without NaN) beside every test fold, got "
            f"none of {len(units)}; lower folds, fill the gaps, or cut what was not shown"
        )
    if found.shape[:2] == (len(units), responses.shape[1]) and bool(complete.all()):
        return found, ""
    told = f"; {span_of(complete.sum(1))} complete repeats of {responses.shape[1]} per unit"
    without = sorted(set(units.tolist()) - set(left.tolist()))
    if without:
        told += f"; left out, for fewer than {FEWEST} in training: {len(without)} units ({named(without)}; from 0)"
    return found, told


@dataclass(frozen=True)
class Fold:
    """Standardised training and test repeats `[n,repeats,segments]`, 0 where a unit's repeat is not complete.

    `weights` `[n,1]` are the units' reliability, `templates` `[n,segments]` the means of their training repeats, and
    `seen` `[n,repeats]` marks the complete test repeats.
    """

    known: Tensor
    tested: Tensor
    weights: Tensor
    templates: Tensor
    seen: Tensor


def fold_of(responses: Tensor, held_out: Tensor) -> Fold:
    """Return a fold of responses `[n,repeats,segments]`, where `held_out` `[repeats]` is tested.

    Units that share complete repeats are standardised together, each by these alone.
    """
    complete = complete_repeats(responses)
    known, tested = (torch.zeros_like(responses[:, chosen]) for chosen in (~held_out, held_out))
    weights, templates = torch.zeros(len(responses)), torch.zeros_like(responses[:, 0])
    for units, there in sharing(complete):
        own = responses[units]
        first, second = standardised(own[:, there & ~held_out], own[:, there & held_out])
        known[units[:, None], there[~held_out].nonzero()[:, 0]] = first
        tested[units[:, None], there[held_out].nonzero()[:, 0]] = second
        weights[units], templates[units] = reliability(first), first.mean(1)
    return Fold(known, tested, weights[:, None], templates, complete[:, held_out])


def similarities(responses: Tensor, chosen: NeuralIdentification) -> dict[str, Tensor]:
    """Return similarities `[seeds,repeats,segments,segments]` of test repeats and training segments, by approach."""
    _, repeats, segments = responses.shape
    draws = {"templates": 1, "contrastive": len(chosen.seeds)}
    tables = {name: torch.zeros(count, repeats, segments, segments) for name, count in draws.items()}
    for number in range(chosen.folds):
        held_out = torch.arange(repeats) % chosen.folds == number
        fold = fold_of(responses, held_out)
        pairs = zip(fold.tested.unbind(1), (fold.weights * fold.seen).unbind(1), strict=True)
        weighted = [cosine_similarity((trial.T * own), (fold.templates.T * own)) for trial, own in pairs]
        tables["templates"][0, held_out] = torch.stack(weighted)
        for place, seed in enumerate(chosen.seeds):
            project = contrastive_map(fold.known, chosen, seed=seed)
            ours = functional.normalize(project(fold.known.permute(1, 2, 0)), dim=-1).mean(0)
            found = [cosine_similarity(project(trial.T), ours) for trial in fold.tested.unbind(1)]
            tables["contrastive"][place, held_out] = torch.stack(found)
    return tables


def standardised(known: Tensor, tested: Tensor) -> tuple[Tensor, Tensor]:
    """Return square roots of both `[n,repeats,segments]`, z-scored per unit with mean and deviation of `known`."""
    roots = [part.clamp_min(0).sqrt() for part in (known, tested)]
    mean, std = roots[0].mean((1, 2), keepdim=True), roots[0].std((1, 2), keepdim=True)
    first, second = ((part - mean) / std.clamp_min(1e-6) for part in roots)
    return first, second


def reliability(known: Tensor) -> Tensor:
    """Return √(signal variance / noise variance) `[n]` of responses `[n,repeats,segments]`; 0 without signal.

    Signal variance: variance of the mean over repeats minus its residual noise variance (Sahani & Linden 2003).
    """
    noise = known.var(1).mean(1).clamp_min(1e-6)
    signal = known.mean(1).var(1) - noise / known.shape[1]
    return (signal.clamp_min(0) / noise).sqrt()


def contrastive_map(known: Tensor, chosen: NeuralIdentification, *, seed: int) -> nn.Linear:
    """Return a linear map of units trained to match repeats of a segment against other segments (InfoNCE)."""
    units, repeats, _ = known.shape
    project = fresh(lambda: nn.Linear(units, chosen.space, bias=False))
    generator = torch.Generator().manual_seed(seed)
    draw_weights(project, generator, gain=1.0)
    trials = known.permute(1, 2, 0)

    def loss(model: Any, draws: torch.Generator) -> Tensor:
        first, second = torch.randperm(repeats, generator=draws)[:2].tolist()
        kept = torch.rand(units, generator=draws) >= 0.2
        return info_nce(model(trials[first] * kept), model(trials[second] * kept), LOG_SCALE)

    learn(project, loss, chosen.learning, generator=generator)
    return project.requires_grad_(False)


def _rows(responses: Tensor, chosen: NeuralIdentification) -> Iterator[dict[str, Any]]:
    _, repeats, segments = responses.shape
    for approach, similarity in similarities(responses, chosen).items():
        seeds, tables = len(similarity), list(similarity.flatten(0, 1))
        note = NOTE if seeds == 1 else f"{NOTE}; mean of {seeds} seeds"
        about = {"approach": approach, "segments": segments, "repeats": repeats, "note": note}
        for size in dict.fromkeys(size or segments for size in chosen.sizes if size <= segments):
            found = scores(tables, size, together=segments, seeds=seeds)
            yield about | found | ({"near": near(similarity)} if size == segments else {})


def near(similarity: Tensor) -> float:
    """Return the fraction of answers `[…,segments,segments]` within one segment of the correct one.

    >>> near(torch.eye(4).roll(1, 1)), near(torch.eye(4).roll(2, 1))
    (0.75, 0.0)
    """
    away = (similarity.argmax(-1) - torch.arange(similarity.shape[-1])).abs()
    return float((away <= 1).double().mean())
