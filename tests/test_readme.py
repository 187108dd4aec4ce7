"""README keeps its word: files that it names exist, commands that it shows are known."""

import re
import shlex
from pathlib import Path

import pytest

from recon.cli import parser

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```\n(.*?)```", TEXT, re.S)
SHOWN = [line.strip() for block in BLOCKS for line in block.splitlines()]
COMMANDS = sorted({line for line in SHOWN if line.startswith(("recon ", "make "))})
COMMANDS += sorted(set(re.findall(r"`((?:recon|make) [a-z][^`…]*)`", TEXT)))


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_is_known(command: str) -> None:
    program, *words = shlex.split(command)
    if program == "make":
        rules = re.findall(r"^([a-z_]+):", (ROOT / "Makefile").read_text(), re.M)
        assert set(words) <= set(rules)
    elif not {"CONFIG", "RUN", "FOLDER"} & set(words) and "--help" not in words:
        assert parser().parse_args(words).command


LINKS = re.findall(r"\]\(([\w/.-]+\.\w+)\)", TEXT)
FILES = re.findall(r"`((?:configs|recon|encoders|notebooks)/[\w/.-]+\.\w+)`", TEXT)


@pytest.mark.parametrize("name", sorted({*LINKS, *FILES}))
def test_a_file_that_is_named_exists(name: str) -> None:
    assert (ROOT / name).exists() or name == "configs/mine.yaml"


def test_nothing_is_left_to_fill_in() -> None:
    assert "@@" not in TEXT
