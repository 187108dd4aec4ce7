"""The rows of a table in TensorBoard: the tab HPARAMS, which compares their settings and scores, and the tab TEXT."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Values = Mapping[str, float | str]
"""Values of a row by column; a column holds numbers only, or text only."""


@dataclass(frozen=True)
class Setup:
    """A row of a table: its `values`, those of all `rows` of the table, and a description in Markdown.

    `captions`: what was shown, one text per clip, or none.
    """

    values: Values
    rows: Sequence[Values] = ()
    description: str = ""
    captions: Sequence[str] = ()

    def beginning(self, metrics: Mapping[str, str]) -> list[Any]:
        """Return the summaries at the start of a run: the columns of the table, and this row of it.

        `metrics` are the tags of the scores to compare, with their titles.
        """
        return [_experiment(self.rows or [self.values], metrics), _session(self.values)]


def ending(*, finished: bool) -> Any:
    """Return the summary at the end of a run."""
    from tensorboard.plugins.hparams import api_pb2, metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    status = api_pb2.STATUS_SUCCESS if finished else api_pb2.STATUS_UNKNOWN
    ended = SessionEndInfo(status=status, end_time_secs=time.time())
    return _summary(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=ended))


def _experiment(rows: Sequence[Values], metrics: Mapping[str, str]) -> Any:
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.api_pb2 import Experiment, MetricInfo, MetricName
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    names = dict.fromkeys(name for row in rows for name in row)
    experiment = Experiment(
        hparam_infos=[_column(name, [row[name] for row in rows if name in row]) for name in names],
        metric_infos=[
            MetricInfo(name=MetricName(group="", tag=tag), display_name=title) for tag, title in metrics.items()
        ],
        time_created_secs=time.time(),
    )
    return _summary(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment))


def _column(name: str, values: Sequence[float | str]) -> Any:
    from tensorboard.plugins.hparams.api_pb2 import DATA_TYPE_FLOAT64, DATA_TYPE_STRING, HParamInfo, Interval

    numbers = [value for value in values if isinstance(value, float | int)]
    if len(numbers) == len(values):
        limits = Interval(min_value=min(numbers), max_value=max(numbers))
        return HParamInfo(name=name, type=DATA_TYPE_FLOAT64, domain_interval=limits)
    column = HParamInfo(name=name, type=DATA_TYPE_STRING)
    column.domain_discrete.extend(sorted({str(value) for value in values}))
    return column


def _session(values: Values) -> Any:
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    started = SessionStartInfo(start_time_secs=time.time())
    for name, value in values.items():
        if isinstance(value, str):
            started.hparams[name].string_value = value
        else:
            started.hparams[name].number_value = value
    return _summary(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=started))


def _summary(tag: str, content: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata

    return Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content), tensor=metadata.NULL_TENSOR)
