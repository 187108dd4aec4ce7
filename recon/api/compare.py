"""`compare`: several methods on the same clips, from Python."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from recon.api.asked import FRAMES, NEURONS, FidelityLike, MethodLike
from recon.api.comparison import ComparisonTable
from recon.api.configuration import configuration, rows_of
from recon.api.encoder import EncoderLike
from recon.api.recording import ClipSet
from recon.study.benchmark import benchmark
from recon.study.executors.places import place_of
from recon.study.settings import Frames, Neurons

NOTHING: Mapping[str, Any] = MappingProxyType({})


def compare(
    clips: ClipSet,
    encoder: EncoderLike | Mapping[str, EncoderLike],
    methods: Mapping[str, MethodLike] | Sequence[str],
    *,
    judge: EncoderLike | None = None,
    fidelity: FidelityLike = "poisson",
    frames: Frames | tuple[int, int] = FRAMES,
    neurons: Neurons | tuple[float, float] = NEURONS,
    report: Path | str | None = None,
    run: Path | str | None = None,
    artefacts: Path | str | None = None,
    settings: Mapping[str, Any] = NOTHING,
    batch: int | None = None,
    seed: int = 0,
    device: str = "auto",
    on: str = "here",
    progress: bool = True,
) -> ComparisonTable:
    """Run several methods on the same clips, as `recon benchmark` does, and return the table.

    `methods` are labels with methods: the name of a preset, a method object, settings, or a whole row of a benchmark,
    such as `{"method": "map_spectrum", "condition": "wrong_clip"}`; a list of presets labels itself. `encoder` may be
    several by name, of which rows take the first unless they name others. `report` is where the page goes. `run` is a
    folder that keeps every result: the same call resumes there and computes only what is missing; without it the run is
    temporary. `settings` are further keys of a benchmark's configuration, such as `window`.

    Results are named by data, settings, seed and code. Objects take part where they can be named: frozen dataclasses
    with plain fields, whose class has its source at hand, and torch modules. Others are computed anew each time, with a
    note that says why. `on="local"` computes in parallel processes, which import the classes of objects from their
    modules.

    >>> import recon
    >>> mouse = recon.example()
    >>> quick = {"ridge": "ridge", "map": {"preset": "map_spectrum", "iterations": 1}}
    >>> table = recon.compare(mouse.clips("test", count=1), "example", quick, device="cpu", progress=False)
    >>> table.methods, table.scores().loc["ridge"].shape[0]
    (('ridge', 'map'), 1)
    """
    tree = configuration(
        clips,
        encoder,
        run=run,
        judge=judge,
        frames=frames,
        neurons=neurons,
        artefacts=artefacts,
        settings=settings,
        batch=batch,
        seed=seed,
        device=device,
    )
    notes = Notes()
    done = benchmark(
        {**tree, "rows": rows_of(methods, fidelity)}, say=notes, progress=progress, on=place_of(on, device)
    )
    table = ComparisonTable.of(done, notes.kept)
    if report is not None:
        table.page(report)
    return table


class Notes:
    """What a run says: lines about its tasks are logged, others are kept as notes and shown as warnings."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def __call__(self, line: str) -> None:
        task = line.startswith("[")
        logging.getLogger("recon").log(logging.INFO if task else logging.WARNING, "%s", line)
        self.kept += [] if task else [line]
