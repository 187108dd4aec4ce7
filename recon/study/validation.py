"""Validation at second 0: every row of a configuration against recording, clips, encoders, captions and weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from torch import Tensor

from recon import config
from recon.data.layout import TRAIN
from recon.data.measurement import binning
from recon.encoders.base import Encoder
from recon.encoders.behavior import lacking_channels
from recon.errors import InputError, listed
from recon.files.code_version import parts_of
from recon.methods.requirements import Supply, Weighted, unmet
from recon.methods.training_set import TrainingSet
from recon.problem.calibration_clips import SHOWN_ONCE
from recon.problem.clips import Batch
from recon.problem.conditions import Condition, common_scale, presentations, response_scale, spoken
from recon.problem.fit import lacking_in, needs_fit
from recon.problem.weak_activity import check_activity
from recon.study.population import left_out
from recon.study.settings import Row, Settings
from recon.study.shared import Bench, Plan, planned

Built = TypeVar("Built")
Check = Callable[[Bench], Iterable[str]]
"""Yields further problems of a configuration whose recording, clips and encoders are in order."""


@dataclass
class Problems:
    """Problems found so far, each in one sentence."""

    found: list[str] = field(default_factory=list)

    def tried(self, work: Callable[[], Built], *, about: str = "") -> Built | None:
        """Return what `work` returns; None, with its problems noted, where it raises InputError."""
        try:
            return work()
        except InputError as error:
            self.found += [about + problem for problem in error.problems or (str(error),)]
        return None

    def refuse(self, where: str) -> None:
        """Raise one InputError about all problems, if there are any."""
        if self.found:
            raise listed(self.found, where=where)


def validated(
    tree: Mapping[str, Any],
    *,
    where: str = "benchmark",
    places: Sequence[str] = (),
    progress: bool = False,
    settled: Callable[[Settings], None] = lambda settings: None,
    checks: Sequence[Check] = (),
) -> Bench:
    """Return what the tasks of an expanded configuration share; raises one InputError that lists all its problems.

    Nothing is computed or written before, except a recording that is to be simulated. `places`: names of the rows in
    messages, rows[0] and so on by default. `settled`: a check of the settings alone, made before a simulation.
    """
    problems = Problems()
    bench = _read(tree, problems, where=where, places=places, progress=progress)
    if bench is None:
        problems.refuse(where)
        raise InputError(f"{where}: expected a configuration, got none; write one")
    problems.tried(partial(settled, bench.settings))
    if not bench.settings.recording.exists():
        problems.refuse(where)  # before a simulation, which may take minutes
    ready = _world(bench, problems)
    if ready is not None:
        for entry in bench.plans:
            if _seen_by(bench, entry.row) <= ready:
                problems.found += [f"row {entry.row.label}: {text}" for text in row_problems(bench, entry)]
        if not problems.found:
            for check in checks:
                problems.found += check(bench)
    problems.refuse(where)
    return bench


def _read(
    tree: Mapping[str, Any], problems: Problems, *, where: str, places: Sequence[str], progress: bool
) -> Bench | None:
    """Return the bench of the rows that can be read; None where the settings cannot."""
    entries = tree.get("rows")
    entries = entries if isinstance(entries, list | tuple) else []
    names = [*places, *(f"rows[{number}]" for number in range(len(places), len(entries)))]
    read: list[tuple[str, Row]] = []
    for name, entry in zip(names, entries, strict=True):
        row = problems.tried(partial(config.convert, Row, entry, where=f"{where}.{name}"))
        read += [(name, row)] if row is not None else []
    rows = [row for _, row in read] or tree.get("rows")
    if rows is not None:
        tree = {**tree, "rows": rows}
    settings = problems.tried(partial(config.record, Settings, tree, where=where))
    if settings is None:
        return None
    plans: list[Plan] = []
    for name, row in read:
        plans += problems.tried(partial(planned, row, where=name, seed=settings.seed)) or []
    return problems.tried(lambda: Bench(settings, plans, progress))


def _world(bench: Bench, problems: Problems) -> set[tuple[str, str]] | None:
    """Note the problems of recording, clips, mask, judge, encoders and animals.

    Returns the encoders and animals that are ready, as (kind, name); None where rows cannot be checked.
    """
    if problems.tried(lambda: bench.recording) is None or problems.tried(lambda: bench.sets) is None:
        return None
    kinds: Sequence[tuple[str, Sequence[str], Callable[[str], object]]] = (
        ("encoders", bench.used_encoders, bench.encoder),
        ("animals", bench.used_animals, bench.animal),
    )
    named = [(kind, name, load) for kind, names, load in kinds for name in names]
    ready = {(kind, name) for kind, name, load in named if problems.tried(partial(load, name)) is not None}
    judge = problems.tried(lambda: bench.judge)
    problems.tried(lambda: bench.mask)
    for batch in problems.tried(lambda: bench.batches) or ():
        problems.tried(partial(bench.scorer, batch))
        if judge is not None:
            problems.tried(partial(_check_behavior, batch, "recorded", [judge]), about="judge: ")
    if problems.tried(lambda: bench.batches) is None or problems.tried(bench.facts.read) is None:
        return None
    return ready


def _seen_by(bench: Bench, row: Row) -> set[tuple[str, str]]:
    """Return the encoders and animals of a row, as (kind, name)."""
    encoders = {("encoders", name) for name in bench.settings.names(row)}
    return encoders | {("animals", name) for name in row.animals}


def row_problems(bench: Bench, entry: Plan) -> Iterator[str]:
    """Yield one sentence for each reason why a row cannot run; its encoders and animals are in order."""
    problems, row = Problems(), entry.row
    encoders = [bench.encoder(name) for name in bench.settings.names(row)]
    problems.tried(lambda: common_scale(bench.recording, encoders))
    neurons = problems.tried(lambda: _fitted_neurons(bench, row))
    for frames in dict.fromkeys(batch.frames for batch in bench.batches):
        problems.found += unmet(entry.method, _supply(bench, row, encoders, frames))
        if neurons is not None:
            _check_weights(bench, entry, problems, neurons=neurons, frames=frames)
        problems.tried(partial(binning, bench.recording, frames=frames, bins=row.bins))
    problems.tried(partial(check_activity, bench.recording, row.activity))
    calibrated = problems.tried(lambda: bench.calibration) if row.condition in SHOWN_ONCE else []
    for batch in (*bench.batches, *(calibrated or [])):
        _pose(bench, entry, problems, encoders=encoders, batch=batch)
    yield from dict.fromkeys(problems.found)


def _supply(bench: Bench, row: Row, encoders: Sequence[Encoder], frames: int) -> Supply:
    """Return what recording and row offer to the row's method, for clips of a length."""
    facts, recording = bench.facts, bench.recording
    count = max(round(len(facts.lengths) * row.data), 1)
    shared = recording.trials(TRAIN)[:count]
    return Supply(
        str(recording.path),
        facts.lengths[:count],
        frames,
        recording.frame_rate,
        withheld=tuple(index for index in facts.withheld if index in shared),
        context=1 + sum(max(encoder.spec.context[side] for encoder in encoders) for side in (0, 1)),
        validation=facts.validation,
        captions=facts.captioned,
        words=row.words != "none",
        places=_have_facts(bench),
        selection=bool(bench.sets["selection"].any()),
        by_frame=row.bins == 1,
        canvases=len({encoder.canvas for encoder in encoders}),
    )


