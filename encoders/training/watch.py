"""What is seen of a training: a progress bar with the remaining time, and scalars in TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

EVERY = 10
"""Steps between two scalars of one curve, so that long trainings keep small logs."""


class TrainingWatch:
    """A bar over `steps`, of which `done` are behind it, and a TensorBoard folder `log` or none; to be closed.

    Without a `title`, or where standard error is no terminal, no bar is drawn.
    """

    def __init__(self, steps: int, done: int, log: Path | None, *, title: str = "train encoder") -> None:
        from tqdm import tqdm

        shown = None if title else True
        self._bar: Any = tqdm(total=steps, initial=done, desc=title, unit="step", disable=shown, dynamic_ncols=True)
        self._writer: Any = None
        if log is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(log))

    def report(self, step: int, values: Mapping[str, float]) -> None:
        """Move on by one step; validations are always logged, other values at every tenth step."""
        self._bar.update()
        validated = [value for name, value in values.items() if name.startswith("validation")]
        if validated:
            self._bar.set_postfix(validation=f"{validated[0]:.4f}")
        if self._writer is not None and (validated or step % EVERY == 0):
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def show(self, step: int, values: Sequence[Any]) -> None:
        """Write values of a TensorBoard event, such as pictures, if there is a log."""
        if self._writer is not None:
            from tensorboard.compat.proto.summary_pb2 import Summary

            self._writer.file_writer.add_summary(Summary(value=values), step)

    def close(self) -> None:
        """Leave the terminal and the log in order."""
        self._bar.close()
        if self._writer is not None:
            self._writer.close()
