"""The benchmarks' own parts: the page that is rewritten, sizes by words, FLOPs and bytes of known operations."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

FOLDER = Path(__file__).parents[1] / "benchmarks"
pages: Any = importlib.import_module("pages")
sizes: Any = importlib.import_module("sizes")
accounts: Any = importlib.import_module("accounts")
PAGE = FOLDER.parents[1] / "BENCHMARKS.md"


def test_tables_are_rewritten_and_text_by_hand_is_kept(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    markers = "<!-- machine -->\n<!-- /machine -->\nkept\n<!-- a -->old<!-- /a -->\n<!-- b -->b<!-- /b -->"
    page.write_text(f"# By hand\n{markers}")
    rows = [{"loop": "ours", "s": 1.5}, {"loop": "plain", "s": "not measured"}]
    for _ in range(2):
        pages.update(page, page, {"a": rows}, "make bench")
    text = page.read_text()
    assert text.startswith("# By hand\n") and "\nkept\n" in text and "old" not in text and text.count("| ours |") == 1
    assert "| loop | s |\n| --- | --- |\n| ours | 1.5 |\n| plain | not measured |" in text
    assert "`make bench`, " in text and "<!-- b -->b<!-- /b -->" in text, "what was not measured stays"


def test_a_page_without_its_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one pair of markers"):
        pages.rewritten("nothing", {"a": "new"})


def test_no_gpu_is_said_and_no_computer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = pages.machine()
    assert "not measured" in found["GPU"] and found["device"] == "CPU"
    assert not {"host", "node", "name"} & set(found)


def test_the_page_has_markers_for_every_table() -> None:
    reported = {name for file in FOLDER.glob("bench_*.py") for name in re.findall(r'report\("(\w+)"', file.read_text())}
    reported |= {"clips", "members", "neurons", "machine"}
    text = PAGE.read_text()
    assert {name for name in reported if f"<!-- {name} -->" in text and f"<!-- /{name} -->" in text} == reported


def test_sizes_by_words() -> None:
    assert sizes.sizes_of("quick").quick and sizes.sizes_of("full iterations=3 frames=64 ").iterations == 3
    for wrong in ("slow", "full iterations=x", "full lengths=3"):
        with pytest.raises(ValueError, match="RECON_BENCH: expected"):
            sizes.sizes_of(wrong)


def test_flops_and_bytes_of_known_operations() -> None:
    x, weight = torch.rand(2, 8, 10, 10), torch.rand(8, 1, 3, 3)
    found = accounts.booked(lambda: functional.conv2d(x, weight, padding=1, groups=8)).kinds["depthwise layers"]
    assert found.flops == 2 * 9 * x.numel() and found.bytes == 4 * (2 * x.numel() + weight.numel())
    found = accounts.booked(lambda: torch.rand(3, 4).T @ torch.rand(3, 5))
    assert found.kinds["products"].flops == 2 * 3 * 4 * 5 and found.kinds["products"].bytes == 4 * (12 + 15 + 20)
