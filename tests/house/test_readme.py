"""README and the pages of docs/ keep their word: files that they name exist, commands that they show are known."""

import argparse
import ast
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import yaml
from worlds import formats as worlds
from worlds import formats_nwb
from worlds.pages import README, ROOT, TEXTS, blocks, lines

from recon.cli import main
from recon.commands.parser import parser
from recon.data.formats import FORMATS
from recon.data.sensorium import SensoriumRecording
from recon.simulate.recording import simulate
from recon.simulate.settings import TINY

TEXT = "\n".join(TEXTS.values())
PROGRAMS = ("recon", "make", "pip", "pytest", "python", "tensorboard")
FILL_IN = {"CONFIG", "RUN", "FOLDER", "COMMAND", "FILE.zip"}
"""Words that stand for something of the reader's."""


COMMANDS = sorted({line for text in TEXTS.values() for line in lines(text)})
COMMANDS += sorted(set(re.findall(r"`((?:recon|make) [a-z][^`…]*)`", TEXT)))


def names(parent: argparse.ArgumentParser) -> set[str]:
    """The full names of all commands and verbs below a parser."""
    children = [action.choices for action in parent._actions if isinstance(action, argparse._SubParsersAction)]
    below = [child for choices in children for child in choices.values()]
    return {child.prog for child in below}.union(*map(names, below))


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_is_known(command: str) -> None:
    program, *words = shlex.split(command)
    assert program in PROGRAMS
    if program == "make":
        rules = re.findall(r"^([a-z_-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert {word for word in words if "=" not in word} <= set(rules)
    elif program == "recon" and not FILL_IN & set(words) and "--help" not in words and command not in names(parser()):
        options, overrides = parser().parse_known_args(words)
        assert options.command and all("=" in word for word in overrides)


def test_readme_is_short() -> None:
    text = TEXTS[README]
    assert len(text.splitlines()) <= 200 and len(text.split()) <= 1500


def test_readme_shows_ten_lines_of_python() -> None:
    (block,) = blocks(TEXTS[README], "python")
    shown = [line for line in block.splitlines() if line]
    assert len(ast.parse(block).body) == len(shown) == 10


FILES = re.findall(r"`((?:configs|recon|encoders|notebooks|tests|docs)/[\w/.-]+\.\w+)`", TEXT)
LINKS = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXTS[README])
WRITTEN = {"configs/mine.yaml", "configs/methods/NAME.yaml", "docs/_build/html/index.html"}


@pytest.mark.parametrize("name", sorted({*LINKS, *FILES}))
def test_a_file_that_is_named_exists(name: str) -> None:
    assert (ROOT / name).exists() or name in WRITTEN


def test_links_to_other_sites_are_well_formed() -> None:
    for link in re.findall(r"\]\((https?:[^)]*)\)", TEXT):
        parts = urlsplit(link)
        assert parts.scheme == "https" and re.fullmatch(r"[a-z0-9.-]+\.[a-z]{2,}", parts.netloc), link


def test_nothing_is_left_to_fill_in() -> None:
    assert "@@" not in TEXT


@pytest.mark.parametrize("name", TEXTS)
def test_a_table_has_equal_rows(name: str) -> None:
    """A row of another length loses or invents a number where it is drawn."""
    for table in re.findall(r"(?:^\|.*\|\n)+", TEXTS[name], re.M):
        cells = {len(re.split(r"(?<!\\)\|", re.sub(r"`[^`]*`", "code", row))) for row in table.splitlines()}
        assert len(cells) == 1, table.splitlines()[0]


OWN = TEXTS["docs/how-to/own_data.md"]
RECIPE = TEXTS[README][TEXTS[README].index("## Your own data") :]
LINES = lines(RECIPE[: RECIPE.index("\n## ", 1)])
ROWS = re.findall(r"^\| (?!format)(.+?) \| `(recon [^`]+)` \|$", OWN, re.M)


def own_files(folder: Path, name: str) -> None:
    """Write the file that a line about a format names."""
    films = [worlds.film(4, rate=30.0, start=1 + 6 * k, seed=10 + k) for k in range(9)]
    if name == "movie.npy":
        recording = SensoriumRecording(simulate(folder / "source", replace(TINY, frame_size=(18, 32)), progress=False))
        trials = [recording.trial(index) for tier in ("train", "oracle") for index in recording.trials(tier)]
        np.save(folder / name, np.concatenate([trial.movie[0].numpy() for trial in trials]) * 255)
        np.save(folder / "responses.npy", np.concatenate([trial.responses.numpy() for trial in trials], 1))
    elif name.endswith(".zip"):
        worlds.write_mouse(folder / "zipped/dynamic29515-10-12", films[:3])
        shutil.make_archive(str(folder / name.removesuffix(".zip")), "zip", folder / "zipped")
    elif name == "static21067-10-18":
        worlds.write_stills(folder / name, images=20)
    elif name == "train_digital_twin":
        worlds.write_twin(folder / name, films)
    elif name == "510859641.nwb":
        formats_nwb.write_allen(folder / name, seconds=32.0)
    elif name.startswith("session_"):
        formats_nwb.write_neuropixels(folder / name, seconds=32.0)
    elif name.endswith(".nwb"):
        formats_nwb.write_microns(folder / name, films)
        mapping = {"responses": ["processing/ophys/Fluorescence/*"], "movie": worlds.VIDEO}
        mapping |= {"intervals": ["intervals/Clip"], "content": "condition_hash", "activity": "relative"}
        (folder / "mapping.yaml").write_text(yaml.safe_dump(mapping))
    else:
        worlds.write_experanto(folder / name, films)


@pytest.mark.parametrize("line", [line for _, line in ROWS], ids=[about for about, _ in ROWS])
def test_the_line_of_a_format_makes_a_recording(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, verb, source, *more = shlex.split(line)
    own_files(tmp_path, source)
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(line)[1:]) == 0
    assert main(["data", "check", more[0] if verb == "convert" else source]) == 0


def test_every_format_has_its_line_and_they_are_few() -> None:
    assert len(ROWS) >= len(FORMATS) + 3  # Sensorium 2023 is read as it is, three kinds of NWB 2 are one format
    assert len(LINES) <= 5


@pytest.mark.slow  # the recipe itself runs in tests/slow/test_own_data.py
def test_the_lines_from_plain_arrays_to_a_reconstruction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_files(tmp_path, "movie.npy")
    monkeypatch.chdir(tmp_path)
    short = {
        "train": ["training.steps=2", "training.validate_every=2", "training.frames=20", "training.batch=2"],
        "benchmark": ["rows[2].method.iterations=2"],
    }
    for line in LINES:
        _, command, *words = shlex.split(line)
        assert main([command, *words, *short.get(command, [])]) == 0, line
    assert Path("runs/mine/report.html").exists()


def test_the_guide_shows_the_same_lines() -> None:
    assert lines(OWN)[: len(LINES)] == LINES
