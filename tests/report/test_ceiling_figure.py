"""The figure of ceilings: every unit once, in the bin of its value and the colour of its area."""

from __future__ import annotations

import numpy as np

from recon.report.ceilings import BINS, COLOURS, ceiling_figure


def test_bars_dots_and_titles() -> None:
    values = np.array([0.1, 0.1, 0.5, 0.9, np.nan])
    ceilings = {"oracle": values, "split_half": values / 2, "cc_max": np.full(5, np.nan)}
    figure = ceiling_figure(ceilings, ["V1", "V1", "LM", "V1", "V1"], against=("oracle", "split_half"))
    oracle, _, undefined, dots, *rest = figure.axes
    bars = [round(bar.get_height()) for bar in oracle.patches]
    expected = np.zeros((2, BINS), int)
    for area, value in ((0, 0.1), (0, 0.1), (1, 0.5), (0, 0.9)):
        expected[area, np.searchsorted(np.linspace(0, 1, BINS + 1), value, side="right") - 1] += 1
    assert bars == expected.ravel().tolist()
    assert oracle.get_title() == "median 0.30, 1 undefined" and undefined.get_title() == "undefined"
    placed = np.asarray(dots.collections[0].get_offsets())
    np.testing.assert_allclose(placed, [(0.1, 0.05), (0.1, 0.05), (0.5, 0.25), (0.9, 0.45)])
    assert dots.get_title() == "4 units" and not any(panel.axison for panel in rest)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["V1", "LM"]
    assert figure.legends[0].get_patches()[0].get_facecolor()[:3] == tuple(
        int(COLOURS[0][place : place + 2], 16) / 255 for place in (1, 3, 5)
    )
