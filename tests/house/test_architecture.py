"""The house rules, checked on the syntax tree: directions of imports, lengths, what code never does."""

from __future__ import annotations

import ast
import dataclasses
import graphlib
import inspect
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from recon import config
from recon.methods.base import Method
from recon.study.settings import Settings
from recon.study.shared import plan

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("recon", "encoders", "priors")
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
OTHERS = ("mask", "mask_part", "fields", "identify_v1", "identify_static", "identify_captions", "language", "sample")
CONFIGS = sorted(file for file in (ROOT / "configs").glob("*.yaml") if file.stem not in OTHERS)
CONFIGS += sorted(file for file in (ROOT / "configs/bauer2025").glob("*.yaml") if file.stem not in OTHERS)
PRESETS = sorted((ROOT / "configs" / "methods").glob("*.yaml"))

LAYERS = (
    (
        "recon.types",
        "recon.problem.memory",
        "recon.problem.windows",
        "recon.files",
        "recon.metrics.statistics",
        "recon.media",
    ),
    ("recon.problem.problem", "recon.methods.artefacts", "recon.data", "recon.simulate", "recon.metrics"),
    (
        "recon.fidelities",
        "recon.problem.fidelities",
        "recon.methods.optimise.parameterise",
        "recon.methods.training_set",
    ),
    ("recon.methods.linear.lags", "recon.methods.linear.regression", "recon.decoders", "recon.captions"),
    ("recon.methods", "recon.run.summaries", "recon.run.tensorboard", "recon.run.trace"),
    ("recon.run.runner",),
    ("recon.config", "recon.study.settings", "recon.study.provenance", "recon.run.watch"),
    ("recon.problem.conditions", "recon.study.encoders", "recon.train.mask", "recon.analysis.receptive_fields"),
    (
        "recon.problem.fit",
        "recon.study.scorer",
        "recon.study.outputs",
        "recon.problem.animals",
        "recon.analysis.prior_samples",
    ),
    (
        "recon.study.shared",
        "recon.study.fisher_information",
        "recon.study.task",
        "recon.study.executors",
        "recon.study.benchmark",
    ),
    (
        "recon.study.search",
        "recon.study.tune",
        "recon.train",
        "recon.study.ablation",
        "recon.study.folders",
        "recon.study.rerun",
    ),
    ("recon.analysis.identification", "recon.analysis.language"),
    ("recon.report",),
    ("recon.commands",),
    ("recon.cli",),
)
"""From the bottom to the top: a module (or name_part of a module) imports from its own layer or from lower ones."""
REGISTRIES = ("encoders.ENCODERS", "priors.PRIORS", "recon.methods.METHODS", "recon.problem.fidelities.FIDELITIES")
WORKSHOP = ("/work/", "/tmp/", "farm-", "TODO", "FIXME", "noqa", "type: ignore", "NotImplementedError", "hasattr(")


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imports(file: Path) -> Iterator[str]:
    """Every imported name, dotted, also inside functions."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def functions(file: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree_of(file)) if isinstance(node, ast.FunctionDef)]


def body_lines(function: ast.FunctionDef) -> int:
    """Lines of the body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def layer(module: str) -> int | None:
    for number, names in enumerate(LAYERS):
        if any(module == name or module.startswith((f"{name}.", f"{name}_")) for name in names):
            return number
    return None


def test_encoders_and_priors_import_neither_recon_nor_each_other() -> None:
    for file in FILES:
        package = file.relative_to(ROOT).parts[0]
        for name in imports(file):
            if package in ("encoders", "priors"):
                assert name.split(".")[0] not in set(PACKAGES) - {package}, f"{file}: {name}"


@pytest.mark.parametrize("file", [f for f in FILES if f.is_relative_to(ROOT / "recon")], ids=module_name)
def test_imports_point_downwards(file: Path) -> None:
    own = layer(module_name(file))
    if module_name(file) == "recon":
        return
    assert own is not None, f"{module_name(file)}: add it to LAYERS"
    for name in imports(file):
        if name.startswith("recon."):
            below = layer(name)
            assert below is not None and below <= own, f"{module_name(file)} imports {name}"


def test_no_files_import_each_other_in_a_circle() -> None:
    """Packages hand names on, so their `__init__.py` is left out; imports inside functions count."""
    known = {module_name(file): file for file in FILES if file.stem != "__init__"}
    graph = {
        name: {module for found in imports(file) for module in (found, found.rpartition(".")[0]) if module in known}
        for name, file in known.items()
    }
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_data_simulate_and_metrics_know_only_records_and_what_is_below() -> None:
    allowed = {
        "data": ("recon.types", "recon.data"),
        "simulate": ("recon.types", "recon.data", "recon.simulate"),
        "metrics": ("recon.types", "recon.metrics"),
    }
    for folder, prefixes in allowed.items():
        for file in (ROOT / "recon" / folder).rglob("*.py"):
            for name in imports(file):
                if name.startswith("recon."):
                    assert name.startswith(prefixes), f"{file}: {name}"


def test_only_the_configuration_knows_all_registries() -> None:
    for file in FILES:
        known = [name for name in imports(file) if name in REGISTRIES]
        assert len(known) <= 1 or module_name(file) == "recon.config", f"{file}: {known}"


def test_the_registries_are_literal_and_every_line_is_explained() -> None:
    for kind, name, about in config.listing():
        assert len(about) > 20 and about.endswith((".", ":")), f"{kind} {name}: expected a docstring, got {about!r}"
    for name in REGISTRIES:
        module, _, variable = name.rpartition(".")
        path = ROOT.joinpath(*module.split("."))
        file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        values = [
            node.value
            for node in tree_of(file).body
            if isinstance(node, ast.Assign | ast.AnnAssign) and ast.unparse(node).startswith(variable)
        ]
        assert len(values) == 1 and isinstance(values[0], ast.Dict), f"{name}: expected a literal dict"


