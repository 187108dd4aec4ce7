"""`recon.methods()`: the presets explain themselves, and the package of methods stays one."""

from __future__ import annotations

import recon
from recon.methods import METHODS, Ridge


def test_the_presets_are_listed_with_family_sentence_sight_and_cost() -> None:
    found = recon.methods()
    assert len(found) > 20 and set(found) >= {"ridge", "map_spectrum", "refined"}
    shown, page = repr(found), found._repr_html_()
    for one in (found["ridge"], found["refined"]):
        assert all(text in shown for text in (one.name, one.family, one.about, one.seen, one.cost))
        assert f"<td style='text-align:left'>{one.name}</td>" in page
    assert METHODS["ridge"] is Ridge is recon.methods.Ridge
