"""What every card of a training states: which weights, trained on which data, by which command; and its log's place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from recon.files.paths import user_path
from recon.types import Recording

LOGS = Path("runs/train")
"""Folder of the TensorBoard logs of trainings."""


class Command(NamedTuple):
    """The command that trains, as it was typed, and for a sweep which setting it has here, `KEY=VALUE`."""

    line: str = "none: called from Python"
    each: str = ""

    def described(self) -> dict[str, str]:
        """Return the entries of a card."""
        return {"command": self.line} | ({"each": self.each} if self.each else {})


PYTHON = Command()


def origin(output: Path, data: Any, command: Command) -> dict[str, Any]:
    """Return the first entries of a card: the weights' name, which is the output's, their data and their command."""
    return {"name": output.stem, "data": data, **command.described()}


def identified(recording: Recording) -> dict[str, Any]:
    """Return name and fingerprint of a recording, and how it was made if it says so."""
    made_by = dict(getattr(recording, "made_by", {}))
    found = {"recording": recording.name, "fingerprint": recording.fingerprint()}
    return found | ({"made_by": made_by} if made_by else {})


def log_folder(tree: Mapping[str, Any]) -> Path:
    """Return the TensorBoard folder of a configuration: `runs/train`, then the path of its output.

    Outputs of other folders and names have other logs; an output inside `runs/train` has its log beside it.

    >>> print(log_folder({"output": "weights/mine.safetensors"}))
    runs/train/weights/mine
    >>> print(log_folder({"output": "runs/train/start.safetensors"}))
    runs/train/start
    """
    output = user_path(str(tree.get("output", "weights"))).resolve()
    log = output.parent / output.stem
    for folder in (LOGS.resolve(), Path.cwd()):
        if log.is_relative_to(folder):
            return LOGS / log.relative_to(folder)
    return LOGS / log.relative_to(log.anchor)
