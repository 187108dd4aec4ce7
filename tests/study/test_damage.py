"""Damaged files of a run and damaged artefacts: found by their checksums, named, set aside and computed again."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from worlds.bench import configuration
from worlds.commands import rows_of
from worlds.damage import compared, finished_copy, flip

from recon.analysis.identification.circular_shift_null import turned_worlds
from recon.cli import main
from recon.study.benchmark import benchmark

Run = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="module")
def original(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run, with its page and its configuration."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("original")
    tree = configuration(world) | {"information": True, "clips": {"count": 2}}
    return finished_copy(tree, folder)


@pytest.fixture
def run(original: Run, tmp_path: Path) -> Run:
    """A copy of the finished run and of its artefacts."""
    shutil.copytree(original[0].parent, tmp_path / "in")
    tree = original[1] | {"run": str(tmp_path / "in/run"), "artefacts": str(tmp_path / "in/artefacts")}
    OmegaConf.save(OmegaConf.create(tree), tmp_path / "in/bench.yaml")
    return tmp_path / "in/run", tree


def edited(path: Path) -> None:
    """Change one digit of a score."""
    text = path.read_text()
    place = text.index('"ssim": 0.') + len('"ssim": 0.')
    path.write_text(text[:place] + ("1" if text[place] != "1" else "2") + text[place + 1 :])


HARMS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "an edit of the same size": ("row.json", edited),
    "zeros": ("row.json", lambda path: path.write_bytes(bytes(path.stat().st_size))),
    "a flipped bit in a movie": ("movie.h5", flip),
    "a cut movie": ("movie.h5", lambda path: path.write_bytes(path.read_bytes()[:-9])),
    "a missing trace": ("trace.jsonl", lambda path: path.unlink()),
    "an empty manifest": ("manifest.json", lambda path: path.write_text("{}")),
    "a list for a manifest": ("manifest.json", lambda path: path.write_text("[]")),
    "a manifest of no files": (
        "manifest.json",
        lambda path: path.write_text(json.dumps({"of": path.parent.name, "files": {}})),
    ),
    "a manifest of another folder": (
        "manifest.json",
        lambda path: path.write_text(path.read_text().replace(path.parent.name, 16 * "0")),
    ),
    "a link": ("row.json", lambda path: path.symlink_to(path.rename(path.parents[3] / "elsewhere"))),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_task_is_named_set_aside_and_computed_again(
    harm: str, original: Run, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, tree = run
    name, change = HARMS[harm]
    task = sorted((folder / "tasks").iterdir())[0]
    change(task / name)
    assert main(["report", str(folder)]) == 2
    named = capsys.readouterr().err
    assert str(task) in named and (name in named or "manifest.json" in named), named
    said: list[str] = []
    benchmark(tree, say=said.append)
    assert any(f"tasks/{task.name}: " in line and "computed again" in line for line in said)
    assert (folder / "damaged" / task.name).is_dir()
    assert compared(folder) == compared(original[0])
    assert main(["report", str(folder)]) == 0


def test_a_damaged_name_in_the_runs_manifest_is_written_again(original: Run, run: Run) -> None:
    folder, tree = run
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace("information", "informatioN"))
    assert main(["report", str(folder)]) == 2
    benchmark(tree)
    assert compared(folder) == compared(original[0])


@pytest.mark.parametrize(
    "name", ["results.csv", "config.yaml", "environment.json", "neuron_sets.json", "clips.h5", "information.json"]
)
def test_a_damaged_file_of_the_run_is_named_and_written_again(
    name: str, original: Run, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, tree = run
    flip(folder / name)
    for command in (["report", str(folder)], ["runs", "export", str(folder), str(folder.parent / "run.zip")]):
        assert main(command) == 2
        assert name in capsys.readouterr().err
    assert main(["rerun", str(folder)]) == 2 and name in capsys.readouterr().err
    benchmark(tree)
    assert (folder / name).read_bytes() == (original[0] / name).read_bytes() or name == "config.yaml"
    assert main(["report", str(folder)]) == 0


def test_flipped_bits_in_an_artefact_are_found_and_it_is_learnt_again(
    original: Run, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    folder, tree = run
    learnt = sorted(Path(tree["artefacts"]).glob("*.safetensors"))
    for artefact in learnt:
        for place in (0.5, 0.6, 0.7, 0.8, 0.9):
            flip(artefact, place)
    shutil.rmtree(folder)
    with caplog.at_level(logging.WARNING):
        benchmark(tree)
    assert compared(folder) == compared(original[0])
    for artefact in learnt:
        assert f"damaged: {artefact}: " in caplog.text and artefact.with_name(f"{artefact.name}.damaged").exists()


def test_a_damaged_fidelity_is_fitted_again(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    folder, tree = run
    rows = [{"label": "g", "method": {"name": "mean"}, "fidelity": {"name": "gaussian"}}]
    tree = tree | {"rows": rows, "run": f"{folder} gaussian"}
    expected = rows_of(benchmark(tree))
    (fitted,) = Path(tree["artefacts"]).glob("fidelity-*.safetensors")
    flip(fitted, 0.9)
    assert rows_of(benchmark(tree | {"run": f"{folder} again"})) == expected
    assert f"damaged: {fitted}" in caplog.text


def test_damaged_draws_of_a_null_distribution_are_drawn_again(tmp_path: Path) -> None:
    responses = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0))

    def drawn() -> list[dict[str, float]]:
        return turned_worlds(responses, 3, lambda shown: {"r": float(shown[0, 0, 0])}, keep=tmp_path / "draws.json")

    expected = drawn()
    for content in ("[]", "{", json.dumps({"draws": [{"r": 9.0}] * 3, "digest": ""})):
        (tmp_path / "draws.json").write_text(content)
        assert drawn() == expected
