"""The house rules, checked on the syntax trees: layers, lengths, what code never does. One pass over all files."""

from __future__ import annotations

import ast
import dataclasses
import functools
import graphlib
import inspect
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from recon import config
from recon.methods.base import Method

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(file for name in ("recon", "encoders", "priors") for file in (ROOT / name).rglob("*.py"))
LAYERS = (
    ("errors", "files", "correlation"),
    ("encoders", "priors"),
    ("types", "media"),
    ("data", "metrics"),
    ("simulate", "problem"),
    ("methods",),
    ("run",),
    ("config", "study"),
    ("trust", "train", "analysis", "live"),
    ("report",),
    ("api", "commands"),
    ("cli",),
)
"""From the bottom to the top: a package or module below recon/ imports from its own layer or from lower ones."""
UNITS = 22
REGISTRIES = (
    "recon.encoders.registry.ENCODERS",
    "recon.priors.PRIORS",
    "recon.methods.METHODS",
    "recon.problem.fidelities.FIDELITIES",
)
WORKSHOP = ("/work/", "/tmp/", "farm-", "TODO", "FIXME", "noqa", "type: ignore", "NotImplementedError", "hasattr(")


@functools.cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def module_name(file: Path) -> str:
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return name if name.split(".")[0] == "recon" else f"recon.{name}"


def unit(module: str) -> str:
    """Return the package or module directly below recon/ that a dotted name belongs to."""
    return module.split(".")[1]


def imports(file: Path) -> Iterator[str]:
    """Yield every imported name, dotted, also inside functions and by `import_module`."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (word.value for word in node.args if isinstance(word, ast.Constant))


def functions(file: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree_of(file)) if isinstance(node, ast.FunctionDef)]


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    for file in FILES:
        yield from ((module_name(file), node) for node in ast.walk(tree_of(file)) if isinstance(node, ast.ClassDef))


def arrows() -> dict[str, set[str]]:
    """Return for each unit the units that it imports from."""
    found: dict[str, set[str]] = {unit(module_name(file)): set() for file in FILES if module_name(file) != "recon"}
    for file in FILES:
        own = module_name(file)
        if own != "recon":
            named = {unit(name) for name in imports(file) if name.startswith("recon.")}
            found[unit(own)] |= named & set(found) - {unit(own)}
    return found


def test_units_import_downwards_and_never_in_a_circle() -> None:
    layer = {name: number for number, names in enumerate(LAYERS) for name in names}
    graph = arrows()
    assert len(graph) <= UNITS and len(LAYERS) <= 12
    assert set(graph) <= set(layer), "every package and module directly below recon/ has a layer"
    assert [(one, other) for one in graph for other in graph[one] if layer[other] > layer[one]] == []
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_encoders_and_priors_know_only_the_lowest_layer() -> None:
    graph = arrows()
    assert graph["encoders"] | graph["priors"] <= set(LAYERS[0])


def test_no_files_import_each_other_in_a_circle() -> None:
    """A package hands names on, so its `__init__.py` is left out; imports inside functions count."""
    known = {module_name(file): file for file in FILES if file.stem != "__init__"}
    graph = {
        name: {module for found in imports(file) for module in (found, found.rpartition(".")[0]) if module in known}
        for name, file in known.items()
    }
    assert list(graphlib.TopologicalSorter(graph).static_order())


def loaded(file: Path, known: set[str]) -> set[str]:
    """Return the modules that importing a file executes: those it names at its top level, and their packages."""
    own, found = module_name(file), set()
    for node in tree_of(file).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        for name in names:
            target = module + name if module + name in known else module.removesuffix(".")
            parts = target.split(".")
            found |= {".".join(parts[:end]) for end in range(1, len(parts) + 1)} & known
    return {name for name in found if name != own and not own.startswith(f"{name}.")}


def test_every_module_can_be_imported_first() -> None:
    """A package's `__init__.py` counts here: it is executed before any module in it."""
    known = {module_name(file) for file in FILES}
    assert list(graphlib.TopologicalSorter({module_name(file): loaded(file, known) for file in FILES}).static_order())


def test_the_two_linked_packages_are_imported_under_one_name() -> None:
    """`encoders` and `priors` at the top level are folders, not packages that anybody imports."""
    tests = sorted((ROOT / "tests").rglob("*.py"))
    wrong = {file: name for file in (*FILES, *tests) for name in imports(file) if name.split(".")[0] in LINKED}
    assert not wrong


LINKED = ("encoders", "priors")


def test_only_the_configuration_knows_all_registries() -> None:
    for file in FILES:
        known = [name for name in imports(file) if name in REGISTRIES]
        assert len(known) <= 1 or module_name(file) == "recon.config", f"{file}: {known}"


