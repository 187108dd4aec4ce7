"""README and the pages of docs/ as texts, with their code blocks and commands."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = "README.md"
SKIPPED = {"_build", "generated", "notebooks"}
FOUND = [ROOT / README, *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {
    page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8")
    for page in FOUND
    if not SKIPPED & set(page.relative_to(ROOT).parts)
}
"""Texts by path from the root; generated pages and notebooks are not among them."""


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.S | re.M)


def lines(text: str) -> list[str]:
    """The commands of a page's shell blocks."""
    return [line.strip() for block in blocks(text, "sh") for line in block.splitlines() if line.strip()]
