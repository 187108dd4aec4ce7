"""Loading of diffusers pipelines from folders and model hubs: complete, frozen, never with random weights."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from recon.errors import InputError
from recon.files.paths import user_path
from recon.files.weights import check_tensors
from recon.priors.pipelines import FAMILIES, Family, Pipeline
from recon.priors.variants import weights_variant

Precision = Literal["float32", "bfloat16", "float16"]

UNUSED = ("safety_checker", "feature_extractor", "image_encoder")
"""Components not loaded, because they only process output or input images."""


def load_pipeline(
    source: str | Path, *, at_once: int = 8, recompute: bool = True, precision: Precision = "float32"
) -> Pipeline:
    """Return the frozen pipeline of a folder written by `save_pretrained`, or of a model hub id, on the CPU.

    Network and text encoders compute in `precision`, the autoencoder always in float32. The safety checker is omitted.
    Raises InputError if weights are missing or incomplete, and for pipelines outside `FAMILIES`.
    """
    import diffusers

    index, family = _described(source)
    with _available(source):
        kind: Any = getattr(diffusers, index["_class_name"])
        known = [name for name in inspect.signature(kind).parameters if name in (*index, *UNUSED)]
        pipe = kind(**{name: _part(source, name, index.get(name), precision) for name in known})
    return Pipeline(pipe, family, at_once=at_once, recompute=recompute).eval().requires_grad_(False)


def check_pipeline(source: str | Path) -> None:
    """Raise InputError where a folder or hub id has no pipeline of a known family; its weights are not read."""
    _described(source)


def _described(source: str | Path) -> tuple[Mapping[str, Any], Family]:
    import diffusers

    with _available(source):
        index: Mapping[str, Any] = diffusers.DiffusionPipeline.load_config(str(user_path(source)))
    return index, _family(index)


def _family(index: Mapping[str, Any]) -> Family:
    name = str(index.get("_class_name"))
    if name not in FAMILIES:
        raise InputError(f"pipeline: expected one of {', '.join(FAMILIES)}, got {name}; take a model of these")
    if (index.get("transformer_2") or [None])[0] is not None:
        raise InputError(f"pipeline: expected one network, got a {name} of two; take a model with one transformer")
    if name == "WanPipeline" and find_spec("accelerate") is None:
        raise InputError("pipeline: WanPipeline needs the package accelerate, got none; pip install 'recon[diffusion]'")
    return FAMILIES[name]


def _part(source: str | Path, name: str, entry: Any, precision: Precision) -> Any:
    """Return a component or a setting of a pipeline; model_index.json stores components as [library, class] pairs."""
    if not isinstance(entry, list | tuple):
        return False if name == "requires_safety_checker" else entry
    library, kind = entry
    if library is None or name in UNUSED:
        return None
    loader: Any = getattr(import_module(library), kind)
    if issubclass(loader, nn.Module):
        return _model(source, name, loader, torch.float32 if name == "vae" else getattr(torch, precision))
    return loader.from_pretrained(str(user_path(source)), subfolder=name)


def _model(source: str | Path, name: str, loader: Any, precision: torch.dtype) -> nn.Module:
    """Return a component with weights; missing weights raise InputError, because the libraries would randomise them."""
    variant = weights_variant(source, name)
    options: dict[str, Any] = {"dtype": precision}
    if loader.__module__.startswith("diffusers"):
        options = {"torch_dtype": precision, "low_cpu_mem_usage": find_spec("accelerate") is not None}
    model, info = loader.from_pretrained(
        str(user_path(source)), subfolder=name, output_loading_info=True, variant=variant, **options
    )
    if info["missing_keys"]:
        raise InputError(f"the weights of {name} lack {', '.join(sorted(info['missing_keys'])[:3])}")
    loaded: nn.Module = model
    check_tensors(name, dict(loaded.named_parameters()))
    return loaded


@contextmanager
def _available(source: str | Path) -> Iterator[None]:
    """Convert library errors to one InputError, and preserve torch's global random state."""
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, TypeError, AttributeError) as error:
        raise InputError(
            f"pipeline: expected a folder of a diffusers pipeline or a hub's id, got {str(source)!r}, which is not "
            f"available ({' '.join(str(error).split())[:200]}); download it and pass its folder"
        ) from error
