"""The package as it is installed: what the wheel holds, that it works alone, and that every import is declared."""

from __future__ import annotations

import ast
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import recon
from recon import config
from recon.study.tune import read_trials

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("recon", "encoders", "priors", "configs")
BESIDE = ("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff")
READ = {".py", ".typed", ".json", ".safetensors", ".html", ".js", ".css", ".yaml", ".md", ".sh", ".zip"}
"""Suffixes of what a package must hold."""
MEGABYTES = 40

DISTRIBUTIONS = {
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "umap": "umap-learn",
    "yaml": "pyyaml",
}
"""Import names that are not the distribution's name."""
EXTRAS = ("text", "language", "perceptual", "cluster", "diffusion", "nwb")
"""Extras that users install; what is imported only inside functions may be in one of these."""

INDIRECT = {
    "ipython": "stlpips-pytorch, which does not declare it",
    "torchsummary": "stlpips-pytorch, which does not declare it",
}
"""Packages that only another one imports, at a call of ours."""

Files = dict[str, Path]


def packaged_files() -> Iterator[str]:
    """Every file below recon/, through the links, that the package must hold."""
    for folder, folders, names in os.walk(ROOT / "recon", followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            if Path(name).suffix in READ and ".training" not in name:
                yield (Path(folder) / name).relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a source distribution that was built from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in SOURCES:
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BESIDE:
        shutil.copy(ROOT / name, source / name)
    build = "from setuptools import build_meta; build_meta.build_sdist('..')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (archive,) = folder.glob("*.tar.gz")
    pip = [sys.executable, "-m", "pip", "wheel", str(archive), "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*pip, "--wheel-dir", str(folder)], cwd=folder, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The folder into which the wheel is unpacked."""
    folder = wheel.parent / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_holds_every_file_that_the_code_reads(installed: Path) -> None:
    held = {file.relative_to(installed).as_posix() for file in installed.rglob("*") if file.is_file()}
    assert set(packaged_files()) <= held
    typed = {f"recon/{package}py.typed" for package in ("", "encoders/", "priors/")}
    weights = {"recon/encoders/weights/v1_seed0.safetensors", "recon/priors/weights/movies.safetensors"}
    weights |= {"recon/methods/neural/weights/v1_decoder_seed0.safetensors"}
    assert typed | weights | {"recon/encoders/core_readout/model.py", "recon/VERSION"} <= held
    assert {"recon/configs/demo.yaml", "recon/configs/methods/ridge.yaml"} <= held


def test_the_wheel_holds_nothing_else(wheel: Path, installed: Path) -> None:
    name = f"recon-{recon.__version__}"
    assert {path.name for path in installed.iterdir()} == {
        "recon",
        f"{name}.dist-info",
    } and wheel.name.startswith(name)
    surplus = [path for path in installed.rglob("*") if path.name.endswith((".gz", ".pyc")) or ".training" in path.name]
    assert not surplus and not any(path.is_symlink() for path in installed.rglob("*"))
    assert (installed / f"{name}.dist-info/licenses/LICENSE").read_text().startswith("MIT License")
    assert wheel.stat().st_size < MEGABYTES * 1e6


ALONE = """
import importlib, json, pathlib, sys

import recon
found = {"early": "torch" in sys.modules, "version": recon.__version__}

from recon import config
from recon.cli import main

try:
    main(["--version"])
except SystemExit as stop:
    found["stop"] = stop.code
found["list"] = main(["list"])
rows = [{"preset": "map_spectrum"}, {"tuned": "benchmark/ridge"}]
found["methods"] = [str(config.build("method", row)) for row in config.expand(rows)]
found["encoder"] = type(config.build("encoder", {"name": "core_readout", "weights": "v1_seed0"})).__name__
found["demo"] = config.load("demo")["run"]
root = pathlib.Path(recon.__file__).parent
for file in root.rglob("*.py"):
    importlib.import_module(".".join(file.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__"))
found["files"] = {name: str(module.__file__) for name, module in sys.modules.items() if name.split(".")[0] == "recon"}
found["commit"] = importlib.import_module("recon.study.outputs").environment("cpu")["git_commit"]
found["own"] = [name for name in ("encoders", "priors", "configs") if name in sys.modules]
print(json.dumps(found))
"""


@pytest.mark.slow  # a fresh environment does it in tests/slow/test_wheel.py
def test_the_wheel_works_alone_beside_a_users_own_encoders(installed: Path, tmp_path: Path) -> None:
    for name in ("encoders", "priors", "configs"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('this is the user\\'s own file')\n")
    git = ["git", "-C", str(installed.parent), "-c", "user.name=a user", "-c", "user.email=user@example.org"]
    for words in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "-m", "the user's own repository"]):
        subprocess.run([*git, *words], check=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(installed)])}
    command = [sys.executable, "-c", textwrap.dedent(ALONE)]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr[-3000:]
    *printed, last = run.stdout.splitlines()
    found: dict[str, Any] = json.loads(last)
    assert not found["early"], "import recon waits for no torch"
    assert found["commit"] is None, "the user's own repository is not ours"
    assert found["version"] == recon.__version__ and f"recon {recon.__version__}" in printed
    assert found["stop"] == found["list"] == 0 and any("ridge" in line for line in printed)
    assert found["methods"][0].startswith("Gradient(") and "Ridge(" in found["methods"][1]
    assert found["encoder"] and found["demo"] == "runs/demo" and not found["own"]
    outside = {name: file for name, file in found["files"].items() if not Path(file).is_relative_to(installed)}
    assert not {name: file for name, file in outside.items() if file != "None"}, "a folder without __init__.py has none"


