"""Identification of movie segments from responses, and of responses from movie segments.

Three approaches on the same segments of held-out clips: direct decoding compares reconstructions with movies, direct
encoding compares predicted with recorded responses, and alignment compares embeddings in a common space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from einops import rearrange
from torch import Tensor

from recon import config
from recon.analysis.identification.scores import SCORED, TASKS, scores
from recon.correlation import pearson
from recon.data.hdf5 import open_hdf5
from recon.encoders.base import Encoder
from recon.encoders.behavior import known_mean
from recon.encoders.runtime.precision import products
from recon.errors import InputError
from recon.errors.ranges import Positive, Some, Whole
from recon.files import write_table
from recon.files.code_version import parts_of
from recon.methods.neural.alignment import Alignment
from recon.metrics.identification import cosine_similarity, segments
from recon.problem.clips import Batch
from recon.problem.conditions import clip_rates, response_scale
from recon.study.benchmark import Say, benchmark
from recon.study.settings import Settings
from recon.study.shared import Bench, plan
from recon.study.store import Store
from recon.study.task import Task

COLUMNS = ("recording", "tier", "approach", "task", "seconds", "frames", "segments", "clips", *SCORED)


@dataclass(frozen=True)
class Identify:
    """Settings: segments of `lengths` seconds, identified among sets of `sizes` candidates (0: all).

    Segments tile the scored frames of every clip. All segments are candidates, those of the same clip included. Lengths
    longer than a clip and sizes above the number of segments are skipped.
    """

    lengths: Annotated[tuple[Positive, ...], Some] = (0.25, 0.5, 1.0, 2.0, 4.0, 10.0)
    sizes: Annotated[tuple[Whole, ...], Some] = (2, 10, 50, 100, 0)

    def __post_init__(self) -> None:
        if not self.lengths or min(self.lengths) <= 0:
            raise InputError(f"identify: expected lengths above 0 seconds, got {self.lengths}; correct them")
        if not self.sizes or any(size < 0 or size == 1 for size in self.sizes):
            raise InputError(f"identify: expected sizes of 0 (all) or at least 2, got {self.sizes}; correct them")


@dataclass(frozen=True)
class Views:
    """Representations of movies and responses of clips, both `[B,T',D]`, one entry per `step` frames.

    The similarity of two segments is the cosine of their flattened entries; `centred` subtracts the mean of each, which
    makes it a correlation. Representations are computed from whole clips and then cut, so that all approaches see the
    same temporal context.
    """

    stimuli: Tensor
    responses: Tensor
    step: int = 1
    centred: bool = False

    def similarity(self, pieces: Sequence[tuple[int, int]]) -> Tensor:
        """Return similarities `[S,S]` of the stimulus and the responses of all segments, ordered by clip."""
        return cosine_similarity(self._cut(self.stimuli, pieces), self._cut(self.responses, pieces))

    def _cut(self, values: Tensor, pieces: Sequence[tuple[int, int]]) -> Tensor:
        length = max((pieces[0][1] - pieces[0][0]) // self.step, 1)
        starts = (first // self.step for first, _ in pieces)
        cut = torch.stack([values[:, start : start + length] for start in starts], 1).flatten(0, 1).flatten(1)
        return cut - cut.mean(1, keepdim=True) if self.centred else cut


def identify(tree: Mapping[str, Any], *, say: Say = lambda line: None, progress: bool = False) -> Path:
    """Run the benchmark of a configuration, then identify segments with all its methods; return identification.csv.

    Every row yields direct decoding by its reconstruction. A row of the method `alignment` also yields alignment, and
    every encoder of the configuration yields direct encoding. Rows of other conditions than "recorded" serve as
    controls: the responses to another clip identify nothing.
    """
    tree = dict(config.expand(tree))
    asked = config.record(Identify, tree.pop("identify", {}), where="identify")
    settings = config.record(Settings, tree, where="identify")
    run = benchmark(tree, say=say, progress=progress, checks=[partial(lacks, asked)])
    bench = Bench(settings, plan(settings), progress)
    rows: list[dict[str, Any]] = []
    with products(settings.precision):
        for approach, views, batch in approaches(bench):
            rows += list(_scores(approach, views, batch, bench, asked))
            write_table(run / "identification.csv", rows, COLUMNS)
    return run / "identification.csv"


def lacks(asked: Identify, bench: Bench) -> Iterator[str]:
    """Yield what identification lacks: validation clips for the weights of neurons, clips of some asked length."""
    if not bench.facts.validation:
        yield (
            f"encoding: expected validation clips (tier oracle) in {bench.recording.path} for the weights of neurons, "
            "got none; import some"
        )
    frames, rate = bench.settings.frames, bench.recording.frame_rate
    scored = max(batch.frames for batch in bench.batches) - frames.warmup - frames.tail
    if round(min(asked.lengths) * rate) > scored:
        yield (
            f"identify.lengths: expected segments of at most {scored / rate:.2f} s, the scored part of the clips, got "
            f"{min(asked.lengths):g} s and longer; lower them"
        )


def approaches(bench: Bench) -> Iterator[tuple[str, Views, Batch]]:
    """Yield name, views and clips of every approach, in batches of clips of one length."""
    store = Store(bench.settings.run)
    for batch in bench.batches:
        for entry in bench.plans:
            task = Task(bench, entry, batch)
            if not store.complete(task.key):
                raise InputError(
                    f"{task.label}: expected a finished reconstruction, got none; see results.csv in {store.root} for "
                    "the reason"
                )
            yield f"decoding: {task.label}", decoding_views(store.directory(task.key), batch), batch
            aligned = [part for part in parts_of(task.method()) if isinstance(part, Alignment)]
            if len(aligned) == 1 and entry.row.condition == "recorded":  # what is around it leaves the embedding alone
                yield f"alignment: {task.label}", alignment_views(aligned[0], bench, batch), batch
        for name, encoder in bench.encoders.items():
            yield f"encoding: {name}", encoding_views(encoder, bench, batch), batch


def decoding_views(folder: Path, batch: Batch) -> Views:
    """Return movies and reconstructions, compared by video correlation."""
    with open_hdf5(folder / "movie.h5") as file:
        shown = [torch.from_numpy(file.values(f"{trial.index}/reconstruction", axes=3)[:]) for trial in batch.trials]
    return Views(batch.movie.mean(1).flatten(2), torch.stack(shown).float().flatten(2), centred=True)


@torch.no_grad()
def alignment_views(method: Alignment, bench: Bench, batch: Batch) -> Views:
    """Return embeddings of movies and responses in the common space."""
    towers, kept = method.load()
    scale = response_scale(batch.recording, next(iter(bench.encoders.values())))
    responses = (batch.recorded[0] / scale)[:, kept["neurons"].bool()]
    return Views(towers.visual(batch.movie), towers.neural(responses), step=method.towers.stride)


def encoding_views(encoder: Encoder, bench: Bench, batch: Batch) -> Views:
    """Return standardised predicted and recorded responses, weighted by reliability.

    Rates are predicted at the mean behavior, so that the behavior of a trial cannot reveal its responses. A neuron's
    weight is √(r²/(1 − r²)), with r its correlation on validation clips. Both sides are standardised on the same clips.
    """
    fit, scale = bench.sets["fit"], response_scale(batch.recording, encoder)
    seen = [(_rates_at_mean_behavior(encoder, other), other.recorded[0] / scale) for other in bench.validation]
    if not seen:
        raise InputError("encoding: expected validation clips (tier oracle) for the neurons' weights, got none")
    rates, responses = (torch.cat([rearrange(pair[i], "b n t -> n (b t)") for pair in seen], 1)[fit] for i in (0, 1))
    explained = pearson(rates, responses).nan_to_num().clamp(0, 0.99).square().float()
    weights = (explained / (1 - explained)).sqrt()[:, None]
    predicted = _standardised(_rates_at_mean_behavior(encoder, batch)[:, fit], rates) * weights
    recorded = _standardised((batch.recorded[0] / scale)[:, fit], responses) * weights
    return Views(rearrange(predicted, "b n t -> b t n"), rearrange(recorded, "b n t -> b t n"))


def _rates_at_mean_behavior(encoder: Encoder, batch: Batch) -> Tensor:
    behavior = batch.recorded[1]
    if behavior is not None:
        behavior = known_mean(behavior, 0, 2, keepdim=True).expand_as(behavior)
    return clip_rates(encoder, batch.movie, behavior)


def _standardised(values: Tensor, reference: Tensor) -> Tensor:
    """Return values `[B,n,T]` standardised by the mean and deviation of reference values `[n,T']`."""
    deviation = reference.std(1)[:, None]
    return (values - reference.mean(1)[:, None]) / deviation.clamp_min(1e-3 * float(deviation.mean()))


def _scores(approach: str, views: Views, batch: Batch, bench: Bench, asked: Identify) -> Iterator[dict[str, Any]]:
    warmup, tail = bench.settings.frames.warmup, bench.settings.frames.tail
    for seconds in asked.lengths:
        length = max(round(seconds * bench.recording.frame_rate), 1)
        pieces = [(warmup + first, warmup + end) for first, end in segments(batch.frames - warmup - tail, length)]
        if not pieces:
            continue
        table = views.similarity(pieces)
        about = {
            "recording": bench.recording.name,
            "tier": bench.settings.clips.tier,
            "approach": approach,
            "seconds": seconds,
            "frames": length,
            "segments": len(table),
            "clips": len(batch.trials),
        }
        for name, similarity in zip(TASKS, (table.T, table), strict=True):
            yield from (about | {"task": name} | row for row in _sizes(similarity, len(pieces), asked.sizes))


def _sizes(table: Tensor, per_clip: int, sizes: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    total = len(table)
    for size in dict.fromkeys(size or total for size in sizes):
        if not 2 <= size <= total:
            continue
        yield scores([table], size, together=per_clip)
