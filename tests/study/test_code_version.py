"""Code counts by what it does, over the modules that are really imported."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from worlds.bench import configuration
from worlds.code import copied, edit
from worlds.linear import training

from recon import config
from recon.files.code_version import PACKAGE, all_modules, code_version, imported_modules, library_versions
from recon.methods import METHODS
from recon.methods import training_set as training_sets
from recon.methods.artefacts import artefact_path, save_artefact
from recon.methods.neural.latent import Movies
from recon.problem.fidelities.independent import Poisson
from recon.study.settings import Settings
from recon.study.shared import Bench, plan
from recon.study.task import Task

COMMENTED = '''"""A module."""

SCALE = "two"
"""Words."""

class Record:
    """A record."""

    size: int = 1
    """Its size."""

    def area(self) -> int:
        """Square."""
        return self.size**2  # of a side
'''
ONE = {"one.py": COMMENTED}


def project(folder: Path, files: Mapping[str, str]) -> Path:
    """Write modules of a package `recon` into a folder; return the package's folder."""
    for name, text in files.items():
        path = folder / "recon" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "recon"


def version_of(folder: Path, files: Mapping[str, str], module: str = "recon.one") -> str:
    return code_version(module, package=project(folder, {"__init__.py": ""} | dict(files)))


@pytest.mark.parametrize(
    "changes",
    [
        {'"""A module."""': '"""Another text."""'},
        {'    """A record."""\n\n': ""},
        {'        """Square."""\n': ""},
        {'"""Words."""': '"""Other words."""', '"""Its size."""': '"""Size (cm)."""'},
        {"  # of a side": "", "SCALE": "# why\nSCALE"},
        {'"two"': "'two'", "\n\nclass": "\n\n\n\nclass"},
        {"self.size**2": "(\n            self.size ** 2\n        )"},
    ],
)
def test_comments_docstrings_and_layout_do_not_count(tmp_path: Path, changes: dict[str, str]) -> None:
    text = COMMENTED
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    assert version_of(tmp_path / "a", ONE) == version_of(tmp_path / "b", {"one.py": text})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"two"', '"three"'),
        ("**2", "**3"),
        ("size: int", "size: float"),
        ("size: int = 1", "size = 1"),
        ("= 1", "= 1.0"),
        ("= 1", "= True"),
        ("-> int", "-> float"),
        ("class Record", "@frozen\nclass Record"),
    ],
)
def test_constants_operations_and_annotations_count(tmp_path: Path, old: str, new: str) -> None:
    assert old in COMMENTED
    changed = {"one.py": COMMENTED.replace(old, new)}
    assert version_of(tmp_path / "a", ONE) != version_of(tmp_path / "b", changed)


def test_every_version_of_python_gives_the_same_hash(tmp_path: Path) -> None:
    """A golden value, found with Python 3.11, 3.12 and 3.13: a newer interpreter recomputes nothing."""
    text = """
from math import pi
match (x := f"{pi!r:>{8}} é {'\u2028'}" "joined", -1, 1e400, 0x10, b"\\x00", ...):
    case [str() as name, *_] if name: del name
    case {"a": 1, **rest}: raise ValueError(rest) from None
async def f(a, /, b=None, *c, d: "int" = 1_000, **e): return [i async for i in a if await i]
try: g = lambda *, k=True: {**k, "z": not k}
except* OSError: pass
with open("x") as y, open("z"): y[1:2, ::3] @= x
"""
    assert version_of(tmp_path, {"one.py": text}) == "2170596a393dbd65"


IMPORTING = {
    "from": "from recon.two import x\n",
    "whole": "import recon.two\n",
    "as": "import recon.two as other\n",
    "relative": "from .two import x\n",
    "submodule": "from recon import two\n",
    "inside a function": "def f():\n    from recon.two import x\n    return x\n",
    "handed on": "from recon.inner import x\n",
    "through others": "from recon.between import f\n",
}


