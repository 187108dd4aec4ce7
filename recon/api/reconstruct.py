"""`reconstruct`: one method on some clips, from Python."""

from __future__ import annotations

from pathlib import Path

from recon.api.asked import FRAMES, NEURONS, FidelityLike, MethodLike, method_of
from recon.api.calibrate import CalibratedMethod
from recon.api.encoder import EncoderLike
from recon.api.engine import Follow, Log, adopt, solve, tasks_of
from recon.api.one_row import one_row
from recon.api.recording import ClipSet
from recon.api.result import Result
from recon.encoders.runtime.precision import Precision, products
from recon.files.paths import user_path
from recon.problem.conditions import Condition, Words
from recon.run.runner import Budget
from recon.run.watch import is_watched
from recon.study.settings import Frames, Neurons


def reconstruct(
    clips: ClipSet,
    encoder: EncoderLike,
    method: MethodLike,
    *,
    label: str = "",
    text: str | None = None,
    judge: EncoderLike | None = None,
    fidelity: FidelityLike = "poisson",
    condition: Condition = "recorded",
    words: Words = "none",
    frames: Frames | tuple[int, int] = FRAMES,
    neurons: Neurons | tuple[float, float] = NEURONS,
    window: int = 0,
    precision: Precision = "float32",
    budget: Budget | None = None,
    trace: Path | str | None = None,
    artefacts: Path | str | None = None,
    batch: int | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: bool = True,
    calibration: CalibratedMethod | None = None,
) -> Result:
    """Reconstruct clips by a method: the name of a preset, a method object, or a configuration.

    `text` is told to the method's prior. `judge` is an encoder that scores and that no method uses. `frames` are the
    unscored frames at the start and the end; `neurons` the fractions held back for *selection* and *report*. `budget`
    limits seconds, evaluations or iterations. `trace` is a TensorBoard folder. What the method learns beforehand goes
    to the folder `artefacts`, by default in the cache. `batch` clips are optimised together. `condition`, `words`,
    `fidelity`, `window` and `precision` are those of a row of `recon benchmark`, which computes the same numbers.
    `calibration` is that of `calibrate` for the same method and options; with it the result has intervals per pixel.

    >>> import recon
    >>> mouse, encoder = recon.example(), recon.load_encoder("example", device="cpu")
    >>> quick = {"preset": "map_spectrum", "iterations": 2}
    >>> result = recon.reconstruct(mouse.clips("test", count=1), encoder, quick, device="cpu", progress=False)
    >>> result.status, tuple(result.movie.shape)
    ('finished', (1, 1, 180, 36, 64))
    """
    asked = method_of(method, label=label, text=text)
    settings = one_row(
        clips.recording,
        encoder,
        asked,
        clips=clips.choice,
        judge=judge,
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
        intervals=None if calibration is None else calibration.intervals,
    )
    shown = progress and is_watched()
    with products(precision):
        tasks = tasks_of(settings, clips, progress=shown)
        if calibration is not None:
            adopt(tasks[0], calibration.calibration, identity=calibration.identity)
        log = Log(user_path(trace)) if trace else None
        solved = []
        for number, task in enumerate(tasks, 1):
            part = f"part {number}" if len(tasks) > 1 else ""
            solved.append(solve(task, Follow(task, log=log, progress=shown, part=part), budget))
    return Result.of(asked.label, repr(asked.method), clips, settings.frames, solved)