def test_the_registries_are_literal_and_every_line_is_explained() -> None:
    for kind, name, about in config.listing():
        assert len(about) > 20 and about.endswith((".", ":")), f"{kind} {name}: expected a docstring, got {about!r}"
    files = {module_name(file): file for file in FILES}
    for name in REGISTRIES:
        module, _, variable = name.rpartition(".")
        values = [
            node.value
            for node in tree_of(files[module]).body
            if isinstance(node, ast.Assign | ast.AnnAssign) and ast.unparse(node).startswith(variable)
        ]
        assert len(values) == 1 and isinstance(values[0], ast.Dict), f"{name}: expected a literal dict"


def test_files_are_short() -> None:
    files = (*FILES, *(ROOT / "tests").rglob("*.py"))
    lengths = {module_name(file): len(file.read_text(encoding="utf-8").splitlines()) for file in files}
    assert {name: lines for name, lines in lengths.items() if lines > 300} == {}


def body_lines(function: ast.FunctionDef) -> int:
    """Return the lines of the body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def positional(function: ast.FunctionDef) -> int:
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args) if a.arg not in ("self", "cls")]
    return len(names)


NESTING = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)


def depth(node: ast.AST) -> int:
    """Return the levels of control flow below a node; `elif` is no new level, a function inside starts anew."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            continue
        chained = isinstance(node, ast.If) and node.orelse == [child] and isinstance(child, ast.If)
        deepest = max(deepest, depth(child) + (isinstance(child, NESTING) and not chained))
    return deepest


def too_deep(function: ast.FunctionDef) -> bool:
    """Two levels, three where one of them is a loop."""
    loops = any(isinstance(node, ast.For | ast.While) for node in ast.walk(function))
    return depth(function) > (3 if loops else 2)


def that(holds: Callable[[ast.FunctionDef], bool]) -> list[str]:
    return [f"{module_name(file)}.{one.name}" for file in FILES for one in functions(file) if holds(one)]


def test_functions_are_short_and_shallow_and_take_few_positional_parameters() -> None:
    lengths = [body_lines(one) for file in FILES for one in functions(file)]
    assert statistics.median(lengths) <= 10
    assert that(lambda one: body_lines(one) > 60) == []
    assert that(too_deep) == []
    assert that(lambda one: positional(one) > 5) == []


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


FORBIDDEN = {"print", "exit", "quit", "sys.exit", "os._exit", "torch.manual_seed", "np.random.seed", "random.seed"}


def called(file: Path) -> set[str]:
    nodes = (node.func for node in ast.walk(tree_of(file)) if isinstance(node, ast.Call))
    return {ast.unparse(node) for node in nodes if isinstance(node, ast.Name | ast.Attribute)}


def test_what_code_never_does() -> None:
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        assert not [word for word in WORKSHOP if word in text], file
        assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree_of(file))), file
        assert not FORBIDDEN & called(file), file
        assert file.stem not in ("utils", "helpers", "misc", "common")


def test_every_refusal_is_an_input_error() -> None:
    """A ValueError that this project raises itself is the user's to mend, and says so by its class."""
    raised = {
        f"{module_name(file)}:{node.lineno}"
        for file in FILES
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Raise) and node.exc is not None and ast.unparse(node.exc).startswith("ValueError(")
    }
    assert raised == set()


def test_everything_public_is_explained() -> None:
    for file in FILES:
        tree = tree_of(file)
        if tree.body:
            assert ast.get_docstring(tree), f"{file}: expected a docstring"
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{file}: {node.name}"


def test_no_two_public_classes_share_a_name() -> None:
    places = defaultdict(list)
    for module, node in classes():
        if not node.name.startswith("_"):
            places[node.name].append(module)
    assert {name: modules for name, modules in places.items() if len(modules) > 1} == {}


def test_classes_are_one_level_deep() -> None:
    """A class of the project inherits from an abstract one of the project, or from none of it."""
    bases = {
        node.name: {ast.unparse(base).split(".")[-1].split("[")[0] for base in node.bases} for _, node in classes()
    }
    deep = {
        name: own for name, own in bases.items() for base in own & set(bases) if not bases[base] & {"ABC", "Protocol"}
    }
    assert not deep


def test_methods_are_frozen_and_know_no_trials() -> None:
    for name, method in config.registries()["method"].items():
        assert dataclasses.is_dataclass(method) and method.__dataclass_params__.frozen, name
        call = inspect.signature(method.__call__)
        assert "Trial" not in str(call), f"{name}: {call}"


def test_every_preset_builds_a_method() -> None:
    presets = sorted((ROOT / "configs" / "methods").glob("*.yaml"))
    assert presets
    for file in presets:
        method = config.build("method", config.load(file))
        assert isinstance(method, Method) and dataclasses.is_dataclass(method), file


def test_tests_that_run_alone_are_where_make_looks_for_them() -> None:
    tests = Path(__file__).parents[1]
    marked = [file for file in tests.rglob("test_*.py") if "mark.alone" in file.read_text(encoding="utf-8")]
    assert marked and all(file.parent == tests / "slow" for file in marked if file != Path(__file__))
