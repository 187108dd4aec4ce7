"""Fixtures that several test files of data share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from worlds.web_server import Site, serving


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server on loopback of one file; no proxy of the machine comes between a test and it."""
    from worlds.downloads import NOISE

    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with serving(Site(NOISE)) as served:
        yield served
