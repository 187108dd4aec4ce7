"""Declared and imported packages: every declared one is imported by the product, every import is declared."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from collections import defaultdict
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
THROUGH = {"torchvision": "lpips"}
"""Packages that another one imports for us: lpips builds its networks from torchvision's."""


def declared(section: str, key: str) -> set[str]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lines = parser[section][key].split("\n")
    return {re.split(r"[\[<>=; ]", line)[0].lower() for line in lines if line}


def imported() -> dict[str, set[str]]:
    """Return the distributions that the product imports, also inside functions, with the files that do."""
    known, found = packages_distributions(), defaultdict(set)
    for room in ("recon", "encoders", "priors"):
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
                for name in {module.split(".")[0] for module in modules} - sys.stdlib_module_names - {"recon"}:
                    found[known.get(name, [name])[0].lower().replace("_", "-")].add(file.name)
    return found


def test_every_declared_package_is_imported_for_work() -> None:
    used = set(imported())
    unused = declared("options", "install_requires") - used
    assert {name for name in unused if THROUGH.get(name) not in used} == set()


def test_every_import_is_declared() -> None:
    extras = {
        name for key in ("text", "language", "cluster", "diffusion") for name in declared("options.extras_require", key)
    }
    known = declared("options", "install_requires") | extras
    assert {name: files for name, files in imported().items() if name not in known} == {}
