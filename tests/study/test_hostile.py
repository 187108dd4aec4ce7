"""Hostile and harmed input that no other file tests, and the table of SECURITY.md, whose lines name their tests."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from worlds.bench import configuration
from worlds.commands import rows_of

from recon import cli
from recon.report.page import write_report
from recon.run.trace import JsonlTrace
from recon.study.benchmark import benchmark
from recon.study.folders import runs_below

ROOT = Path(__file__).parents[2]
EVIL = "../../evil <script>alert(1)</script>"


@pytest.fixture
def tree(world: Path, tmp_path: Path) -> dict[str, Any]:
    return configuration(world) | {"run": str(tmp_path / "in/run"), "artefacts": str(tmp_path / "in/artefacts")}


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_every_promise_names_tests_that_exist() -> None:
    files: dict[str, str] = {}
    for file in (ROOT / "tests").rglob("test_*.py"):
        files[file.stem] = files.get(file.stem, "") + file.read_text("utf-8")
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| Input", "| ---"))]
    assert len(lines) > 40 and all("`test_" in line for line in lines)
    for name in re.findall(r"`(test_\w+(?:::test_\w+)?)`", text):
        file, _, test = name.partition("::")
        assert (f"def {test}(" if test else "def test_") in files.get(file, ""), name


def test_yaml_makes_no_objects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "evil.yaml"
    config.write_text(f'run: !!python/object/apply:os.mkdir ["{tmp_path / "made"}"]\n')
    assert cli.main(["benchmark", str(config)]) == 2
    assert "expected valid YAML" in capsys.readouterr().err and not (tmp_path / "made").exists()


def test_interpolation_reads_no_environment(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A configuration of someone else must not carry secrets of this machine into a run that is handed on."""
    monkeypatch.setenv("SECRET", "hunter2")
    config = tmp_path / "evil.yaml"
    OmegaConf.save(OmegaConf.create(tree), config)
    config.write_text(config.read_text() + "seed: ${oc.env:SECRET}\n")
    assert cli.main(["benchmark", str(config)]) == 2
    said = capsys.readouterr().err
    assert "expected ${section.key} at most, got ${oc.env:SECRET}" in said and "hunter2" not in said


@pytest.mark.parametrize("key", ["preset", "tuned"])
@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "..\\secret"])
def test_names_of_settings_leave_no_folder(tree: dict[str, Any], tmp_path: Path, key: str, name: str) -> None:
    (tmp_path / "secret.yaml").write_text("name: mean\n")
    (tmp_path / "secret.json").write_text("{}")
    folder = tmp_path / "a/b/configs"
    folder.mkdir(parents=True)
    tree["rows"][0]["method"] = {key: name}
    OmegaConf.save(OmegaConf.create(tree), folder / "bench.yaml")
    with pytest.raises(ValueError, match=f"{key}: expected"):
        benchmark(OmegaConf.to_container(OmegaConf.load(folder / "bench.yaml")))
    assert cli.main(["benchmark", str(folder / "bench.yaml")]) == 2


def test_a_label_is_a_name_and_text_wherever_it_goes(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["rows"][0]["label"] = EVIL + "x" * 300
    run = benchmark(tree)
    assert {path.name for path in tmp_path.iterdir()} == {"in"}, "nothing was written beside the run"
    page = write_report(run).read_text("utf-8")
    assert "<script>alert(1)" not in page and "alert(1)" in page
    assert rows_of(run)[0]["method"] == EVIL + "x" * 300


def test_nothing_goes_over_the_network_unless_asked(tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise AssertionError(f"a connection to {arguments[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    write_report(benchmark(tree))


@pytest.mark.parametrize("harm", ["cut", "flipped", "text"])
def test_a_harmed_checkpoint_costs_its_task_only_what_it_had_done(
    harm: str, tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is taken from a file that is not as it was written, not even numbers of which one bit is another."""
    expected = rows_of(benchmark(tree | {"run": f"{tree['run']} whole"}))
    monkeypatch.setattr("recon.run.runner.SHARE_SPENT_WORKING", 0)
    real, calls = JsonlTrace.__call__, []

    def killed(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(JsonlTrace, "__call__", killed)
    with pytest.raises(KeyboardInterrupt):
        benchmark(tree)
    (state,) = Path(tree["run"]).glob("partial/*/state.safetensors")
    content = bytearray(state.read_bytes())
    match harm:
        case "cut":
            content = content[: len(content) // 2]
        case "flipped":
            content[-100] ^= 1
        case "text":
            content = bytearray(b"import os")
    state.write_bytes(content)
    monkeypatch.setattr(JsonlTrace, "__call__", real)
    assert rows_of(benchmark(tree)) == expected


def test_a_harmed_artefact_is_learnt_again(tree: dict[str, Any]) -> None:
    expected = rows_of(benchmark(tree))
    for artefact in Path(tree["artefacts"]).glob("*.safetensors"):
        artefact.write_bytes(artefact.read_bytes()[:-50])
    assert rows_of(benchmark(tree | {"run": f"{tree['run']} again"})) == expected


def test_links_are_not_followed_to_runs_elsewhere(tree: dict[str, Any], tmp_path: Path) -> None:
    run = benchmark(tree | {"rows": tree["rows"][:1]})
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/elsewhere").symlink_to(run)
    assert not list(runs_below(tmp_path / "runs"))


def test_weights_are_numbers_alone(tmp_path: Path) -> None:
    """What `torch.save` pickles is read by torch's restricted reader, which calls nothing."""

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.mkdir, (tmp_path / "made",))

    torch.save({"weights": Evil()}, tmp_path / "evil.pth")
    assert cli.main(["encoders", "convert", str(tmp_path / "evil.pth"), str(tmp_path / "out.safetensors")]) == 2
    assert not (tmp_path / "made").exists()
