"""Training progress: a progress bar with the remaining time, and scalars in TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

EVERY = 10
"""Steps between logged scalars, so that the logs of long runs stay small."""


class TrainingWatch:
    """Progress bar over `steps`, of which `done` are complete, and an optional TensorBoard folder `log`.

    No bar is drawn without a `title` or if standard error is not a terminal. Call `close` at the end.
    """

    def __init__(self, steps: int, done: int, log: Path | None, *, title: str = "train encoder") -> None:
        from tqdm import tqdm

        shown = None if title else True
        self._bar: Any = tqdm(total=steps, initial=done, desc=title, unit="step", disable=shown, dynamic_ncols=True)
        self._writer: Any = None
        if log is not None:
            from torch.utils.tensorboard import SummaryWriter

            # TensorBoard drops what an interrupted run logged at the steps that are done again.
            self._writer = SummaryWriter(str(log), purge_step=done + 1)

    def report(self, step: int, values: Mapping[str, float]) -> None:
        """Advance by one step; log validation scores always, other values every tenth step."""
        self._bar.update()
        validated = [value for name, value in values.items() if name.startswith("validation")]
        if validated:
            self._bar.set_postfix(validation=f"{validated[0]:.4f}")
        if self._writer is not None and (validated or step % EVERY == 0):
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def show(self, step: int, values: Sequence[Any]) -> None:
        """Write TensorBoard event values, such as images, if there is a log."""
        if self._writer is not None:
            from tensorboard.compat.proto.summary_pb2 import Summary

            self._writer.file_writer.add_summary(Summary(value=values), step)

    def flush(self) -> None:
        """Write what is logged to disk: a state that is saved afterwards never runs ahead of its log."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Close the bar and the log."""
        self._bar.close()
        if self._writer is not None:
            self._writer.close()
