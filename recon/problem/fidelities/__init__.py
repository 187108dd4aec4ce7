"""The registry of fidelities: negative log likelihoods (rates, responses, mask) `[B,N,K]` → energy `[B]`."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import Tensor

from recon.errors import InputError
from recon.files.code_version import library_versions
from recon.files.sealed import DamagedFileError, read_sealed, write_sealed
from recon.problem.fidelities.base import Likelihood
from recon.problem.fidelities.independent import Gaussian, Poisson
from recon.problem.fidelities.low_rank import LowRank
from recon.problem.fidelities.mixture import Mixture

FIDELITIES: dict[str, type[Likelihood]] = {
    "poisson": Poisson,
    "gaussian": Gaussian,
    "mixture": Mixture,
    "low_rank": LowRank,
}


def save(fidelity: Likelihood, path: Path) -> None:
    """Write a fidelity as a safetensors file, with plain fields as JSON metadata."""
    values: dict[str, Any] = {entry.name: getattr(fidelity, entry.name) for entry in fields(fidelity)}
    tensors = {name: v.detach().cpu().contiguous() for name, v in values.items() if isinstance(v, Tensor)}
    plain = {name: v for name, v in values.items() if name not in tensors}
    names = {kind: name for name, kind in FIDELITIES.items()}
    libraries = json.dumps(library_versions())
    about = {"fidelity": names[type(fidelity)], "fields": json.dumps(plain), "libraries": libraries}
    write_sealed(path, tensors, about)


def load(path: Path) -> Likelihood:
    """Return the fidelity of a file written by `save`; other files are refused."""
    try:
        tensors, about = read_sealed(path)
    except DamagedFileError as error:
        raise InputError(f"{path}: expected a fidelity as it was written, got {error}; fit it again") from error
    name = about.get("fidelity", "")
    if name not in FIDELITIES:
        raise InputError(
            f"{path}: expected a fidelity ({', '.join(FIDELITIES)}), got {name or 'a file without that mark'}; "
            "fit the fidelity again and save it"
        )
    kind: type[Any] = FIDELITIES[name]
    known = {entry.name for entry in fields(kind)}
    given = {**json.loads(about["fields"]), **tensors}
    if not set(given) <= known:
        raise InputError(f"{path}: expected fields {sorted(known)}, got {sorted(given)}; fit the fidelity again")
    loaded: Likelihood = kind(**given)
    return loaded
