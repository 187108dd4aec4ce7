"""Labels as folders: different labels never share one, and any label can be one."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from recon.errors import InputError
from recon.run.watch import LONGEST, folder_name
from recon.study.search import Searches

LABELS = (
    "a/b", "a-b", "a:b", "a//b", "a\\b", "a", " a", "a.", ".a", "", ".", "..", "row", "-", "a\nb", "x" * 300, "x" * 301,
    "x" * LONGEST, "ü" * 200, "ü" * 201, "é", unicodedata.normalize("NFD", "é"), "\ud800", "\ud801", "a\0b",
)  # fmt: skip


def test_different_labels_have_different_folders_that_can_be_made(tmp_path: Path) -> None:
    labels = {*LABELS, *map(folder_name, LABELS)}
    names = {label: folder_name(label) for label in labels}
    assert len(set(names.values())) == len(labels)
    for name in names.values():
        (tmp_path / name).mkdir()
        assert (tmp_path / name).parent == tmp_path and len(name.encode()) <= LONGEST + 9
    assert len(list(tmp_path.iterdir())) == len(labels)


def test_a_label_that_can_be_a_name_is_one() -> None:
    for label in ("ridge", "bauer 2025, σ 3", "MAP (spectrum)", "ü" * (LONGEST // 2)):
        assert folder_name(label) == label


@pytest.mark.parametrize("name", ["../up", "a/b", "", "x" * 300])
def test_the_name_of_a_search_is_the_name_of_its_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"searches\.of: expected names of files"):
        Searches(tmp_path, {name: {"row": {}}}, budget=1)
