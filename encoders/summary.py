"""Facts about an object as text and as HTML: what recordings, encoders and results print of themselves."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Facts = Mapping[str, object]


def as_text(title: str, facts: Facts) -> str:
    """Return a title and one line per fact.

    >>> print(as_text("Recording example", {"neurons": 200, "rate": "30 Hz"}))
    Recording example
      neurons  200
      rate     30 Hz
    """
    width = max(map(len, facts), default=0)
    return "\n".join([title, *(f"  {name:{width}}  {value}" for name, value in facts.items())])


def as_html(title: str, facts: Facts) -> str:
    """Return the same as an HTML table, for notebooks; everything is escaped.

    >>> "&lt;b&gt;" in as_html("Recording <b>", {"neurons": 200})
    True
    """
    left = "style='text-align:left'"
    rows = "".join(
        f"<tr><th {left}>{html.escape(name)}</th><td {left}>{html.escape(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    return (
        f"<table><thead><tr><th colspan='2' {left}>{html.escape(title)}</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def screen(frame_size: tuple[int, int], degrees_per_pixel: float, frame_rate: float) -> str:
    """Return size, angle and rate of a movie in words.

    >>> screen((36, 64), 1.94, 30.0)
    '36 × 64 pixels, 70° × 124° (1.94° per pixel), 30 Hz'
    """
    height, width = frame_size
    angles = f"{height * degrees_per_pixel:.0f}° × {width * degrees_per_pixel:.0f}°"
    return f"{height} × {width} pixels, {angles} ({degrees_per_pixel:.4g}° per pixel), {frame_rate:g} Hz"


def card_facts(card: Mapping[str, Any]) -> dict[str, object]:
    """Return what a card says of the training of an encoder, in words; nothing for an empty card.

    >>> card_facts({"name": "v1", "data": {"recording": "mouse"}, "validation_correlation": 0.4})
    {'weights': 'v1', 'trained on': 'mouse', 'held-out r': '0.400'}
    """
    data = card.get("data")
    noise_free = card.get("validation_correlation_with_noise_free_rates")
    known = {
        "weights": card.get("name"),
        "trained on": data.get("recording") if isinstance(data, Mapping) else data,
        "held-out r": _decimals(card.get("validation_correlation")),
        "noise-free r": _decimals(noise_free),
        "command": card.get("command"),
    }
    return {name: value for name, value in known.items() if value}


def _decimals(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else ""


def as_rows(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an HTML table with a heading per column; everything is escaped.

    >>> as_rows(["a"], [["<"]])
    "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td style='text-align:left'>&lt;</td></tr></tbody></table>"
    """
    top = "".join(f"<th>{html.escape(head)}</th>" for head in heads)
    cells = ("".join(f"<td style='text-align:left'>{html.escape(str(cell))}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
