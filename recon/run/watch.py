"""Traces of a task: TensorBoard, log and progress bar."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tqdm import tqdm

from recon.run.tensorboard import TensorBoardTrace
from recon.run.trace import GroundTruth, JsonlTrace
from recon.types import Iterate


@dataclass(frozen=True)
class TaskFolders:
    """Folders of a task: the unfinished task, and its event files."""

    task: Path
    events: Path

    @property
    def checkpoint(self) -> Path:
        """File with the state of an interrupted task."""
        return self.task / "state.safetensors"


class Watch:
    """A trace for a `with` block; an interrupted task's traces are continued, older ones removed."""

    def __init__(
        self,
        places: TaskFolders,
        truth: GroundTruth,
        *,
        labels: Sequence[str],
        frame_rate: float,
        every: int = 1,
        title: str = "",
        total: int | None = None,
        progress: bool = False,
    ) -> None:
        if not places.checkpoint.exists():
            shutil.rmtree(places.events, ignore_errors=True)
        self.log = JsonlTrace(places.task / "trace.jsonl", every=every, truth=truth)
        self.events = TensorBoardTrace(places.events, every=every, truth=truth, labels=labels, frame_rate=frame_rate)
        # disable=None: no bar where standard error is no terminal.
        self.bar = tqdm(total=total, desc=title, unit="step", leave=False, disable=None if progress else True)

    def __call__(self, step: int, iterate: Iterate, rates: Mapping[str, float]) -> None:
        self.log(step, iterate, rates)
        self.events(step, iterate, rates)
        self.bar.update(step - self.bar.n)

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.bar.close()
        self.log.close()
        self.events.close()


def folder_name(label: str) -> str:
    """Return a label as a folder name.

    >>> folder_name("bauer 2025, σ 3/2")
    'bauer 2025, σ 3-2'
    """
    return re.sub(r"[/\\:\0]+", "-", label).strip(". ") or "row"