def distribution(module: str) -> str:
    """The distribution of an imported name, as it is declared."""
    top = module.partition(".")[0]
    return DISTRIBUTIONS.get(top, top.replace("_", "-")).lower()


def imported(node: ast.AST) -> Iterator[str]:
    """Names of modules of other projects that are imported, or asked for by name, below a node."""
    for found in ast.walk(node):
        if isinstance(found, ast.Import):
            yield from (alias.name for alias in found.names)
        elif isinstance(found, ast.ImportFrom) and found.module and not found.level:
            yield found.module
        elif isinstance(found, ast.Call) and re.search(r"\b(find_spec|import_module)$", ast.unparse(found.func)):
            yield from (part.value for part in found.args[:1] if isinstance(part, ast.Constant))


def foreign(node: ast.AST) -> set[str]:
    """Distributions that a piece of code needs."""
    ours = {"recon", *sys.stdlib_module_names}
    return {distribution(name) for name in imported(node) if name.partition(".")[0] not in ours}


def declared(*sections: str) -> set[str]:
    """Distributions that setup.cfg asks for: `install_requires` and the named extras."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = parser["options"]["install_requires"].splitlines()
    lines += [line for name in sections for line in parser["options.extras_require"][name].splitlines()]
    return {re.split(r"[\s<>=!~;\[]", line)[0].lower() for line in lines if line.strip()}


def test_every_import_is_declared() -> None:
    always, sometimes = declared(), declared(*EXTRAS)
    missing: dict[str, set[str]] = {}
    for file in (file for name in ("recon", "encoders", "priors") for file in (ROOT / name).rglob("*.py")):
        tree = ast.parse(file.read_bytes())
        inside = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        lazy = set().union(*map(foreign, inside))
        at_import = set().union(
            *(foreign(node) for node in tree.body if not isinstance(node, ast.FunctionDef | ast.ClassDef))
        )
        undeclared = (at_import - always) | (lazy - sometimes)
        if undeclared:
            missing[file.relative_to(ROOT).as_posix()] = undeclared
    assert not missing, f"declare in setup.cfg, or name the distribution in DISTRIBUTIONS: {missing}"


def test_every_declared_package_is_imported() -> None:
    files = (file for name in ("recon", "encoders", "priors") for file in (ROOT / name).rglob("*.py"))
    used = set().union(*(foreign(ast.parse(file.read_bytes())) for file in files))
    assert declared(*EXTRAS) - used - set(INDIRECT) == set(), "import what setup.cfg declares, or drop it"


def test_an_undeclared_import_is_seen() -> None:
    code = "import nowhere.at_all\ndef f():\n    from pandas import x\n    find_spec('umap')\n    import json\n"
    assert foreign(ast.parse(code)) == {"nowhere", "pandas", "umap-learn"}
    assert "umap-learn" in declared(*EXTRAS) - declared()


def test_the_version_has_one_source() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == recon.__version__ and citation["cff-version"] == "1.2.0"
    assert (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").count("## [Unreleased]") == 1


@pytest.mark.parametrize("name", ["demo", "demo.yaml", "configs/demo.yaml", "./configs/demo.yaml"])
def test_a_packaged_configuration_is_found_by_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.load(name)["run"] == "runs/demo"
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("run: mine\n")
    assert config.load(name) == {"run": "mine"}, "a file that is there comes first"


def test_neither_there_nor_packaged_says_what_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.load("tune/map_spectrum")["search"]["study"] == "configs/studies/map_spectrum.json"
    with pytest.raises(ValueError, match=r"got demoo, .*did you mean 'demo'.*name a packaged one: ablation, .*demo, "):
        config.load("demoo")
    for elsewhere in (tmp_path / "demo.yaml", Path("../demo.yaml"), Path("methods/ridge")):
        with pytest.raises(ValueError, match="neither there nor packaged"):
            config.load(elsewhere)
    with pytest.raises(ValueError, match=r"expected one of .*benchmark/ridge.*did you mean 'benchmark/ridge'"):
        config.expand({"tuned": "benchmark/rigde"}, (tmp_path / "methods",))


@pytest.mark.parametrize("kind", ["preset", "tuned"])
def test_names_of_settings_lead_nowhere_outside_the_package(kind: str, tmp_path: Path) -> None:
    """Also where the folders are really there, so that `..` can be followed."""
    for name in ("secret.yaml", "secret.json"):
        (tmp_path / name).write_text("name: mean\n")
    climbed = os.path.relpath(tmp_path / "secret", config.CONFIGS / ("methods" if kind == "preset" else "studies"))
    for name in (climbed, str(tmp_path / "secret")):
        with pytest.raises(ValueError, match=f"{kind}: expected one of"):
            config.expand({kind: name})


@pytest.mark.parametrize("file", sorted((ROOT / "configs/studies").rglob("*.json")), ids=lambda file: file.stem)
def test_a_study_is_a_summary_and_its_best_is_among_its_trials(file: Path) -> None:
    study = json.loads(file.read_text(encoding="utf-8"))
    assert "trials" not in study and study["best"] in read_trials(file)
    assert file.stat().st_size < 12_000
