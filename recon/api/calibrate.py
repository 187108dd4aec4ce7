"""`calibrate`: intervals of a method on a recording, from clips that nothing else has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recon.api.asked import FRAMES, NEURONS, FidelityLike, MethodLike, method_of
from recon.api.encoder import EncoderLike
from recon.api.engine import calibrating_task
from recon.api.one_row import one_row
from recon.api.recording import TIERS, OpenRecording
from recon.data.layout import CALIBRATION
from recon.encoders.runtime.precision import Precision, products
from recon.encoders.summary import as_html, as_text
from recon.metrics.intervals.calibration import Calibration
from recon.metrics.intervals.settings import Base, CalibrationSettings
from recon.problem.clips import Clips
from recon.problem.conditions import Condition, Words
from recon.run.watch import is_watched
from recon.study.intervals import Calibrating
from recon.study.settings import Frames, Intervals, Neurons


@dataclass(frozen=True, repr=False, eq=False)
class CalibratedMethod:
    """A method's calibration on a recording, for `reconstruct(…, calibration=…)`.

    `identity` names method, problem, options, clips and code: a reconstruction that differs in any of them is refused.
    """

    method: str
    recording: str
    identity: str
    intervals: Intervals
    calibration: Calibration

    @property
    def _facts(self) -> dict[str, object]:
        risk = self.calibration.risk
        return {
            "clips": f"{risk.clips} calibrate, {self._base}",
            "valid": "on average over clips exchangeable with them, within each of: "
            + ", ".join(self.calibration.names),
            "identity": self.identity,
        }

    @property
    def _base(self) -> str:
        settings = self.calibration.settings
        return {
            "heads": f"others (a share of {settings.share:g}) fitted the quantiles",
            "draws": "one temperature for the sampler's draws",
            "constant": "one width everywhere",
        }[settings.base]

    def __repr__(self) -> str:
        return as_text(f"Calibration of {self.method} on {self.recording}", self._facts)

    def _repr_html_(self) -> str:
        return as_html(f"Calibration of {self.method} on {self.recording}", self._facts)


def calibrate(
    method: MethodLike,
    recording: OpenRecording,
    encoder: EncoderLike,
    *,
    tier: str = CALIBRATION,
    count: int = 0,
    trials: Sequence[int] = (),
    base: Base | CalibrationSettings = "heads",
    text: str | None = None,
    fidelity: FidelityLike = "poisson",
    condition: Condition = "recorded",
    words: Words = "none",
    frames: Frames | tuple[int, int] = FRAMES,
    neurons: Neurons | tuple[float, float] = NEURONS,
    window: int = 0,
    precision: Precision = "float32",
    artefacts: Path | str | None = None,
    batch: int | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: bool = True,
) -> CalibratedMethod:
    """Calibrate the intervals of a method on clips of a recording that no training, selection or stopping has seen.

    The clips are `count` (0: all) of a tier, or named `trials`; they are reconstructed by the method, so this takes as
    long as their reconstruction, once: the result is kept in `artefacts`. `base` is what is stretched until it covers:
    "heads" (quantiles of the error given features of the estimate; valid within groups too), "draws" (those of a
    sampler, one temperature) or "constant" (one width). Other arguments are those of `reconstruct`, which takes the
    result as `calibration` and must be told the same. 200 clips give intervals that depend little on which.
    """
    asked = method_of(method, text=text)
    made = base if isinstance(base, CalibrationSettings) else CalibrationSettings(base)
    settings = one_row(
        recording,
        encoder,
        asked,
        clips=Clips(),
        judge=None,
        fidelity=fidelity,
        condition=condition,
        words=words,
        frames=frames,
        neurons=neurons,
        window=window,
        precision=precision,
        artefacts=artefacts,
        batch=batch,
        seed=seed,
        device=device,
        intervals=Intervals(TIERS.get(tier, tier), count, tuple(trials), made),
    )
    with products(precision):
        found = Calibrating.of(calibrating_task(settings, recording, progress=progress and is_watched()))
        return CalibratedMethod(asked.label, recording.name, found.identity, found.intervals, found.learnt())
