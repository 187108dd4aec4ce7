"""Values as a person writes them: names stay text, numbers are numbers, paths reach the product as they are typed."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from recon import cli, config
from recon.commands.parser import parser
from recon.commands.usage import parsers_of
from recon.config.tree import overridden
from recon.errors import InputError
from recon.files.paths import named_part, user_path
from recon.files.plain_yaml import parse, read_plain

NAMES = ("no", "off", "yes", "on", "y", "n", "No", "010", "007", "1:30", "1:30:00", "2023-01-01", "1_000", "2023_01_05")
"""What YAML 1.1 takes for truth values, octals, sexagesimals, dates and numbers with underscores."""
PLACES = (
    "mice/mouse #3",
    "C:/mice/mouse",
    "mice/a: b",
    "a=b/c={d}",
    "mice/[old]/{x}, y",
    'mice/it\'s "quoted"',
    " mice/spaced ",
    "mice/$HOME/$5",
    "Mäuse/鼠",
    "- mouse",
    "*mouse",
    "!mouse",
    "&mouse",
    "%mouse",
    "@mouse",
    "|",
    "?",
    "mouse:",
)


@dataclass(frozen=True)
class Taken:
    place: Path = Path()
    name: str = ""
    shown: bool = True
    perhaps: bool | None = None
    rate: float = 0.0


def factory(silent=False, name="x"):  # type: ignore[no-untyped-def]
    return silent, name


@pytest.mark.parametrize("place", PLACES)
def test_a_path_reaches_the_product_as_it_is_typed(place: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("place: other\n")
    assert config.load(tmp_path / "c.yaml", [f"place={place}"]) == {"place": place}
    assert config.record(Taken, overridden({}, [f"place={place}"]), where="x").place == Path(place)


@pytest.mark.parametrize("text", ["[old] mouse", "{x} mouse", "'mouse", '"mouse" 3'])
def test_a_path_that_begins_as_a_list_is_quoted(text: str) -> None:
    with pytest.raises(InputError, match=r"in YAML after place=.*is quoted twice: 'place=\"\[old\] mouse\"'"):
        overridden({}, [f"place={text}"])
    assert overridden({}, [f"place={json.dumps(text)}"]) == {"place": text}


def test_a_run_is_where_the_command_line_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("run: runs/x\nrecording: other\n")
    given = [f"recording={tmp_path}/mouse #3", f"run={tmp_path}/a: b"]
    assert cli.main(["benchmark", str(tmp_path / "c.yaml"), *given, "--print-config"]) == 0
    (tmp_path / "again.yaml").write_text(capsys.readouterr().out)
    assert config.load(tmp_path / "again.yaml") == {"run": f"{tmp_path}/a: b", "recording": f"{tmp_path}/mouse #3"}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stays_text_in_files_and_on_the_command_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(f"name: {name}\nlisted: [{name}]\n{name}: key\n")
    expected = {"name": name, "listed": [name], name: "key"}
    assert config.load(tmp_path / "c.yaml") == expected
    assert overridden({}, [f"name={name}", f"listed=[{name}]"]) == {"name": name, "listed": [name]}
    (tmp_path / "again.yaml").write_text(_saved(expected))
    assert config.load(tmp_path / "again.yaml") == expected, "a run's own configuration says the same"


def _saved(tree: dict[str, Any]) -> str:
    from recon.study.outputs import to_yaml

    return to_yaml(tree).decode()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-05", 1e-5),
        ("1e5", 1e5),
        (".5e-3", 5e-4),
        ("-.5", -0.5),
        ("+1.", 1.0),
        ("1E3", 1000.0),
        ("0.1", 0.1),
        ("-0", 0),
        ("12", 12),
        ("0x1F", 31),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_numbers_truth_values_and_nothing_are_read_alike_everywhere(text: str, value: object) -> None:
    found = [parse(f"x: {text}")["x"], parse(f"[[{text}]]")[0][0] if text else None, overridden({}, [f"x={text}"])["x"]]
    assert found == [value] * 3 and {type(one) for one in found} == {type(value)}
    if text not in ("", "~", "+1.", "-.5", ".5e-3", "0x1F", "False"):
        assert json.loads(text) == value


@pytest.mark.parametrize(("word", "value"), [("no", False), ("OFF", False), ("n", False), ("Yes", True), ("on", True)])
def test_where_a_truth_value_is_expected_its_words_are_read(word: str, value: bool) -> None:
    tree = overridden({}, [f"shown={word}", f"perhaps={word}", f"name={word}"])
    taken = config.record(Taken, tree, where="x")
    assert (taken.shown, taken.perhaps, taken.name) == (value, value, word)
    assert config.call(factory, {"silent": word, "name": word}, where="x") == (value, word)
    with pytest.raises(InputError, match=r"x\.shown: expected boolean, got 'maybe'"):
        config.record(Taken, {"shown": "maybe"}, where="x")


def test_the_home_folder_is_meant_by_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config.record(Taken, {"place": "~/mice"}, where="x").place == tmp_path / "mice"
    assert user_path("~/mice") == tmp_path / "mice" and user_path("a/~") == Path("a/~")
    assert user_path("~$session.mat") == Path("~$session.mat"), "a file, and no user of that name"
    (tmp_path / "mine.yaml").write_text("a: 1\n")
    assert config.load("~/mine.yaml") == {"a": 1}
    taken = [action for one in parsers_of(parser()) for action in one._actions if action.metavar != "NAME"]
    assert not [action.dest for action in taken if action.type is Path], "every path of a command expands it"
    options = parser().parse_args(["data", "check", "~/mouse"])
    assert isinstance(options, argparse.Namespace) and options.folder == tmp_path / "mouse"


def test_a_part_of_a_file_may_lie_below_a_folder_with_a_colon(tmp_path: Path) -> None:
    folder = tmp_path / "day 1: mouse"
    folder.mkdir()
    (folder / "all.npz").touch()
    assert named_part(folder / "all.npz") == (folder / "all.npz", "")
    assert named_part(f"{folder / 'all.npz'}:spikes") == (folder / "all.npz", "spikes")
    assert named_part("absent.npz:spikes") == (Path("absent.npz"), "spikes")


def test_json_is_read_as_json_and_aliases_do_not_multiply(tmp_path: Path) -> None:
    entries = {f"{number:05d}": {"modality": "image", "num_frames": 1, "tier": "no"} for number in range(15_000)}
    (tmp_path / "combined_meta.json").write_text(json.dumps(entries))
    began = time.process_time()
    assert read_plain(tmp_path / "combined_meta.json") == entries
    assert time.process_time() - began < 1, "through PyYAML it takes 20 s"
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for before, name in zip("abcdefg", "bcdefgh", strict=True):
        bomb += f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for text in (bomb, "a: &a [*a]", "a: 1\na: 2"):
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(InputError, match="expected valid YAML"):
            config.load(tmp_path / "c.yaml")
    merged = "base: &base {a: 1, b: 2}\nmore: &more {<<: *base, b: 3}\nlast: {<<: *more, c: 4}\n"
    assert parse(merged)["last"] == {"a": 1, "b": 3, "c": 4}
