"""README keeps its word: files that it names exist, commands that it shows are known."""

import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from worlds import formats as worlds
from worlds import formats_nwb

from recon.cli import main
from recon.commands.parser import parser
from recon.data.formats import FORMATS
from recon.data.sensorium import SensoriumRecording
from recon.simulate.recording import simulate
from recon.simulate.settings import TINY

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```\n(.*?)```", TEXT, re.S)
SHOWN = [line.strip() for block in BLOCKS for line in block.splitlines()]
COMMANDS = sorted({line for line in SHOWN if line.startswith(("recon ", "make "))})
COMMANDS += sorted(set(re.findall(r"`((?:recon|make) [a-z][^`…]*)`", TEXT)))


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_is_known(command: str) -> None:
    program, *words = shlex.split(command)
    if program == "make":
        rules = re.findall(r"^([a-z_-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert {word for word in words if "=" not in word} <= set(rules)
    elif not {"CONFIG", "RUN", "FOLDER"} & set(words) and "--help" not in words:
        assert parser().parse_args(words).command


LINKS = re.findall(r"\]\(([\w/.-]+\.\w+)\)", TEXT)
FILES = re.findall(r"`((?:configs|recon|encoders|notebooks)/[\w/.-]+\.\w+)`", TEXT)


@pytest.mark.parametrize("name", sorted({*LINKS, *FILES}))
def test_a_file_that_is_named_exists(name: str) -> None:
    assert (ROOT / name).exists() or name == "configs/mine.yaml"


def test_nothing_is_left_to_fill_in() -> None:
    assert "@@" not in TEXT


OWN = TEXT[TEXT.index("## Use your own data") : TEXT.index("A mapping says where things are:")]
LINES = [line for line in OWN.split("```")[1].splitlines() if line]
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


def test_the_lines_from_plain_arrays_to_a_reconstruction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_files(tmp_path, "movie.npy")
    monkeypatch.chdir(tmp_path)
    demo = (ROOT / "configs/demo.yaml").read_text(encoding="utf-8")
    mine = yaml.safe_load(demo) | {"recording": "recordings/mine", "judge": None, "run": "runs/mine"}
    mine.pop("simulate", None)
    mine |= {"rows": [{"label": "ridge", "method": {"preset": "ridge"}}], "clips": {"count": 1}}
    mine |= {"encoders": {"own": {"name": "core_readout", "weights": "weights/mine.safetensors"}}}
    Path("configs").mkdir()
    Path("configs/mine.yaml").write_text(yaml.safe_dump(mine))
    shutil.copytree(ROOT / "configs/train", "configs/train")
    short = ["training.steps=2", "training.validate_every=2", "training.frames=20", "training.batch=2"]
    for line in LINES:
        assert main(shlex.split(line)[1:] + (short if " train " in line else [])) == 0, line
    assert Path("runs/mine/report.html").exists()