def _have_facts(bench: Bench) -> bool:
    """Return whether the captions of all clips are those of simulated scenes, with the facts that they name."""
    trials = [trial for batch in bench.batches for trial in batch.trials]
    scenes = [scene for trial in trials for scene in bench.recording.scenes(trial.index) or [{}]]
    return all("facts" in scene for scene in scenes)


def _fitted_neurons(bench: Bench, row: Row) -> Tensor:
    """Return the mask `[N]` of the neurons that a row fits; raises InputError if there are none."""
    return bench.sets["fit"] & ~left_out(bench, row)


def _check_weights(bench: Bench, entry: Plan, problems: Problems, *, neurons: Tensor, frames: int) -> None:
    """Note weights that a method names and that are absent, or do not fit the recording."""
    training = TrainingSet(bench.recording, neurons, bench.settings.artefacts, frames, seed=entry.seed)
    for part in parts_of(entry.method):
        if isinstance(part, Weighted):
            problems.tried(partial(part.check_weights, training))


def _pose(bench: Bench, entry: Plan, problems: Problems, *, encoders: Sequence[Encoder], batch: Batch) -> None:
    """Note what a batch lacks for the problem of a row: repeats, rates, captions, behavior, training trials."""
    row = entry.row
    if row.condition != "predicted":  # which are rates of the encoder: always at hand
        problems.tried(partial(presentations, batch, row.condition, encoders[0]))
    problems.tried(partial(spoken, batch, row.words))
    problems.tried(partial(_check_behavior, batch, row.condition, encoders))
    if needs_fit(entry.fidelity) and not bench.facts.lengths:
        problems.found.append(
            "fidelity: expected trials of tier 'train' to fit its noise to, got none; import some, or take poisson"
        )
    for name in row.animals:
        problems.tried(partial(_check_animal, bench, name, batch, row))


def _check_behavior(batch: Batch, condition: Condition, encoders: Sequence[Encoder]) -> None:
    """Refuse clips that lack behavior which the encoders need: in the trials shown, or in those of the condition."""
    every = [batch.recorded]
    if condition == "wrong_clip" or (batch.repeated and condition in ("repeat_average", "repeats_joint")):
        every += presentations(batch, condition, encoders[0])
    lost = [_lacking(behavior, encoders) for _, behavior in every]
    used = sorted({channel for channels in lost for channel in channels})
    if used:
        unknown = [trial.index for trial in batch.trials if any(lacking_in(trial, encoder) for encoder in encoders)]
        where = f"trials {', '.join(map(str, unknown))}" if unknown else f"trials of the condition {condition}"
        raise InputError(
            f"behavior: expected {', '.join(used)} as the encoders use, got none or gaps in {where} of "
            f"{batch.recording.path}; take other clips, or train encoders with behavior=[] or training.behavior_dropout"
        )


def _lacking(behavior: Tensor | None, encoders: Sequence[Encoder]) -> list[str]:
    return [channel for encoder in encoders for channel in lacking_channels(encoder.spec, behavior)]


def _check_animal(bench: Bench, name: str, batch: Batch, row: Row) -> None:
    animal = bench.animal(name)
    shown = animal.batch(batch)
    response_scale(animal.recording, animal.encoder)
    _check_behavior(shown, "recorded", [animal.encoder])
    binning(animal.recording, frames=batch.frames, bins=row.bins)
