"""What watches a task while it runs: TensorBoard, the log and a bar with the remaining time."""

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
    """Where a task's traces go: the folder of the unfinished task, and its folder of event files."""

    task: Path
    events: Path

    @property
    def checkpoint(self) -> Path:
        """The state from which an interrupted task goes on."""
        return self.task / "state.safetensors"


class Watch:
    """A trace to be used in a `with` block; what an interrupted task wrote is continued, anything older removed."""

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
    """Return a label as the name of a folder.

    >>> folder_name("bauer 2025, σ 3/2")
    'bauer 2025, σ 3-2'
    """
    return re.sub(r"[/\\:\0]+", "-", label).strip(". ") or "row"
