"""The wheel in a fresh environment: pip brings its dependencies, and a user's folder is all that it is run in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from worlds.pages import TEXTS, blocks

ROOT = Path(__file__).resolve().parents[2]
SMALL = "simulate={minutes: 0.5, validation_clips: 1, test_clips: 2, repeats: 2, clip_frames: 90}"
BENCHMARK = """
run: runs/mine
recording: recordings/tiny
simulate: {}
clips: {tier: live_test_main, count: 1}
frames: {warmup: 50, tail: 8}
encoders:
  seed0: {name: core_readout, weights: v1_seed0}
judge: {name: judge, weights: v1_judge}
rows:
  - {label: map_spectrum, method: {preset: map_spectrum, iterations: 2}}
  - {label: ridge, method: {tuned: benchmark/ridge}}
"""
SHORT = (
    "recording=recordings/tiny",
    "ablation.method.levels=2",
    "ablation.method.data.steps=1",
    "ablation.method.start.iterations=2",
    "ablation.prior_only.levels=2",
    "ablation.no_prior.iterations=2",
)

pytestmark = pytest.mark.slow

Run = Callable[..., str]


def called(command: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command and return what it printed; where it fails, the end of what it said is the reason."""
    run = subprocess.run(command, capture_output=True, text=True, timeout=1800, cwd=cwd, env=env)
    assert run.returncode == 0, f"{command[:4]}: {(run.stdout + run.stderr)[-3000:]}"
    return str(run.stdout)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh environment with the wheel and all that pip brings with it (5 GB), removed afterwards.

    With RECON_WHEEL_BORROW=1 the wheel alone is installed, beside the packages of the environment that runs the tests.
    """
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("recon", "encoders", "priors", "configs"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    called([sys.executable, "-m", "pip", "wheel", str(source), "--no-deps", "--quiet", "--wheel-dir", str(folder)])
    (wheel,) = folder.glob("*.whl")
    made = folder / "environment"
    venv.create(made, with_pip=True)
    borrow = os.environ.get("RECON_WHEEL_BORROW") == "1"
    what = ["--no-deps", str(wheel)] if borrow else [f"recon[text,language,diffusion] @ {wheel.as_uri()}"]
    try:
        called([str(made / "bin/python"), "-m", "pip", "install", "--quiet", "--no-cache-dir", *what])
        if borrow:
            version = f"python{sys.version_info.major}.{sys.version_info.minor}"
            packages = [path for path in sys.path if path.endswith("site-packages")]
            (made / "lib" / version / "site-packages/borrowed.pth").write_text("\n".join(packages))
        yield made
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def run(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a program of the environment in a user's folder, whose own encoders.py must never be imported."""
    folder = tmp_path_factory.mktemp("mine")
    for name in ("encoders", "priors", "configs"):
        (folder / f"{name}.py").write_text("raise RuntimeError('this is the user\\'s own file')\n")
    (folder / "mine.yaml").write_text(BENCHMARK)
    cleared = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}

    def run(program: str, *arguments: str) -> str:
        command = [str(environment / "bin" / program), *arguments]
        return called(command, cwd=folder, env=cleared | {"PYTHONPATH": str(folder)})

    return run


def test_import_comes_from_the_environment_and_lists_everything(run: Run, environment: Path) -> None:
    where = run("python", "-c", "import recon.encoders, recon.priors; print(recon.encoders.__file__)").strip()
    assert Path(where).is_relative_to(environment)
    assert run("recon", "--version").startswith("recon ")
    listed = run("recon", "list")
    assert all(name in listed for name in ("core_readout", "gradient", "pretrained", "ridge"))


ARRAYS = """
import numpy as np
known = recon.example().reader
trials = [known.trial(i) for i in (*known.trials("train"), *known.trials("oracle"), *known.trials("live_test_main"))]
movies = [(255 * trial.movie[0].numpy()).round() for trial in trials]
tiers = [{"oracle": "validation", "live_test_main": "test"}.get(trial.tier, "train") for trial in trials]
responses = [trial.responses.numpy() for trial in trials]
behavior, pupil = ([trial.behavior[rows].numpy() for trial in trials] for rows in (slice(0, 2), slice(2, 4)))
about = {"tiers": tiers, "unit_ids": np.array(known.unit_ids), "degrees_per_pixel": 1.94}
mouse = recon.from_arrays(movies, responses, behavior=behavior, pupil=pupil, frame_rate=30, **about)
"""


@pytest.mark.parametrize("source", ["the example", "arrays"])
def test_readmes_ten_lines_run_as_they_stand(run: Run, source: str) -> None:
    (script,) = blocks(TEXTS["README.md"], "python")
    if source == "arrays":
        lines = [line for line in script.splitlines() if not line.startswith(("refined", "recon.ablate"))]
        lines = [ARRAYS if line.startswith("mouse") else line for line in lines]
        script = "\n".join(lines).replace("beside=refined", "")
    shown = run("python", "-c", script)
    assert "video_correlation" in shown


def test_every_module_can_be_imported(run: Run) -> None:
    code = (
        "import importlib, pathlib, recon\n"
        "root = pathlib.Path(recon.__file__).parent\n"
        "files = [file.relative_to(root.parent).with_suffix('') for file in root.rglob('*.py')]\n"
        "[importlib.import_module('.'.join(file.parts).removesuffix('.__init__')) for file in files]\n"
        "print(len(files))"
    )
    assert int(run("python", "-c", code)) > 200


def test_a_benchmark_with_presets_runs_in_an_empty_folder(run: Run) -> None:
    shown = run("recon", "benchmark", "mine.yaml", SMALL)
    assert "map_spectrum: finished" in shown and "ridge: finished" in shown and "runs/mine/report.html" in shown


def test_the_packaged_ablation_of_the_demo_runs(run: Run) -> None:
    shown = run("recon", "ablate", "demo_prior", SMALL, *SHORT)
    assert "decoded text: finished" in shown and "failed" not in shown and "runs/demo_prior/report.html" in shown
