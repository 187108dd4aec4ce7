"""Configuration: strictness, presets, overrides, and the messages that say what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Tag

from recon import config
from recon.config.registry import Registry
from recon.encoders.base import Encoder
from recon.errors import InputError
from recon.methods import Mean
from recon.methods.base import Method


@dataclass(frozen=True)
class Stop:
    """When to stop."""

    patience: int = 3


@dataclass(frozen=True)
class Swift:
    """One way to step."""

    rate: float = 1.0


@dataclass(frozen=True)
class Careful:
    """Another way to step."""

    rate: float = 1.0
    memory: int = 8


@dataclass(frozen=True)
class Walk:
    """A method with every kind of field."""

    iterations: int = 3
    rate: float = 1.0
    mode: Literal["a", "b"] = "a"
    energies: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    stepper: Annotated[Swift, Tag("swift")] | Annotated[Careful, Tag("careful")] = field(default_factory=Swift)
    start: Method | None = None
    parts: tuple[Method, ...] = ()
    named: Mapping[str, Method] = field(default_factory=dict)
    stop: Stop | None = None
    place: Path | None = None

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise InputError(f"iterations: expected at least 1, got {self.iterations}; raise it")


def make_encoder(weights: str, *, scale: float = 1.0) -> tuple[str, float]:
    """An encoder by a function."""
    return weights, scale


@pytest.fixture(autouse=True)
def small_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"method": Registry({"walk": Walk}, "", Method), "encoder": Registry({"file": make_encoder}, "", Encoder)}
    monkeypatch.setattr(config, "registries", lambda: known)


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"name": "walk"}, Walk()),
        ({"name": "walk", "rate": 2}, Walk(rate=2.0)),
        ({"name": "walk", "energies": {"tv": [1, 0.5]}}, Walk(energies={"tv": (1.0, 0.5)})),
        ({"name": "walk", "stepper": {"name": "careful", "memory": 2}}, Walk(stepper=Careful(memory=2))),
        ({"name": "walk", "start": {"name": "walk", "rate": 3.5}}, Walk(start=Walk(rate=3.5))),
        ({"name": "walk", "parts": [{"name": "walk", "mode": "b"}]}, Walk(parts=(Walk(mode="b"),))),
        ({"name": "walk", "named": {"x": {"name": "walk"}}}, Walk(named={"x": Walk()})),
        ({"name": "walk", "stop": {"patience": 9}, "place": "a/b"}, Walk(stop=Stop(9), place=Path("a/b"))),
        ({"name": "walk", "stop": None}, Walk()),
    ],
)
def test_a_mapping_becomes_what_it_says(tree: dict[str, Any], expected: Walk) -> None:
    built = config.build("method", tree)
    assert built == expected
    assert isinstance(built.rate, float)


@pytest.mark.parametrize(
    ("tree", "parts"),
    [
        ({"name": "wolk"}, ["method.name", "'wolk'", "did you mean 'walk'"]),
        ({}, ["method", "expected a mapping with a `name`", "walk"]),
        ("walk", ["expected a mapping with a `name`", "'walk'"]),
        ({"name": "walk", "presett": "x"}, ["'presett'", "did you mean 'preset'"]),
        ({"name": "walk", "iteration": 3}, ["'iteration'", "did you mean 'iterations'", "correct or remove"]),
        ({"name": "walk", "iterations": "3"}, ["method.iterations", "expected integer", "'3'"]),
        ({"name": "walk", "iterations": 3.0}, ["method.iterations", "expected integer", "3.0"]),
        ({"name": "walk", "iterations": True}, ["method.iterations", "expected integer"]),
        ({"name": "walk", "rate": "fast"}, ["method.rate", "expected number", "'fast'"]),
        ({"name": "walk", "mode": "c"}, ["method.mode", "'a' or 'b'", "'c'"]),
        ({"name": "walk", "energies": {"tv": ["x"]}}, ["method.energies.tv[0]", "expected number"]),
        ({"name": "walk", "stepper": {"name": "hasty"}}, ["method.stepper.name", "swift, careful", "'hasty'"]),
        ({"name": "walk", "stepper": {"name": "swift", "memory": 2}}, ["method.stepper", "rate", "'memory'"]),
        ({"name": "walk", "start": {"name": "walk", "rate": None}}, ["method.start.rate", "None"]),
        ({"name": "walk", "parts": [{"name": "walk"}, {"name": "w"}]}, ["method.parts[1].name", "'w'"]),
        ({"name": "walk", "stop": {"patients": 1}}, ["method.stop", "did you mean 'patience'"]),
        ({"name": "walk", "stop": 3}, ["method.stop", "3"]),
        ({"name": "walk", "iterations": 0}, ["method: iterations: expected at least 1"]),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tree: Any, parts: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        config.build("method", tree)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_python_objects_are_taken_where_names_are() -> None:
    """In a field of a method, of tagged records and of a record; what is no such object is refused with its place."""
    parts = {"start": Mean(), "parts": [Mean()], "stepper": Careful(memory=2), "stop": Stop(9)}
    built = config.build("method", {"name": "walk", **parts})
    assert built == Walk(start=Mean(), parts=(Mean(),), stepper=Careful(memory=2), stop=Stop(9))
    for key, other in (("start", Stop(9)), ("stepper", Mean()), ("stop", Mean())):
        with pytest.raises(InputError, match=rf"^method\.{key}: expected a (mapping|name)"):
            config.build("method", {"name": "walk", key: other})


def test_a_function_is_called_with_checked_arguments() -> None:
    assert config.build("encoder", {"name": "file", "weights": "w", "scale": 2}) == ("w", 2.0)
    with pytest.raises(ValueError, match="expected the key 'weights', got nothing; add it"):
        config.build("encoder", {"name": "file"})


def write(folder: Path, text: str, name: str = "bench.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_overrides_and_interpolations_are_resolved(tmp_path: Path) -> None:
    path = write(tmp_path, "a: {b: 1, c: [1, 2]}\nd: ${a.b}\nrows: [{x: 1}, {x: 2}]\n")
    tree = config.load(path, ["a.b=1e-3", "a.c=[3]", "rows[1].x=null", "e.f={g: true}"])
    assert tree == {"a": {"b": 1e-3, "c": [3]}, "d": 1e-3, "rows": [{"x": 1}, {"x": None}], "e": {"f": {"g": True}}}


def test_a_preset_is_read_beside_the_file_and_then_overridden(tmp_path: Path) -> None:
    write(tmp_path, "name: walk\nrate: 2\nstart: {preset: other}\n", "methods/mine.yaml")
    write(tmp_path, "name: walk\nmode: b\n", "methods/other.yaml")
    path = write(tmp_path, "rows: [{method: {preset: mine, rate: 5}}]\n")
    (row,) = config.load(path)["rows"]
    assert row == {"method": {"name": "walk", "rate": 5, "start": {"name": "walk", "mode": "b"}}}


def test_a_shipped_preset_is_found_from_anywhere(tmp_path: Path) -> None:
    path = write(tmp_path, "method: {preset: map_spectrum, iterations: 7}\n")
    method = config.load(path)["method"]
    assert method["name"] == "gradient" and method["iterations"] == 7


@pytest.mark.parametrize(
    ("text", "overrides", "part"),
    [
        ("a: [1\n", [], "expected valid YAML"),
        ("a: ${nowhere}\n", [], "nowhere"),
        ("- 1\n", [], "expected `key: value` lines"),
        ("a: 1\n", ["a"], "expected section.key=value, got 'a'"),
        ("a: {preset: map_spektrum}\n", [], "did you mean 'map_spectrum'"),
    ],
)
def test_an_unreadable_file_is_refused(tmp_path: Path, text: str, overrides: list[str], part: str) -> None:
    with pytest.raises(ValueError) as caught:
        config.load(write(tmp_path, text), overrides)
    assert part in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a YAML file, got"):
        config.load(tmp_path / "nothing.yaml")


def test_the_listing_gives_first_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [entry for entry in config.listing() if entry[0] != "metric"] == [
        ("method", "walk", "A method with every kind of field."),
        ("encoder", "file", "An encoder by a function."),
    ]
