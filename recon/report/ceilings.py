"""Figure of noise ceilings: a histogram of each ceiling, and a scatter plot of one against another."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from recon.files import write_bytes

Values = NDArray[np.float64]
Span = tuple[float, float]

PANEL, LEFT, RIGHT, TOP, BELOW = (330, 250), 46, 16, 34, 40
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
    colours = _colours(areas)
    panels = [_histogram(name, values, areas, colours) for name, values in ceilings.items()]
    panels.append(_scatter(against, ceilings, areas, colours))
    columns = min(len(panels), 3)
    image = Image.new("RGB", (PANEL[0] * columns, PANEL[1] * -(-len(panels) // columns) + 28), "white")
    for number, panel in enumerate(panels):
        image.paste(panel, (PANEL[0] * (number % columns), PANEL[1] * (number // columns)))
    _legend(ImageDraw.Draw(image), colours, image.height - 20)
    content = io.BytesIO()
    image.save(content, "PNG")
    write_bytes(picture, content.getvalue())
    return picture


def _colours(areas: Sequence[str]) -> dict[str, str]:
    largest = [area for area, _ in Counter(areas).most_common(len(COLOURS))]
    return dict(zip(largest, COLOURS, strict=False))


def _histogram(name: str, values: Values, areas: Sequence[str], colours: Mapping[str, str]) -> Image.Image:
    defined = values[np.isfinite(values)]
    across = _span(defined)
    edges = np.linspace(*across, BINS + 1)
    every = list(dict.fromkeys([*colours, *areas]))
    own = np.array([every.index(area) for area in areas], dtype=np.int64)
    counts = np.stack([np.histogram(values[own == i], edges)[0] for i in range(len(every))])
    most = max(int(counts.sum(0).max(initial=0)), 1)
    panel, draw = _axes(_title(name, values), (name.replace("_", " "), "units"), across, (0.0, float(most)))
    for place in range(BINS):
        below = 0
        for area, count in zip(every, counts[:, place].tolist(), strict=True):
            corners = [_point((edges[place + i], below + i * count), across, (0.0, most)) for i in (0, 1)]
            if count:
                box = (corners[0][0], corners[1][1], max(corners[1][0] - 1, corners[0][0]), corners[0][1])
                draw.rectangle(box, fill=colours.get(area, REST))
            below += count
    if across[0] < np.median(defined if len(defined) else [0.0]) < across[1]:
        at = _point((float(np.median(defined)), 0.0), across, (0.0, most))[0]
        draw.line((at, TOP, at, PANEL[1] - BELOW), fill="black")
    return panel


def _scatter(
    names: tuple[str, str], ceilings: Mapping[str, Values], areas: Sequence[str], colours: Mapping[str, str]
) -> Image.Image:
    pairs = np.stack([ceilings[name] for name in names], 1)
    defined = np.isfinite(pairs).all(1)
    spans = [_span(pairs[defined, i]) for i in (0, 1)]
    labels = [name.replace("_", " ") for name in names]
    panel, draw = _axes(f"{int(defined.sum())} units", (labels[0], labels[1]), spans[0], spans[1])
    for unit in np.flatnonzero(defined).tolist():
        x, y = _point((pairs[unit, 0], pairs[unit, 1]), spans[0], spans[1])
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colours.get(areas[unit], REST))
    return panel


def _axes(title: str, labels: tuple[str, str], across: Span, up: Span) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Return an empty panel with axes, their limits and labels, and a title."""
    panel = Image.new("RGB", PANEL, "white")
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(12)
    right, bottom = PANEL[0] - RIGHT, PANEL[1] - BELOW
    draw.line((LEFT, TOP, LEFT, bottom, right, bottom), fill="black")
    draw.text((LEFT, TOP - 10), f"{labels[1]}: {title}", fill="black", font=font, anchor="ls")
    draw.text(((LEFT + right) / 2, bottom + 20), labels[0], fill="black", font=font, anchor="mt")
    for value, anchor, at in ((across[0], "lt", LEFT), (across[1], "rt", right)):
        draw.text((at, bottom + 5), f"{value:.2g}", fill="black", font=font, anchor=anchor)
    for value, at in ((up[0], bottom), (up[1], TOP)):
        draw.text((LEFT - 5, at), f"{value:.3g}", fill="black", font=font, anchor="rm")
    if across[0] < 0 < across[1]:
        zero = _point((0.0, up[0]), across, up)[0]
        draw.line((zero, bottom, zero, bottom + 4), fill="black")
    return panel, draw


def _legend(draw: ImageDraw.ImageDraw, colours: Mapping[str, str], top: int) -> None:
    at, font = LEFT, ImageFont.load_default(12)
    for area, colour in colours.items():
        if area:
            draw.rectangle((at, top, at + 10, top + 10), fill=colour)
            draw.text((at + 14, top - 1), area, fill="black", font=font)
            at += 30 + int(font.getlength(area))


def _title(name: str, values: Values) -> str:
    defined = values[np.isfinite(values)]
    missing = f", {len(values) - len(defined)} undefined" if len(defined) < len(values) else ""
    return f"median {np.median(defined):.2f}{missing}" if len(defined) else f"{name}: undefined"


def _span(values: Values) -> Span:
    """Return the limits of an axis: 0 to 1, extended if values lie outside."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    return min(np.floor(low * 10) / 10, 0.0), max(np.ceil(high * 10) / 10, 1.0)


def _point(value: tuple[float, float], across: Span, up: Span) -> tuple[float, float]:
    width, height = PANEL[0] - LEFT - RIGHT, PANEL[1] - TOP - BELOW
    x = (value[0] - across[0]) / (across[1] - across[0])
    y = (value[1] - up[0]) / (up[1] - up[0])
    return LEFT + x * width, PANEL[1] - BELOW - y * height