@pytest.mark.parametrize("kind", IMPORTING)
def test_imported_modules_count_and_others_do_not(tmp_path: Path, kind: str) -> None:
    files = {
        "one.py": IMPORTING[kind],
        "two.py": "x = 1\n",
        "three.py": "y = 1\n",
        "between.py": "def f():\n    import recon.two\n",
        "inner/__init__.py": "from recon.two import x\nfrom recon.three import y\n",
    }
    first = version_of(tmp_path / "a", files)
    assert version_of(tmp_path / "b", files | {"two.py": "x = 2\n"}) != first
    assert version_of(tmp_path / "c", files | {"three.py": "y = 2\n"}) == first


def test_a_submodule_does_not_bring_its_package_and_folders_without_init_are_packages(tmp_path: Path) -> None:
    files = {
        "one.py": "from recon.inner.first import x\nfrom recon.bare import second\nimport json, numpy.linalg\n",
        "inner/__init__.py": "from recon.inner.first import x\nfrom recon.inner.other import y\n",
        "inner/first.py": "x = 1\n",
        "inner/other.py": "y = 1\n",
        "bare/second.py": "z = 1\n",
    }
    package = project(tmp_path, {"__init__.py": ""} | files)
    assert imported_modules("recon.one", package=package) == ("recon.bare.second", "recon.inner.first", "recon.one")
    assert imported_modules("json", "recon.nowhere", "numpy", package=package) == ()


@pytest.mark.slow
def test_a_checkout_and_an_installed_copy_agree(tmp_path: Path) -> None:
    package = copied(tmp_path)
    assert not any(path.is_symlink() for path in package.iterdir()) and (PACKAGE / "encoders").is_dir()
    assert all_modules(package) == all_modules()
    assert code_version(*all_modules(), package=package) == code_version(*all_modules())


@pytest.mark.slow  # a copy of the project
def test_code_without_comments_in_another_layout_agrees(tmp_path: Path) -> None:
    package = copied(tmp_path)
    for file in package.rglob("*.py"):
        file.write_text(f"# A comment.\n{ast.unparse(ast.parse(file.read_text('utf-8')))}\n", "utf-8")
    assert code_version(*all_modules(), package=package) == code_version(*all_modules())


def test_a_constant_of_the_regression_counts_in_what_uses_it(tmp_path: Path) -> None:
    package = copied(tmp_path)
    edit(package / "methods/linear/regression.py", "BLOCKS = 8", "BLOCKS = 4")

    def changed(module: str) -> bool:
        return code_version(module, package=package) != code_version(module)

    assert changed("recon.methods.linear.ridge") and changed("recon.methods.neural.latent")
    assert not any(changed(f"recon.methods.linear.{name}") for name in ("mean", "sta", "field_sum"))


def test_an_annotation_in_a_record_of_the_code_counts(tmp_path: Path) -> None:
    package = copied(tmp_path)
    edit(package / "methods/linear/ridge.py", "    folds: Folds = 3", "    folds: float = 3")
    assert code_version("recon.methods.linear.ridge", package=package) != code_version("recon.methods.linear.ridge")


def test_every_module_is_parsed_once_in_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, parse, parsed = copied(tmp_path), ast.parse, []
    monkeypatch.setattr("ast.parse", lambda *source, **options: parsed.append(1) or parse(*source, **options))
    modules = all_modules(package)
    first = code_version(*modules, package=package)
    assert len(modules) <= len(parsed) <= len(modules) + 1
    assert code_version(*modules[::-1], package=package) and code_version(modules[0], package=package) != first
    assert len(parsed) <= len(modules) + 1


def tasks(world: Path, methods: Mapping[str, dict[str, Any]]) -> dict[str, Task]:
    rows = [{"label": label, "method": method} for label, method in methods.items()]
    settings = config.record(Settings, config.expand(configuration(world) | {"rows": rows}), where="benchmark")
    bench = Bench(settings, plan(settings))
    return {planned.row.label: Task(bench, planned, bench.batches[0]) for planned in bench.plans}


