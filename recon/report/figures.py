"""Static figures as inline SVG: bars with intervals and scatter plots, in the colours of page.css."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

WIDTH = 680
ROW, TOP, BOTTOM = 30, 8, 44
LEFT, RIGHT = 190, 60

Place = tuple[float, float]


@dataclass(frozen=True)
class Bar:
    """A labelled value with its interval (NaN: none), colour (palette index or CSS colour) and number format."""

    label: str
    value: float
    low: float = math.nan
    high: float = math.nan
    colour: int | str = 0
    form: str = ".3f"


@dataclass(frozen=True)
class Dot:
    """A point of a scatter plot, its tooltip and its colour (palette index or CSS colour)."""

    x: float
    y: float
    title: str
    colour: int | str = 0


def bars(entries: Sequence[Bar], *, axis: str, label: str, chance: float = math.nan) -> str:
    """Return horizontal bars with whiskers on an axis that includes 0; `chance` is a dashed line."""
    known = [v for e in entries for v in (e.value, e.low, e.high) if math.isfinite(v)] + [0.0]
    known += [chance] if math.isfinite(chance) else []
    low, high = min(known), max(known)
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    height = TOP + ROW * len(entries) + BOTTOM

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low or 1) * (WIDTH - LEFT - RIGHT)

    parts = list(_axis(ticks, x, height, axis))
    for place, entry in enumerate(entries):
        y = TOP + ROW * place
        parts.append(_text(LEFT - 10, y + 19, entry.label, anchor="end"))
        if not math.isfinite(entry.value):
            parts.append(_text(x(0) + 6, y + 19, "undefined"))
            continue
        start, end = sorted((x(0), x(entry.value)))
        colour = _colour(entry.colour)
        parts.append(f'<rect x="{start:.1f}" y="{y + 5}" width="{end - start:.1f}" height="20" fill="{colour}"/>')
        if math.isfinite(entry.low) and math.isfinite(entry.high):
            parts.append(_line((x(entry.low), y + 15), (x(entry.high), y + 15), "var(--ink)", 1.6))
        shown = format(entry.value, entry.form).replace("-", "−")
        parts.append(_text(max(x(v) for v in (entry.value, entry.high, 0.0) if math.isfinite(v)) + 6, y + 19, shown))
    if math.isfinite(chance):
        parts.append(_line((x(chance), TOP), (x(chance), height - BOTTOM), "var(--soft)", 1.2, dash="4 3"))
    return _svg(WIDTH, height, label, parts)


def scatter(dots: Sequence[Dot], *, axes: tuple[str, str], label: str, size: int = 300) -> str:
    """Return a square scatter plot without axis ticks, for embeddings."""
    xs, ys = [dot.x for dot in dots], [dot.y for dot in dots]
    inner = size - 44

    def at(value: float, known: Sequence[float]) -> float:
        return (value - min(known)) / ((max(known) - min(known)) or 1) * (inner - 16) + 8

    parts = [
        f'<rect x="30" y="6" width="{inner}" height="{inner}" fill="none" stroke="var(--line)"/>',
        _text(30 + inner / 2, size - 12, axes[0], anchor="middle"),
        f'<text transform="translate(18 {6 + inner / 2:.0f}) rotate(-90)" text-anchor="middle">{_safe(axes[1])}</text>',
    ]
    for dot in dots:
        where = f'cx="{30 + at(dot.x, xs):.1f}" cy="{6 + inner - at(dot.y, ys):.1f}"'
        title = f"<title>{_safe(dot.title)}</title>"
        parts.append(f'<circle {where} r="3.4" fill="{_colour(dot.colour)}" fill-opacity="0.8">{title}</circle>')
    return _svg(size, size, label, parts)


def legend(names: Sequence[str]) -> str:
    """Return a legend of the palette colours 0, 1, ….

    >>> legend(["a & b"])
    '<p class="legend"><span><i style="background:var(--c0)"></i>a &amp; b</span></p>'
    """
    keys = "".join(f'<span><i style="background:{_colour(k)}"></i>{_safe(name)}</span>' for k, name in enumerate(names))
    return f'<p class="legend">{keys}</p>'


def shade(value: float) -> str:
    """Return a CSS colour for a value in [0,1], from faint to the accent colour; grey if undefined."""
    if not math.isfinite(value):
        return "var(--hatch)"
    return f"color-mix(in srgb, var(--accent) {100 * min(max(value, 0.0), 1.0):.0f}%, var(--line))"


def _colour(colour: int | str) -> str:
    return colour if isinstance(colour, str) else f"var(--c{colour % 8})"


def _axis(ticks: Sequence[float], x: Callable[[float], float], height: int, axis: str) -> Iterator[str]:
    for tick in ticks:
        yield _line((x(tick), TOP), (x(tick), height - BOTTOM), "var(--line)" if tick else "var(--soft)")
        yield _text(x(tick), height - BOTTOM + 17, f"{tick:g}".replace("-", "−"), anchor="middle")
    yield _text((LEFT + WIDTH - RIGHT) / 2, height - 6, axis, anchor="middle")


def _ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers that span a range.

    >>> _ticks(-0.02, 0.31)
    [-0.1, 0.0, 0.1, 0.2, 0.3, 0.4]
    """
    raw = (high - low) / 4 or 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 10) for k in range(first, last + 1)]


def _line(start: Place, end: Place, colour: str, width: float = 1.0, *, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    where = f'x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"'
    return f'<line {where} stroke="{colour}" stroke-width="{width}"{dashed}/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_safe(text)}</text>'


def _safe(text: str) -> str:
    return html.escape(str(text))


def _svg(width: int, height: int, label: str, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg class="still" role="img" aria-label="{_safe(label)}" {size}>{"".join(parts)}</svg>'
