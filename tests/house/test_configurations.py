"""Every configuration that is shipped is valid and can be planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from recon import config
from recon.analysis.identification.stimuli import Identify
from recon.analysis.worth.study import prepared_words
from recon.priors.guidance import falling
from recon.simulate.encoded import EncodedSettings
from recon.simulate.settings import SimulationSettings
from recon.study.ablation.ablate import prepared
from recon.study.dry_run import planned_search
from recon.study.search import Search, Searches
from recon.study.settings import Settings
from recon.study.shared import plan
from recon.study.tune import with_settings

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
OTHERS = ("mask", "mask_part", "fields", "identify_v1", "identify_static", "identify_captions", "language")
OTHERS += ("sample", "sample_pipeline")
"""Configurations of commands that are not benchmarks; each is read by the tests of its command."""


def test_every_benchmark_can_be_planned() -> None:
    files = [file for folder in (CONFIGS, CONFIGS / "bauer2025") for file in sorted(folder.glob("*.yaml"))]
    chosen = [file for file in files if file.stem not in OTHERS]
    assert chosen
    for file in chosen:
        check(config.load(file), file.stem)


def check(tree: dict[str, Any], name: str) -> None:
    for key, kind in (("search", Search), ("identify", Identify)):
        if key in tree:
            config.record(kind, tree.pop(key), where=key)
    for key, ready in (("ablation", prepared), ("words", prepared_words)):
        if key in tree:
            _, tree = ready(tree)
    settings = config.record(Settings, tree, where=name)
    plan(settings)
    if settings.simulate is not None:
        kind = EncodedSettings if "encoder" in settings.simulate else SimulationSettings
        config.record(kind, settings.simulate, where="simulate")
    for encoder in (*settings.encoders.values(), *filter(None, [settings.judge])):
        assert encoder["name"] in config.registries()["encoder"], name


def test_every_search_can_be_run() -> None:
    files = sorted((CONFIGS / "tune").glob("*.yaml"))
    assert files
    for file in files:
        tree = config.load(file)
        searches = [(row, tree["search"]) for row in tree["rows"]] if "search" in tree else []
        if "searches" in tree:
            record = config.record(Searches, tree.pop("searches"), where="searches")
            searches = [(record.of[name]["row"], search) for name, search in record.named()]
        for row, asked in searches:
            for chosen in config.record(Search, asked, where="search").combinations():
                config.build("method", with_settings(row, chosen)["method"])
        assert searches and tree["clips"]["tier"] == "oracle", file


def test_every_file_is_yaml() -> None:
    for file in CONFIGS.rglob("*.yaml"):
        assert OmegaConf.load(file) is not None


def test_a_dry_run_counts_the_denoisings_of_every_combination() -> None:
    """Two evaluations where the scale of guidance is neither 0 nor 1, at every level of every combination."""
    twice = 0
    for highest in (1.2, 2.4):
        levels = falling(8, highest, 0.03)
        ramp, interval = sum(level > 0.4 for level in levels), sum(0.3 < level <= 2.0 for level in levels)
        twice += ramp + interval + 3 * len(levels)
    found = [line for line in planned_search(config.load("tune/cascade")) if line.startswith("combinations")]
    assert f"{6 * 12 * 8} denoiser" in found[0] and f"{6 * (12 * 8 + twice)} denoiser" in found[1]
