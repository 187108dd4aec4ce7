"""`ablate`: the prior of a method taken apart, from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from recon import config
from recon.api.asked import FidelityLike, MethodLike
from recon.api.compare import NOTHING, Notes
from recon.api.comparison import ComparisonTable
from recon.api.configuration import Options, configuration, rows_of, settings_of
from recon.api.encoder import EncoderLike
from recon.api.recording import ClipSet
from recon.encoders.summary import as_rows
from recon.report.summary import told
from recon.study.ablation.ablate import ablate as run_ablation
from recon.study.ablation.numbers import Findings, Number
from recon.study.ablation.trees import guided, with_text
from recon.study.executors.places import place_of

if TYPE_CHECKING:
    from pandas import DataFrame

SAMPLE = {"name": "sample", "levels": 20, "highest": 10.0, "lowest": 0.05}
"""Samples of a prior alone, from noise above every contrast of a movie."""


@dataclass(frozen=True, repr=False)
class PriorAblation:
    """The table of an ablation and its findings by score, the primary score first."""

    table: ComparisonTable
    found: tuple[Findings, ...]

    def findings(self) -> DataFrame:
        """Return the numbers by score: value, ends of the 95 % interval, clips, and the reason of an undefined one."""
        from pandas import DataFrame

        cells = [
            {"metric": one.metric, "number": name, **vars(number)}
            for one in self.found
            for name, number in _numbers(one).items()
        ]
        return DataFrame(cells).set_index(["metric", "number"])

    def scores(self) -> DataFrame:
        """Return the scores of the rows, as `ComparisonTable.scores`."""
        return self.table.scores()

    def page(self, path: Path | str | None = None) -> Path:
        """Write the page, as `ComparisonTable.page`."""
        return self.table.page(path)

    def __repr__(self) -> str:
        return "\n".join([repr(self.table), *(line for one in self.found for line in told(one))])

    def _repr_html_(self) -> str:
        lines = [[line] for one in self.found for line in told(one)]
        return self.table._repr_html_() + as_rows(["findings"], lines)


def ablate(
    clips: ClipSet,
    encoder: EncoderLike | Mapping[str, EncoderLike],
    method: MethodLike,
    *,
    typed: str | None = None,
    no_prior: MethodLike | None = None,
    reference: Mapping[str, MethodLike] | Sequence[str] = (),
    prior_only: MethodLike | None = None,
    sweep: Mapping[str, Sequence[float]] = NOTHING,
    metric: str = "video_correlation",
    scores: Sequence[str] = (),
    fidelity: FidelityLike = "poisson",
    report: Path | str | None = None,
    on: str = "here",
    progress: bool = True,
    **options: Unpack[Options],
) -> PriorAblation:
    """Take the prior of a method apart, as `recon ablate` does, and return the table with its findings.

    `method` has a prior that takes text, such as "refined". It is run with a Gaussian prior, without text, with other
    clips' activity, and its prior alone. In a recording with captions the full method is told captions decoded from the
    activity, and rows with true and shuffled captions are added; without captions the rows with text are left out, and
    a note says so. `typed` is a text that the prior is told instead. `no_prior` and `reference` are further methods to
    compare with, `sweep` values of guidance or of the method's own strength, `scores`
    further columns of which the findings are given. Other arguments are those of `compare`.
    """
    full, tree = config.expand(settings_of(method)), configuration(clips, encoder, **options)
    section = {
        "method": full,
        "prior_only": _alone(full) if prior_only is None else settings_of(prior_only),
        "reference": {row["label"]: row["method"] for row in rows_of(reference, fidelity)} if reference else {},
        "fidelity": {"name": fidelity} if isinstance(fidelity, str) else fidelity,
        "encoders": list(tree["encoders"])[:1],
        "sweep": {knob: list(values) for knob, values in sweep.items()},
        "metric": metric,
        "scores": list(scores),
        **({} if typed is None else {"typed": typed, "text": "typed"}),
        **({} if no_prior is None else {"no_prior": settings_of(no_prior)}),
    }
    notes = Notes()
    done = run_ablation({**tree, "ablation": section}, say=notes, progress=progress, on=place_of(on, tree["device"]))
    found = PriorAblation(ComparisonTable.of(done.run, notes.kept), tuple(done.found))
    if report is not None:
        found.page(report)
    return found


def _alone(full: Any) -> dict[str, Any] | None:
    """Return samples of the method's own prior; None for a method without one, which is refused later."""
    method = next(guided(full), None)
    return None if method is None else {**SAMPLE, "denoiser": with_text(method, None)["denoiser"]}


def _numbers(found: Findings) -> dict[str, Number]:
    own = {"gain": found.gain, "survives": found.survives, "sensitivity": found.sensitivity}
    return own | {f"{label} − mean": number for label, number in found.controls.items()}
