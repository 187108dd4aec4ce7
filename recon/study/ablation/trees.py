"""Method trees modified for an ablation: another prior, text or strength, or no activity."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from recon import config
from recon.errors import InputError
from recon.methods import Method
from recon.methods.facts import Strength
from recon.priors.prior import Prior

Tree = Mapping[str, Any]

GUIDANCE = Strength("denoiser.guidance", (0.0, 1.0, 2.0, 4.0))
"""Weight of the text, of every prior that takes one."""
REMEDY = "specify prior_only, for example {name: sample, denoiser: …}"


def guided(tree: Any) -> Iterator[Tree]:
    """Yield every method within a tree that has a denoiser that takes text, from the outside in.

    >>> [method["name"] for method in guided({"method": {"name": "dps", "denoiser": {"name": "diffusion"}}})]
    ['dps']
    """
    if isinstance(tree, Mapping):
        if _is_guided(tree):
            yield tree
        for value in tree.values():
            yield from guided(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from guided(value)


def with_gaussian(tree: Tree) -> dict[str, Any]:
    """Return the method with every denoiser that takes text replaced by the exact denoiser of a Gaussian."""
    return _changed(tree, lambda method: {**method, "denoiser": {"name": "gaussian"}})


def with_text(tree: Tree, text: Tree | None) -> dict[str, Any]:
    """Return the method with every denoiser that takes text conditioned on `text`, or on nothing."""
    added = {} if text is None else {"text": dict(text)}

    def change(method: Tree) -> dict[str, Any]:
        rest = {key: value for key, value in method["denoiser"].items() if key != "text"}
        return {**method, "denoiser": rest | added}

    return _changed(tree, change)


def decoded_text(tree: Tree) -> dict[str, Any]:
    """Return the method's settings for decoded text, or the default."""
    for method in guided(tree):
        text = method["denoiser"].get("text")
        if text is not None and text.get("name") != "decoded":
            raise InputError(
                f"ablation.method: expected a denoiser whose text is decoded, or that has none, got {text}; leave the "
                "text out: each row has its own"
            )
        if text is not None:
            return dict(text)
    return {"name": "decoded"}


def prior_only(tree: Tree) -> dict[str, Any]:
    """Return the method with activity switched off: strength 0, and no other method's movie as the start.

    Only the decoded words, if any, still depend on the activity. Raises InputError for a method that sees the activity
    otherwise.

    >>> prior_only({"name": "egg", "scale": 2.0, "denoiser": {"name": "diffusion"}})
    {'name': 'egg', 'scale': 0.0, 'denoiser': {'name': 'diffusion'}}
    """

    def silenced(method: Tree) -> dict[str, Any]:
        alone = {key: value for key, value in method.items() if key != "start"}
        strength = _strength(method)
        return _put(alone, strength.path, 0.0) if strength else alone

    silent = _changed(tree, silenced)
    method: Method = config.build("method", with_text(silent, None), where="prior only")
    if method.sees.activity:
        raise InputError(
            f"prior only: expected a method that at strength 0 sees no activity, except through its text, got "
            f"{tree.get('name')!r}, which uses the activity itself; {REMEDY}"
        )
    return silent


def knobs(tree: Tree) -> list[str]:
    """Return the keys that `turned` accepts for a method: guidance, and the strengths of its guided methods."""
    return ["guidance", *sorted({strength.path[-1] for method in guided(tree) if (strength := _strength(method))})]


def turned(tree: Tree, knob: str, value: float) -> dict[str, Any]:
    """Return the method with one knob set wherever it is: guidance of the text, or a strength.

    >>> turned({"name": "diffpir", "denoiser": {"name": "diffusion"}}, "beta", 3.0)["data"]
    {'beta': 3.0}
    """
    _check(tree, knob)
    return _changed(
        tree, lambda method: _put(method, found.path, value) if (found := _knob(method, knob)) else dict(method)
    )


def values_of(tree: Tree, knob: str) -> tuple[float, ...]:
    """Return the declared values of a knob's sweep, of the outermost method that has it.

    >>> values_of({"name": "egg", "denoiser": {"name": "diffusion"}}, "scale")
    (0.3, 1.0, 3.0, 10.0)
    """
    _check(tree, knob)
    found = (_knob(method, knob) for method in guided(tree))
    return next(strength.values for strength in found if strength)


def setting(tree: Tree, knob: str) -> float | None:
    """Return a knob's value in the tree, or None if left at its default or no number: a guidance by noise level."""
    _check(tree, knob)
    for method in guided(tree):
        strength = _knob(method, knob)
        if strength and (found := _at(method, strength.path)) is not None:
            return found
    return None


def _at(tree: Tree, path: tuple[str, ...]) -> float | None:
    """Return the number at a path, or None."""
    found: Any = tree
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return float(found) if path and isinstance(found, int | float) else None


def _check(tree: Tree, knob: str) -> None:
    if knob not in (known := knobs(tree)):
        raise InputError(f"ablation.sweep: expected one of {', '.join(known)}, got {knob!r}; correct or remove it")


def _knob(method: Tree, knob: str) -> Strength | None:
    """Return a method's knob, or None if it has none of the name."""
    if knob == GUIDANCE.path[-1]:
        return GUIDANCE
    strength = _strength(method)
    return strength if strength and strength.path[-1] == knob else None


def _strength(method: Tree) -> Strength | None:
    """Return the declared strength of a method; None if it has none, or its name is none of a class."""
    cls = config.registries()["method"].get(str(method.get("name")))
    declared: Strength | None = getattr(cls, "strength", None) if inspect.isclass(cls) else None
    return declared


def _is_guided(tree: Tree) -> bool:
    denoiser = tree.get("denoiser")
    name = denoiser.get("name") if isinstance(denoiser, Mapping) else None
    prior = config.registries()["prior"].get(str(name))
    return isinstance(prior, type) and issubclass(prior, Prior) and prior.takes_text


def _changed(tree: Tree, change: Callable[[Tree], dict[str, Any]]) -> dict[str, Any]:
    """Return a copy of a tree with `change` applied to every method that has a denoiser that takes text."""
    copy: dict[str, Any] = _copied(tree, change)
    return copy


def _copied(tree: Any, change: Callable[[Tree], dict[str, Any]]) -> Any:
    if isinstance(tree, Mapping):
        own = {key: _copied(value, change) for key, value in tree.items()}
        return change(own) if _is_guided(own) else own
    return [_copied(value, change) for value in tree] if isinstance(tree, list | tuple) else tree


def _put(tree: Tree, path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return a copy of a tree with the value at a path replaced."""
    first, *rest = path
    return {**tree, first: _put(tree.get(first) or {}, tuple(rest), value) if rest else value}
