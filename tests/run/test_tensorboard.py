"""Records of event files are TensorBoard's own, byte by byte."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest

from recon.run.events import EventFile, as_record


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 4099])
def test_a_record_has_the_bytes_of_tensorboards_writer(length: int) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    data, theirs = random.Random(length).randbytes(length), io.BytesIO()
    RecordWriter(theirs).write(data)
    assert as_record(data) == theirs.getvalue()


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.compat.proto.summary_pb2 import Summary

    events = EventFile(tmp_path)
    events.begin(0)
    for step in range(3):
        events.add(step, [Summary.Value(tag="energy", simple_value=2.0 - step)])
    events.close()
    shown = EventAccumulator(str(tmp_path)).Reload().Scalars("energy")
    assert [(event.step, event.value) for event in shown] == [(0, 2.0), (1, 1.0), (2, 0.0)]
