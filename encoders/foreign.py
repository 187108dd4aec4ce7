"""Encoders that a user's factory returns: given their weights, wrapped where they are bare modules, and dry-run."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from recon.encoders.base import Encoder, Spec
from recon.encoders.dry_run import dry_run
from recon.encoders.specs import checked_spec
from recon.encoders.wrap import Wrapped, wrap
from recon.errors import InputError
from recon.files.paths import user_path
from recon.files.weights import check_shapes


def finished(made: object, weights: str = "") -> Encoder:
    """Return the encoder of a factory in evaluation mode, with weights loaded strictly, after a dry run.

    `made`: an Encoder, or (torch module, Spec). `weights`: a .safetensors file or a .pth state dict, with the names of
    the module's own parameters; an empty text leaves the weights that the factory gave.
    """
    if isinstance(made, Encoder):
        load_weights(made.module if isinstance(made, Wrapped) else made, weights)
        spec = checked_spec(getattr(made, "spec", None))
        if made.spec != spec:
            made.spec = spec
        dry_run(made)
        return made.eval()
    module, spec_of = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, nn.Module) or not isinstance(spec_of, Spec):
        got = f"({', '.join(type(part).__name__ for part in made)})" if isinstance(made, tuple) else type(made).__name__
        raise InputError(f"factory: expected it to return an Encoder or (module, Spec), got {got}; return one of them")
    load_weights(module, weights)
    return wrap(module, spec_of).eval()


def load_weights(module: nn.Module, weights: str) -> None:
    """Load a file of weights into a module; raises InputError for the first name or shape that differs.

    The names may lack, or have, one prefix in common: that of an adapter around the module, or of a wrapper that saved
    them.
    """
    if not weights:
        return
    from recon.encoders.dwiseneuro.argus_files import read_state

    path, expected = user_path(weights), module.state_dict()
    tensors = renamed(read_state(path), expected)
    check_shapes(path, expected, tensors)
    module.load_state_dict(tensors)


def renamed(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors by the expected names where one prefix makes all the difference; otherwise by their own.

    >>> import torch
    >>> one = torch.zeros(1)
    >>> list(renamed({"a": one, "b": one}, {"net.a": one, "net.b": one}))
    ['net.a', 'net.b']
    """
    shortest, wanted = min(tensors, default=""), min(expected, default="")
    added, removed = wanted.removesuffix(shortest), shortest.removesuffix(wanted)
    for new in (
        {f"{added}{name}": value for name, value in tensors.items()},
        {name.removeprefix(removed): value for name, value in tensors.items()},
    ):
        if set(new) == set(expected) and len(new) == len(tensors):
            return new
    return dict(tensors)
