"""`recon data fetch` from a server that sends more than expected: nothing beyond is written, and nothing is kept."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from worlds.downloads import HOME, NOISE, PART, fails, item, seen
from worlds.web_server import Site

from recon import cli
from recon.data.public.catalogue import PublicFile
from recon.data.public.fetch import fetch_public

PUBLISHED = 1000
FLOOD = bytes(60_000_000)


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the partial files that were removed: all that was written of them."""
    sizes: list[int] = []
    unlink = Path.unlink

    def measured(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".partial" and path.exists():
            sizes.append(path.stat().st_size)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", measured)
    return sizes


def flood(site: Site, way: str) -> None:
    site.content = gzip.compress(FLOOD) if "gzip" in way else FLOOD
    site.encoding = "gzip" if "gzip" in way else ""
    site.chunked, site.length = "chunked" in way, False


@pytest.mark.parametrize("way", ["chunked", "until the end", "gzip", "chunked gzip"])
def test_no_byte_beyond_the_published_size_is_written(tmp_path: Path, site: Site, removed: list[int], way: str) -> None:
    flood(site, way)
    error = fails(item(site, size=PUBLISHED), tmp_path)
    assert f"expected {PUBLISHED} bytes, got more from {site.url}; it was removed: look at {HOME}" in error
    assert removed == [PUBLISHED] and seen(tmp_path) == []
    assert site.left < 0.5 * len(FLOOD), "the server is not heard to its end"


@pytest.mark.parametrize("way", ["chunked", "until the end", "gzip", "chunked gzip"])
def test_a_download_of_unstated_size_has_a_limit(tmp_path: Path, site: Site, removed: list[int], way: str) -> None:
    flood(site, way)
    with pytest.raises(ValueError) as caught:
        fetch_public(item(site), tmp_path, accepted=True, limit=70_001)
    assert "expected at most 7.0001e-05 GB, got more" in str(caught.value) and "--at-most" in str(caught.value)
    assert removed == [70_001] and seen(tmp_path) == []
    assert fetch_public(item(site), tmp_path, accepted=True, limit=len(FLOOD)).stat().st_size == len(FLOOD)


def test_a_resumed_download_stops_at_its_size_too(tmp_path: Path, site: Site, removed: list[int]) -> None:
    """The server states the whole size with the part, and sends more."""
    site.cut = PART
    fails(item(site), tmp_path)
    note = tmp_path / "mouse.zip.partial.json"
    note.write_text(note.read_text().replace(str(len(NOISE)), str(PART + 10)))
    site.chunked, site.stated = True, PART + 10
    assert f"expected {PART + 10} bytes, got more" in fails(item(site), tmp_path)
    assert removed == [PART + 10] and seen(tmp_path) == []
    site.chunked, site.stated = False, None
    assert fetch_public(item(site), tmp_path, accepted=True).read_bytes() == NOISE


def test_exactly_the_published_size_is_taken_and_less_is_not(tmp_path: Path, site: Site) -> None:
    site.chunked = True
    assert fetch_public(item(site, size=len(NOISE)), tmp_path, accepted=True).read_bytes() == NOISE
    said = fails(item(site, size=len(NOISE) + 1), tmp_path / "other")
    assert f"expected {len(NOISE) + 1} bytes, got {len(NOISE)}" in said and "run the same command again" in said


def test_a_whole_part_of_another_size_than_published_is_not_taken(tmp_path: Path, site: Site) -> None:
    site.cut = PART
    fails(item(site), tmp_path)
    (tmp_path / "mouse.zip.partial").write_bytes(NOISE)
    assert "expected 5 bytes, got 1000000" in fails(item(site, size=5), tmp_path)


def test_the_command_raises_the_limit(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def known() -> dict[str, PublicFile]:
        return {"mouse": item(site, folder=str(tmp_path))}

    monkeypatch.setattr("recon.data.public.catalogue.public_files", known)
    monkeypatch.setattr("recon.data.public.download.LIMIT", 1000)
    site.chunked = True
    command = ["data", "fetch", "mouse", "--accept-licence"]
    for limit in ("0", "-1", "nan", "inf"):
        assert cli.main([*command, f"--at-most={limit}"]) == 2
    capsys.readouterr()
    assert not site.asked and cli.main(command) == 2
    said = capsys.readouterr().err
    assert "expected at most 1e-06 GB" in said and said.count("\n") == 1
    assert cli.main([*command, "--at-most", "0.001"]) == 0 and (tmp_path / "mouse.zip").read_bytes() == NOISE
