"""The methods of the contract table, fitted once."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import linear as worlds
from worlds.method_table import METHOD_TABLE

from recon.methods import fitted


@pytest.fixture(scope="session")
def ready(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every method of the table, ready to run."""
    training = worlds.training(tmp_path_factory.mktemp("artefacts"))
    return {name: fitted(method, training) for name, method in METHOD_TABLE.items()}
