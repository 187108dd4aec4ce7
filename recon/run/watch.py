"""Traces of a task: TensorBoard, log and progress bar."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tqdm import tqdm

from recon.run.hparams import Setup
from recon.run.tensorboard import TensorBoardTrace
from recon.run.trace import GroundTruth, JsonlTrace
from recon.types import Iterate

LONGEST = 120
"""Longest name of a folder in bytes, without its hash; file systems take 143 or 255."""
HASHED = re.compile(" [0-9a-f]{8}$")
"""End of an altered name; a label that ends so itself is altered too, or it could be the name of another."""


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
        setup: Setup | None = None,
        total: int | None = None,
        progress: bool = False,
    ) -> None:
        if not places.checkpoint.exists():
            shutil.rmtree(places.events, ignore_errors=True)
        self.log = JsonlTrace(places.task / "trace.jsonl", every=every, truth=truth)
        self.events = TensorBoardTrace(
            places.events, every=every, truth=truth, labels=labels, frame_rate=frame_rate, setup=setup
        )
        shown = progress and is_watched()
        self.bar = tqdm(total=total, desc=title, unit="step", leave=False, disable=not shown)

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


def is_watched() -> bool:
    """Return whether a person sees a progress bar: in a terminal or a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def folder_name(label: str) -> str:
    """Return a label as the name of one folder, different for different labels.

    A label that cannot be a name as it stands, or that is longer than `LONGEST` bytes, is altered and gets a hash.

    >>> folder_name("bauer 2025, σ 3"), folder_name("σ 3/2")
    ('bauer 2025, σ 3', 'σ 3-2 f5ed0f0f')
    """
    plain = unicodedata.normalize("NFC", re.sub(r"[/\\:\x00-\x1f\x7f\ud800-\udfff]+", "-", label)).strip(". ")
    if label and plain == label and len(plain.encode()) <= LONGEST and not HASHED.search(plain):
        return plain
    short = plain.encode()[:LONGEST].decode(errors="ignore").strip(". ") or "row"
    return f"{short} {hashlib.sha256(label.encode(errors='surrogatepass')).hexdigest()[:8]}"