def test_a_task_depends_on_its_method_engine_and_encoders_alone(world: Path) -> None:
    average = {"name": "average", "methods": {"a": {"name": "ridge"}}, "weights": {"a": 1.0}}
    told = {"name": "dps", "denoiser": {"name": "diffusion", "text": {"name": "decoded"}}}
    made = tasks(world, {"ridge": {"name": "ridge"}, "dps": {"name": "dps"}, "average": average, "told": told})
    found = {label: set(imported_modules(*task.modules)) for label, task in made.items()}
    always = {
        "recon.data.measurement",
        "recon.data.neuron_sets",
        "recon.data.sensorium",
        "recon.encoders.core_readout.model",
        "recon.methods.training_set",
        "recon.metrics.movie",
        "recon.problem.clips",
        "recon.problem.conditions",
        "recon.problem.fidelities.independent",
        "recon.problem.fit",
        "recon.run.runner",
        "recon.study.scorer",
        "recon.study.shared",
    }
    learnt = {"recon.methods.linear.ridge", "recon.methods.linear.regression", "recon.methods.linear.lags"}
    assert always | learnt <= found["ridge"] and always | learnt <= found["average"] and always <= found["dps"]
    barred = ("recon.methods.diffusion", "recon.methods.neural", "recon.methods.text", "recon.priors", "recon.simulate")
    assert not [name for name in found["ridge"] | found["average"] if name.startswith(barred)]
    assert "recon.priors.spectrum" in found["dps"] and "recon.priors.movie_diffusion" not in found["dps"]
    learnt_prior = {"recon.priors.text", "recon.priors.movie_diffusion", "recon.priors.spectrum"}
    assert learnt_prior | {"recon.methods.text.decoder"} <= found["told"]
    others = (
        "recon.report",
        "recon.commands",
        "recon.cli",
        "recon.analysis",
        "recon.train",
        "recon.files.code_version",
    )
    assert not [name for modules in found.values() for name in modules if name.startswith(others)]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_brings_no_other_that_it_does_not_name(name: str) -> None:
    found = set(imported_modules(METHODS[name].__module__))
    assert METHODS[name].__module__ in found and "recon.methods" not in found
    above = ("recon.study", "recon.report", "recon.commands", "recon.run", "recon.config")
    assert not [module for module in found if module.startswith(above)]


def test_an_artefact_is_named_by_the_code_of_all_that_learns_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[str]] = []

    def path(folder: Path, name: str, inputs: object, *, code: set[str]) -> Path:
        asked.append(set(imported_modules(*code)))
        return artefact_path(folder, name, inputs, code=code)

    monkeypatch.setattr(training_sets, "artefact_path", path)
    known = training(tmp_path)
    monkeypatch.setattr(type(known.recording), "__module__", "recon.data.sensorium")  # a test's module counts too
    code = ["recon.methods.linear.regression"]
    known.artefact("x", (Poisson(), Movies()), lambda checkpoint: {}, code=code)
    known.artefact("x", "nothing", lambda checkpoint: {}, code=code, uses=("encoders",))
    assert asked[0] >= {*code, "recon.problem.fidelities.independent", "recon.methods.neural.latent"}
    assert "recon.encoders.linear" in asked[1] and "recon.encoders.linear" not in asked[0]
    assert all("recon.methods.training_set" in modules for modules in asked)


def test_artefacts_record_the_versions_of_libraries(tmp_path: Path) -> None:
    save_artefact({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with safe_open(str(tmp_path / "x.safetensors"), "pt") as file:
        assert json.loads(file.metadata()["libraries"]) == library_versions()
    assert library_versions()["torch"] and set(library_versions()) >= {"numpy", "scipy", "diffusers", "h5py", "av"}