def test_files_are_short() -> None:
    long = {module_name(f): n for f in FILES if (n := len(f.read_text(encoding="utf-8").splitlines())) > 300}
    assert not long


def test_functions_are_short() -> None:
    lengths = {f"{module_name(f)}.{x.name}": body_lines(x) for f in FILES for x in functions(f)}
    assert {name: n for name, n in lengths.items() if n > 60} == {}
    assert statistics.median(lengths.values()) <= 10


NESTING = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)


def depth(node: ast.AST) -> int:
    """Levels of control flow below a node; `elif` is no new level, a function inside starts anew."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            continue
        chained = isinstance(node, ast.If) and node.orelse == [child] and isinstance(child, ast.If)
        deepest = max(deepest, depth(child) + (isinstance(child, NESTING) and not chained))
    return deepest


def test_nesting_is_shallow() -> None:
    """Two levels, three where one of them is a loop."""
    deep = {}
    for file in FILES:
        for function in functions(file):
            loops = any(isinstance(node, ast.For | ast.While) for node in ast.walk(function))
            if depth(function) > (3 if loops else 2):
                deep[f"{module_name(file)}.{function.name}"] = depth(function)
    assert not deep


def test_few_positional_parameters() -> None:
    many = {}
    for file in FILES:
        for function in functions(file):
            names = [a.arg for a in (*function.args.posonlyargs, *function.args.args) if a.arg not in ("self", "cls")]
            if len(names) > 5:
                many[f"{module_name(file)}.{function.name}"] = names
    assert not many


def test_options_are_given_by_name() -> None:
    """What has a default and stands after the fourth place in a public function is keyword-only."""
    by_place = {}
    for file in FILES:
        for function in (node for node in tree_of(file).body if isinstance(node, ast.FunctionDef)):
            names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
            optional = names[max(len(names) - len(function.args.defaults), 4) :]
            if optional and not function.name.startswith("_"):
                by_place[f"{module_name(file)}.{function.name}"] = optional
    assert not by_place


def calls(file: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield ast.unparse(node.func)


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_what_code_never_does(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not [word for word in WORKSHOP if word in text]
    assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree_of(file)))
    forbidden = {"print", "exit", "quit", "sys.exit", "os._exit", "torch.manual_seed", "np.random.seed", "random.seed"}
    assert not forbidden & set(calls(file))
    assert file.stem not in ("utils", "helpers", "misc", "common")


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_everything_public_is_explained(file: Path) -> None:
    tree = tree_of(file)
    if file.read_text(encoding="utf-8").strip():
        assert ast.get_docstring(tree), f"{file}: expected a docstring"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{file}: {node.name}"


def test_classes_are_one_level_deep() -> None:
    """A class of the project inherits from an abstract one of the project, or from none of it."""
    bases: dict[str, set[str]] = {}
    for file in FILES:
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = {ast.unparse(base).split(".")[-1].split("[")[0] for base in node.bases}
    deep = {
        name: own for name, own in bases.items() for base in own & set(bases) if not bases[base] & {"ABC", "Protocol"}
    }
    assert not deep


@pytest.mark.parametrize("file", PRESETS, ids=lambda file: file.stem)
def test_every_preset_builds_a_method(file: Path) -> None:
    method = config.build("method", config.load(file))
    assert isinstance(method, Method) and dataclasses.is_dataclass(method)


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_configuration_is_valid(file: Path) -> None:
    tree = config.load(file)
    if "search" in tree:
        from recon.study.search import Search

        config.record(Search, tree.pop("search"), where="search")
    if "identify" in tree:
        from recon.analysis.identification.stimuli import Identify

        config.record(Identify, tree.pop("identify"), where="identify")
    if "ablation" in tree:
        from recon.study.ablation.ablate import prepared

        _, tree = prepared(tree)
    settings = config.record(Settings, tree, where=file.stem)
    plan(settings)
    if settings.simulate is not None:
        from recon.simulate.encoded import EncodedSettings
        from recon.simulate.settings import SimulationSettings

        kind: type[Any] = EncodedSettings if "encoder" in settings.simulate else SimulationSettings
        config.record(kind, settings.simulate, where="simulate")
    for encoder in (*settings.encoders.values(), *filter(None, [settings.judge])):
        assert encoder["name"] in config.registries()["encoder"]


@pytest.mark.parametrize("file", sorted((ROOT / "configs/tune").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_search_can_be_run(file: Path) -> None:
    from recon.study.search import Search, Searches
    from recon.study.tune import with_settings

    tree = config.load(file)
    searches = [(row, tree["search"]) for row in tree["rows"]] if "search" in tree else []
    if "searches" in tree:
        record = config.record(Searches, tree.pop("searches"), where="searches")
        searches = [(record.of[name]["row"], search) for name, search in record.named()]
    for row, asked in searches:
        for chosen in config.record(Search, asked, where="search").combinations():
            config.build("method", with_settings(row, chosen)["method"])
    assert searches and tree["clips"]["tier"] == "oracle"


def test_there_are_configurations_to_check() -> None:
    assert PRESETS and CONFIGS
    for file in (ROOT / "configs").rglob("*.yaml"):
        assert OmegaConf.load(file) is not None


def test_methods_are_frozen_and_know_no_trials() -> None:
    for name, method in config.registries()["method"].items():
        assert dataclasses.is_dataclass(method) and method.__dataclass_params__.frozen, name
        call = inspect.signature(method.__call__)
        assert "Trial" not in str(call), f"{name}: {call}"
