"""Figure of noise ceilings: a histogram of each ceiling, and a scatter plot of one against another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recon.report.plots import style, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = NDArray[np.float64]

PANEL = (3.3, 2.5)
"""Width and height of a panel in inches."""
BINS = 30
COLOURS = ("#3b6fb6", "#d1495b", "#2a9d6f", "#e09f3e", "#7b5ea7", "#5f5f5f", "#c77dba", "#8a9a2b")
"""Colours of the largest areas; units of all other areas are light grey."""
REST = "#c4c4c4"


def write_ceilings(
    picture: Path, ceilings: Mapping[str, Values], areas: Sequence[str], *, against: tuple[str, str]
) -> Path:
    """Draw ceilings `[N]` by name to a PNG: a histogram of each, coloured by area, and a scatter plot of `against`.

    Undefined values are excluded and counted in the title. The file is replaced atomically.
    """
    with style():
        return write_figure(picture, ceiling_figure(ceilings, areas, against=against))


def ceiling_figure(ceilings: Mapping[str, Values], areas: Sequence[str], *, against: tuple[str, str]) -> Figure:
    """Return the figure of ceilings `[N]` by name: a panel for each, and the scatter plot of `against`."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    colours = _colours(areas)
    columns = min(len(ceilings) + 1, 3)
    rows = -(-(len(ceilings) + 1) // columns)
    figure = Figure(figsize=(PANEL[0] * columns, PANEL[1] * rows + 0.28), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, (name, values) in zip(panels, ceilings.items(), strict=False):
        _histogram(panel, name, values, np.asarray(areas), colours)
    units = np.asarray([colours.get(area, REST) for area in areas])
    _scatter(panels[len(ceilings)], against, [ceilings[name] for name in against], units)
    for panel in panels[len(ceilings) + 1 :]:
        panel.set_axis_off()
    known = [Patch(color=colour, label=area) for area, colour in colours.items() if area]
    if known:
        figure.legend(handles=known, loc="outside lower left", ncols=len(known), frameon=False)
    return figure


def _colours(areas: Sequence[str]) -> dict[str, str]:
    largest = [area for area, _ in Counter(areas).most_common(len(COLOURS))]
    return dict(zip(largest, COLOURS, strict=False))


def _histogram(panel: Axes, name: str, values: Values, areas: NDArray[np.str_], colours: Mapping[str, str]) -> None:
    every = list(dict.fromkeys([*colours, *areas.tolist()]))
    known = np.isfinite(values)
    panel.hist(
        [values[known & (areas == area)] for area in every],
        bins=np.linspace(*_span(values[known]), BINS + 1).tolist(),
        stacked=True,
        color=[colours.get(area, REST) for area in every],
    )
    panel.set(title=_title(values), xlabel=name.replace("_", " "), ylabel="units", xlim=_span(values[known]))
    panel.locator_params(axis="y", integer=True)
    if not known.any():
        panel.set_ylim(0, 1)
    else:
        panel.axvline(float(np.median(values[known])), color="black", linewidth=1)


def _scatter(panel: Axes, names: tuple[str, str], pair: Sequence[Values], colours: NDArray[np.str_]) -> None:
    x, y = pair
    known = np.isfinite(x) & np.isfinite(y)
    panel.scatter(x[known], y[known], s=9, c=colours[known].tolist(), linewidths=0, clip_on=False)
    panel.set(title=f"{int(known.sum())} units", xlim=_span(x[known]), ylim=_span(y[known]))
    panel.set(xlabel=names[0].replace("_", " "), ylabel=names[1].replace("_", " "))


def _title(values: Values) -> str:
    defined = values[np.isfinite(values)]
    missing = f", {len(values) - len(defined)} undefined" if len(defined) < len(values) else ""
    return f"median {np.median(defined):.2f}{missing}" if len(defined) else "undefined"


def _span(values: Values) -> tuple[float, float]:
    """Return the limits of an axis: 0 to 1, extended if values lie outside."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    return min(float(np.floor(low * 10) / 10), 0.0), max(float(np.ceil(high * 10) / 10), 1.0)
