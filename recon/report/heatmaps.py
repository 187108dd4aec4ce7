"""Resolution limits: heat maps of a score over the spatial and temporal scales of gratings or noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recon.errors import InputError
from recon.report.plots import style, write_figure
from recon.study.outputs import read_results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Map = NDArray[np.float64]

CELL = 0.46
"""Width and height of a cell in inches."""
AXES = {"gratings": ("cycles/degree", "Hz"), "noise": ("degrees", "seconds")}


def read_maps(
    results: Path, *, score: str = "video_correlation"
) -> tuple[str, list[float], list[float], dict[str, Map]]:
    """Return the kind of stimulus, spatial scales, temporal scales and each method's score `[space,time]`.

    Reads a run's results.csv; the scales are part of the clips' names, `gratings_<cycles/degree>_<Hz>`.
    """
    rows = [(row, row["video_id"].split("_")) for row in read_results(results)]
    placed = [(row, name) for row, name in rows if len(name) == 3 and name[0] in AXES]
    kinds = {name[0] for _, name in placed}
    if len(kinds) != 1 or (placed and score not in placed[0][0]):
        raise InputError(
            f"{results}: expected scores of gratings or of noise with a column {score}, got clips "
            f"{sorted({row['video_id'] for row, _ in rows})[:3]}; run configs/bauer2025/gratings.yaml first"
        )
    space, time = (sorted({float(name[axis]) for _, name in placed}) for axis in (1, 2))
    maps: dict[str, Map] = {}
    for row, name in placed:
        here = maps.setdefault(row["method"], np.full((len(space), len(time)), np.nan))
        here[space.index(float(name[1])), time.index(float(name[2]))] = float(row[score] or "nan")
    return kinds.pop(), space, time, maps


def write_heatmaps(run: Path, picture: Path, *, score: str = "video_correlation") -> Path:
    """Draw one heat map per method of a run to a PNG: rows are spatial scales, columns temporal scales."""
    kind, space, time, maps = read_maps(run / "results.csv", score=score)
    with style():
        figure = heatmaps(maps, (space, time), units=AXES[kind], score=score.replace("_", " "))
        return write_figure(picture, figure)


def heatmaps(
    maps: Mapping[str, Map], scales: tuple[Sequence[float], Sequence[float]], *, units: tuple[str, str], score: str
) -> Figure:
    """Return a figure of maps `[space,time]` by method on one colour scale, 0 to 1; undefined scores are grey."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    width, height = CELL * len(scales[1]) + 0.9, CELL * len(scales[0]) + 0.9
    figure = Figure(figsize=(width * len(maps) + 0.7, height), layout="constrained")
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    colours = colormaps["viridis"].with_extremes(bad="0.6")
    for panel, (method, values) in zip(panels, maps.items(), strict=True):
        shown = panel.imshow(values, cmap=colours, vmin=0, vmax=1)
        panel.set(title=method, ylabel=units[0], xlabel=units[1])
        panel.set_yticks(range(len(scales[0])), [f"{scale:g}" for scale in scales[0]])
        panel.set_xticks(range(len(scales[1])), [f"{scale:g}" for scale in scales[1]])
        for (row, column), value in np.ndenumerate(values):
            text, ink = ("–" if np.isnan(value) else f"{value:.2f}"), "black" if value > 0.6 else "white"
            panel.text(column, row, text, color=ink, ha="center", va="center")
        if panel is panels[-1]:
            figure.colorbar(shown, ax=list(panels), label=score)
    return figure
