"""Metadata of a recording: damage in any of its files is one line that names the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worlds.published import edit

from recon.data.check import check
from recon.data.duplicates.groups import trial_groups
from recon.data.open import open_recording
from recon.errors import InputError

Published = Callable[..., Path]


@pytest.mark.parametrize(
    "entries",
    [
        [],
        3,
        {"acquisition": 3},
        {"acquisition": {"rate": 8.0}},
        {"acquisition": {"rate": 0.0, "phase": [0.0]}},
        {"acquisition": {"rate": 8.0, "phase": []}},
        {"acquisition": {"rate": 8.0, "phase": ["a"]}},
        {"frame_rate": "thirty"},
        {"frame_rate": 0},
        {"frame_rate": -30.0},
        {"frame_rate": float("nan")},
        {"frame_rate": 1e300},
        {"frame_rate": [30.0]},
        {"degrees_per_pixel": 0},
        {"degrees_per_pixel": "wide"},
        {"degrees_per_pixel": float("inf")},
        {"made_by": 3},
        {"name": ["a"]},
    ],
    ids=str,
)
def test_a_damaged_header_is_named(published: Published, entries: Any) -> None:
    root = published()
    (root / "meta/recording.json").write_text(json.dumps(entries))
    with pytest.raises(InputError, match=r"meta/recording\.json.*expected .*got"):
        open_recording(root)


@pytest.mark.parametrize("text", [b"{", b"\xff\xfe", b"[" * 10_000, b"1" * 5000], ids=lambda text: text[:4])
def test_a_header_that_is_no_json_is_named(published: Published, text: bytes) -> None:
    root = published()
    (root / "meta/recording.json").write_bytes(text)
    with pytest.raises(InputError, match=r"meta/recording\.json: expected"):
        open_recording(root)


@pytest.mark.parametrize("plane", [[0, 0, 0, 0, 0, 0, 2], [-1] * 7, [0.5] * 7], ids=str)
def test_planes_without_a_phase_are_named(published: Published, plane: list[float]) -> None:
    root = published()
    (root / "meta/recording.json").write_text(json.dumps({"acquisition": {"rate": 8.0, "phase": [0.0, 0.05]}}))
    np.save(root / "meta/neurons/plane.npy", np.array(plane))
    with pytest.raises(InputError, match=r"plane\.npy: expected one of the 2 planes"):
        open_recording(root)


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{",
        "3",
        '{"trial": 1.5}',
        '{"trial": "one"}',
        "{}",
        '{"trial": 0, "scenes": 3}',
        '{"trial": 0, "scenes": [3]}',
        '{"trial": 0, "captions": "a cat"}',
        '{"trial": 0, "scenes": [{"first": 9, "end": 3, "captions": ["a"]}]}',
        '{"trial": 0, "scenes": [{"first": "0", "end": 3, "captions": ["a"]}]}',
        "[" * 10_000,
    ],
    ids=lambda line: line[:40],
)
def test_a_damaged_caption_names_file_and_line(published: Published, line: str) -> None:
    root = published()
    (root / "meta/trials/captions.jsonl").write_text('{"trial": 0, "captions": ["a dog"]}\n\n' + line + "\n")
    with pytest.raises(InputError, match=r"captions\.jsonl, line 3.*expected .*got"):
        open_recording(root).captions(0)


def test_a_caption_may_hold_any_separator(published: Published) -> None:
    root = published()
    line = json.dumps({"trial": 0, "captions": ["a\u2028dog"]}, ensure_ascii=False)
    (root / "meta/trials/captions.jsonl").write_text(line + "\n", encoding="utf-8")
    assert open_recording(root).captions(0) == ("a\u2028dog",)


@pytest.mark.parametrize(
    ("file", "array"),
    [
        ("neurons/unit_ids", np.arange(7.0) + 0.5),
        ("neurons/unit_ids", np.arange(14).reshape(7, 2)),
        ("neurons/unit_ids", np.array([1, 2, 3, 3, 4, 5, 6])),
        ("neurons/unit_ids", np.array([], dtype=int)),
        ("neurons/unit_ids", np.array(7)),
        ("neurons/cell_motor_coordinates", np.array(["a"] * 7)),
        ("neurons/cell_motor_coordinates", np.zeros((7, 2))),
        ("trials/tiers", np.zeros(3)),
        ("trials/tiers", np.array([["train"], ["train"]])),
        ("trials/tiers", np.array("train")),
        ("trials/video_ids", np.array("train")),
    ],
    ids=lambda part: part if isinstance(part, str) else f"{part.dtype} {part.shape}",
)
def test_arrays_of_another_kind_are_named(published: Published, file: str, array: np.ndarray[Any, Any]) -> None:
    root = published()
    np.save(root / f"meta/{file}.npy", array)
    with pytest.raises(InputError, match=rf"{file}\.npy: expected .*got"):
        open_recording(root)


@pytest.mark.parametrize("text", ["[]", "{", '{"groups": 3}', '{"groups": ["a"]}'])
def test_damaged_content_groups_are_named(published: Published, text: str) -> None:
    root = published()
    (root / "meta/trials/content_groups.json").write_text(text)
    with pytest.raises(InputError, match=r"content_groups\.json: expected"):
        trial_groups(open_recording(root))


@pytest.mark.parametrize("variable", ["videos", "responses", "behavior", "pupil_center"])
def test_values_that_no_instrument_gives_are_named(published: Published, variable: str) -> None:
    root = published()
    edit(root, variable, 0, lambda array: np.where(array == np.nanmax(array), 1e30, array))
    recording = open_recording(root)
    with pytest.raises(InputError, match=rf"{variable}/0\.npy: expected values within ±1e\+06, got 1e\+30"):
        recording.trial(0)
    report = check(recording)
    assert not report.ok and any("1e+30" in finding.text for finding in report.findings)


def test_a_check_reads_what_nothing_else_has_asked_for(published: Published) -> None:
    root = published()
    (root / "meta/trials/captions.jsonl").write_text("[]\n")
    np.save(root / "meta/neurons/area.npy", np.zeros(7))
    statistics = root / "meta/statistics/responses/all"
    statistics.mkdir(parents=True, exist_ok=True)
    np.save(statistics / "std.npy", np.zeros((5, 300)))
    texts = [finding.text for finding in check(open_recording(root)).findings if finding.level == "error"]
    for file in ("captions.jsonl, line 1", "area.npy", "responses/all/std.npy"):
        assert any(file in text for text in texts), file
