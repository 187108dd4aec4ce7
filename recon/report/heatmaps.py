"""Resolution limits: heat maps of a score over the spatial and temporal scales of gratings or noise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from recon.errors import InputError
from recon.study.outputs import read_results

Map = NDArray[np.float64]

CELL, GAP, LEFT, TOP, BELOW = 46, 26, 104, 34, 44
LOW, MIDDLE, HIGH = (68, 1, 84), (33, 145, 140), (253, 231, 37)
"""Colours of 0, 0.5 and 1; scores below 0 have the colour of 0, undefined scores are grey."""
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
    width = LEFT + len(time) * CELL + GAP
    image = Image.new("RGB", (width * len(maps), TOP + len(space) * CELL + BELOW), "white")
    for number, (method, values) in enumerate(maps.items()):
        panel = _panel(values, {"space": space, "time": time}, title=method, units=AXES[kind])
        image.paste(panel, (number * width, 0))
    image.save(picture)
    return picture


def _panel(values: Map, scales: Mapping[str, list[float]], *, title: str, units: tuple[str, str]) -> Image.Image:
    rows, columns = values.shape
    panel = Image.new("RGB", (LEFT + columns * CELL + GAP, TOP + rows * CELL + BELOW), "white")
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(13)
    draw.text((LEFT, TOP - 10), title, fill="black", font=ImageFont.load_default(15), anchor="ls")
    for row, scale in enumerate(scales["space"]):
        draw.text((LEFT - 8, TOP + (row + 0.5) * CELL), f"{scale:g}", fill="black", font=font, anchor="rm")
    for column, scale in enumerate(scales["time"]):
        at = LEFT + (column + 0.5) * CELL
        draw.text((at, TOP + rows * CELL + 6), f"{scale:g}", fill="black", font=font, anchor="mt")
    draw.text((4, TOP - 10), units[0], fill="black", font=font, anchor="ls")
    draw.text((LEFT, TOP + rows * CELL + 26), units[1], fill="black", font=font, anchor="lt")
    for (row, column), value in np.ndenumerate(values):
        left, top = LEFT + column * CELL, TOP + row * CELL
        draw.rectangle((left, top, left + CELL - 2, top + CELL - 2), fill=colour(float(value)))
        text, ink = ("–" if np.isnan(value) else f"{value:.2f}"), "black" if value > 0.6 else "white"
        draw.text((left + CELL / 2 - 1, top + CELL / 2 - 1), text, fill=ink, font=font, anchor="mm")
    return panel


def colour(value: float) -> tuple[int, int, int]:
    """Return the RGB colour of a score in [0,1].

    >>> colour(0.0), colour(0.5), colour(1.0), colour(float("nan"))
    ((68, 1, 84), (33, 145, 140), (253, 231, 37), (150, 150, 150))
    """
    if value != value:
        return (150, 150, 150)
    share = min(max(value, 0.0), 1.0) * 2
    first, second = (LOW, MIDDLE) if share < 1 else (MIDDLE, HIGH)
    part = share if share < 1 else share - 1
    red, green, blue = (round(a + part * (b - a)) for a, b in zip(first, second, strict=True))
    return red, green, blue
