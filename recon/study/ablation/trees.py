"""Method trees modified for an ablation: another prior, text or strength, or no activity."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from recon.errors import InputError

Tree = Mapping[str, Any]

STRENGTH: dict[str, tuple[str, ...]] = {
    "diffpir": ("data", "beta"),
    "plug_and_play": ("data", "beta"),
    "split_gibbs": ("beta",),
    "dps": ("beta",),
    "red_diff": ("beta",),
    "egg": ("scale",),
    "sample": (),
}
"""Methods with a denoiser, and the path to the strength of their guidance by activity (empty: unguided)."""
WRAPPERS = ("smoothed", "posterior", "ensemble", "deep_ensemble")
"""Methods that wrap one other in `method` and use the activity only through it."""
REMEDY = "specify prior_only, for example {name: sample, denoiser: …}"


def guided(tree: Any) -> Iterator[Tree]:
    """Yield every method within a tree that has a diffusion denoiser, from the outside in.

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
    """Return the method with every diffusion denoiser replaced by the exact denoiser of a Gaussian."""
    return _changed(tree, lambda method: {**method, "denoiser": {"name": "gaussian"}})


def with_text(tree: Tree, text: Tree | None) -> dict[str, Any]:
    """Return the method with every diffusion denoiser conditioned on `text`, or on nothing."""
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

    Only the decoded words, if any, still depend on the activity. Raises InputError for a method that uses the activity
    outside its diffusion denoiser.

    >>> prior_only({"name": "egg", "scale": 2.0, "denoiser": {"name": "diffusion"}})
    {'name': 'egg', 'scale': 0.0, 'denoiser': {'name': 'diffusion'}}
    """
    name = str(tree.get("name"))
    if _is_guided(tree):
        path = _strength(name)
        alone = {key: value for key, value in tree.items() if key != "start"}
        return _put(alone, path, 0.0) if path else alone
    if name in WRAPPERS:
        return {**tree, "method": prior_only(tree["method"])}
    raise InputError(
        f"prior only: expected a method with a diffusion denoiser, alone or in {', '.join(WRAPPERS)}, got {name!r}, "
        f"which uses the activity itself; {REMEDY}"
    )


def knobs(tree: Tree) -> list[str]:
    """Return the keys that `turned` accepts for a method: guidance, and the strengths of its guided methods."""
    found = {path[-1] for method in guided(tree) if (path := STRENGTH.get(str(method["name"]), ()))}
    return ["guidance", *sorted(found)]


def turned(tree: Tree, knob: str, value: float) -> dict[str, Any]:
    """Return the method with guidance set in every diffusion denoiser, or the strength of every method that has one.

    >>> turned({"name": "diffpir", "denoiser": {"name": "diffusion"}}, "beta", 3.0)["data"]
    {'beta': 3.0}
    """
    _check(tree, knob)
    return _changed(tree, lambda method: _put(method, path, value) if (path := _path(method, knob)) else dict(method))


def setting(tree: Tree, knob: str) -> float | None:
    """Return a knob's value in the tree, or None if left at its default."""
    _check(tree, knob)
    for method in guided(tree):
        if (found := _at(method, _path(method, knob))) is not None:
            return found
    return None


def switched_off(method: Tree) -> bool:
    """Return whether a method with a denoiser has strength 0, hence no guidance by activity."""
    return _at(method, STRENGTH.get(str(method.get("name")), ())) == 0


def _at(tree: Tree, path: tuple[str, ...]) -> float | None:
    """Return the number at a path, or None."""
    found: Any = tree
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return float(found) if path and found is not None else None


def _check(tree: Tree, knob: str) -> None:
    if knob not in (known := knobs(tree)):
        raise InputError(f"ablation.sweep: expected one of {', '.join(known)}, got {knob!r}; correct or remove it")


def _path(method: Tree, knob: str) -> tuple[str, ...]:
    """Return the path to a method's knob; empty if it has none."""
    if knob == "guidance":
        return ("denoiser", "guidance")
    path = STRENGTH.get(str(method["name"]), ())
    return path if path and path[-1] == knob else ()


def _strength(name: str) -> tuple[str, ...]:
    if name not in STRENGTH:
        raise InputError(f"prior only: expected one of {', '.join(STRENGTH)}, got {name!r}; {REMEDY}")
    return STRENGTH[name]


def _is_guided(tree: Tree) -> bool:
    denoiser = tree.get("denoiser")
    return isinstance(denoiser, Mapping) and denoiser.get("name") == "diffusion"


def _changed(tree: Tree, change: Callable[[Tree], dict[str, Any]]) -> dict[str, Any]:
    """Return a copy of a tree with `change` applied to every method that has a diffusion denoiser."""
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
