"""Numbers of configurations: every one has a range, and what lies outside is refused in one line at second 0."""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import pytest

from recon import config
from recon.config.parameters import parameters_of
from recon.errors import InputError

RECORDS = {
    "recon.study.settings": ("Settings",),
    "recon.study.search": ("Search", "Searches"),
    "recon.study.ablation.rows": ("Ablation",),
    "recon.analysis.worth.rows": ("WordStudy",),
    "recon.simulate.settings": ("SimulationSettings",),
    "recon.simulate.encoded": ("EncodedSettings",),
    "recon.data.formats.convert": ("Conversion",),
    "recon.train.autoencoder": ("AutoencoderTraining",),
    "recon.train.decoder": ("DecoderTraining",),
    "recon.train.dwiseneuro": ("DwiseTraining",),
    "recon.train.encoder": ("EncoderTraining",),
    "recon.train.mask": ("MaskTraining",),
    "recon.train.prior": ("PriorTraining",),
    "recon.analysis.identification.captions": ("CaptionIdentification",),
    "recon.analysis.identification.segments": ("NeuralIdentification",),
    "recon.analysis.identification.static": ("StaticIdentification",),
    "recon.analysis.identification.stimuli": ("Identify",),
    "recon.analysis.language.inputs": ("LanguageStudy",),
    "recon.analysis.prior_samples": ("SampleSettings",),
    "recon.analysis.receptive_fields": ("FieldMapping",),
    "recon.encoders.base": ("Spec",),
    "recon.encoders.core_readout.model": ("CoreReadoutSettings",),
    "recon.encoders.glm.model": ("GlmSettings",),
    "recon.encoders.judge": ("JudgeSettings",),
    "recon.data.header": ("Header", "CaptionLine"),
}
FREE = {
    "Ablation.sweep",  # values of a field that has its own range
    "Conversion.drift",
    "CoreReadoutSettings.mean",
    "Diffusion.guidance",
    "DwiseSettings.fill",
    "GlmSettings.mean",
    "Guidance.high",
    "Guidance.low",
    "Guidance.seen",
    "JudgeSettings.mean",
    "Mask.evaluate",
    "Mask.update",
    "Normalisation.image",
    "Normalisation.pupil_mean",
    "Pretrained.guidance",
    "PriorTraining.level",
    "SampleSettings.guidance",
    "Search.objective",
    "Searches.objective",
    "Spec.behavior_means",
    "Statistics.image",
    "Statistics.pupil_mean",
}
"""Numbers that may have any finite value."""


def leaves(annotation: Any) -> Iterator[Any]:
    """Every type that an annotation is made of; annotated ones whole."""
    if get_origin(annotation) is Annotated and get_args(annotation)[0] in (int, float):
        yield annotation
    elif get_args(annotation):
        for part in get_args(annotation):
            yield from leaves(part)
    else:
        yield annotation


def numbers() -> dict[str, tuple[Any, list[Any]]]:
    """Every field with numbers of every record that YAML or a weights file fills: annotation, and its leaves."""
    waiting = [getattr(importlib.import_module(module), name) for module, names in RECORDS.items() for name in names]
    waiting += [entry for entries in config.registries().values() for entry in entries.values()]
    found: dict[str, tuple[Any, list[Any]]] = {}
    seen: set[Any] = set()
    while waiting:
        record = waiting.pop()
        if record in seen:
            continue
        seen.add(record)
        for name, parameter in parameters_of(record).items():
            parts = list(leaves(parameter.annotation))
            waiting += [part for part in parts if isinstance(part, type) and dataclasses.is_dataclass(part)]
            used = [part for part in parts if part in (int, float) or get_origin(part) is Annotated]
            if used:
                found[f"{record.__name__}.{name}"] = (parameter.annotation, used)
    return found


def test_every_number_of_a_record_states_its_range() -> None:
    known = numbers()
    assert len(known) > 220
    free = {name for name, (_, parts) in known.items() if any(part in (int, float) for part in parts)}
    assert free == FREE


def test_what_lies_outside_a_range_is_refused_at_the_lowest_level() -> None:
    for name, (_, parts) in numbers().items():
        for part in parts:
            bad = [math.nan, math.inf, -math.inf]
            if get_origin(part) is Annotated and get_args(part)[0] is int:
                bad += [2**70, -(2**70)]
            for value in bad:
                with pytest.raises(InputError, match="expected"):
                    config.convert(part, value, where=name)


ROW = {"label": "a", "method": {"name": "mean"}}


def settings(**given: Any) -> Any:
    from recon.study.settings import Settings

    tree = {"run": "r", "recording": "x", "encoders": {"a": {"name": "judge", "weights": "w"}}, "rows": [ROW], **given}
    return config.record(Settings, tree, where="benchmark")


@pytest.mark.parametrize(
    "given",
    [
        {"batch": 0},
        {"batch": -1},
        {"trace_every": 0},
        {"window": -1},
        {"seed": 2**64},
        {"seed": -1},
        {"region": [5, 5, 0, 10]},
        {"region": [0, 5, 10, 3]},
        {"region": []},
        {"neurons": {"report": math.nan}},
        {"mask": {"file": "m.npy", "update": math.nan}},
        {"clips": {"count": 0}},
        {"frames": {"warmup": -1}},
        {"rows": [{**ROW, "bins": 0}]},
        {"rows": [{**ROW, "seeds": [-1]}]},
        {"cluster": {"cpus": math.inf}},
    ],
    ids=str,
)
def test_a_benchmark_names_the_number_that_is_wrong(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^benchmark\.[a-z_]+.*expected.*got"):
        settings(**given)


@pytest.mark.parametrize(
    "method",
    [
        {"name": "gradient", "iterations": 0},
        {"name": "gradient", "optimiser": {"name": "adam", "learning_rate": -1.0}},
        {"name": "ridge", "penalties": []},
        {"name": "ridge", "folds": 1},
        {"name": "ridge", "lags": {"first": 3, "last": 1}},
        {"name": "ridge", "lags": {"first": -(10**9)}},
        {"name": "average", "methods": {"a": {"name": "mean"}}, "weights": {"a": 0.0}},
        {"name": "smoothed", "method": {"name": "mean"}, "sigma": [math.inf, 0.0, 0.0]},
        {"name": "sample", "levels": 2**40},
    ],
    ids=str,
)
def test_a_method_names_the_number_that_is_wrong(method: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^method.*expected"):
        config.build("method", method)
