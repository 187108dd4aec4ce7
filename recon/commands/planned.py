"""Dry runs of the configured commands: their lines, from the settings alone and from what is on disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Tree = dict[str, Any]


def benchmark(tree: Tree) -> Iterator[str]:
    """Dry run of `recon benchmark`."""
    from recon.study.dry_run import planned

    return planned(tree)


def ablate(tree: Tree) -> Iterator[str]:
    """Dry run of `recon ablate`: of the benchmark of its rows."""
    from recon.analysis.worth.study import SECTION, prepared_words
    from recon.study.ablation.ablate import prepared
    from recon.study.dry_run import planned

    return planned((prepared_words if SECTION in tree else prepared)(tree)[1])


def tune(tree: Tree) -> Iterator[str]:
    """Dry run of `recon tune`."""
    from recon.study.dry_run import planned_search

    return planned_search(tree)


def identify(tree: Tree) -> Iterator[str]:
    """Dry run of `recon identify`: of its benchmark, or of the files of the other kinds."""
    from recon.analysis.identification.captions import CaptionIdentification
    from recon.analysis.identification.segments import NeuralIdentification
    from recon.analysis.identification.static import StaticIdentification
    from recon.config import record
    from recon.study.dry_run import planned, planned_files

    if "areas" in tree:
        groups = record(NeuralIdentification, tree, where="identify")
        return planned_files(groups, f"groups: {len(groups.groups)}, {groups.folds} folds each")
    if "captions" in tree:
        decoders = record(CaptionIdentification, tree, where="identify")
        return planned_files(decoders, f"caption decoders: {len(decoders.captions)}")
    if "towers" in tree:
        images = record(StaticIdentification, tree, where="identify")
        return planned_files(images, f"fits: {len(images.shares)}, {images.learning.steps} steps of training each")
    return planned({key: value for key, value in tree.items() if key != "identify"})


def language(tree: Tree) -> Iterator[str]:
    """Dry run of `recon language`."""
    from recon.analysis.language.inputs import LanguageStudy
    from recon.config import record
    from recon.study.dry_run import planned_files

    chosen = record(LanguageStudy, tree, where="language")
    return planned_files(chosen, f"ridge: {len(chosen.penalties)} penalties, {chosen.folds} folds per predictor")


def sample(tree: Tree) -> Iterator[str]:
    """Dry run of `recon sample`."""
    from recon.analysis.prior_samples import SampleSettings
    from recon.config import record
    from recon.study.dry_run import planned_files

    chosen = record(SampleSettings, tree, where="sample")
    clips, (silent, told) = len(chosen.captions) * chosen.draws, chosen.passes
    return planned_files(chosen, f"clips: {clips}, {silent} denoiser passes each, {told} with text")


def fields(tree: Tree) -> Iterator[str]:
    """Dry run of `recon map fields`."""
    from recon.analysis.receptive_fields import FieldMapping
    from recon.config import record
    from recon.study.dry_run import planned_files

    chosen = record(FieldMapping, tree, where="fields")
    movies = max(1, chosen.frames // chosen.clip)
    return planned_files(chosen, f"sparse noise: {movies} encoder passes over {chosen.clip} frames")


def mask(tree: Tree) -> Iterator[str]:
    """Dry run of `recon train mask`."""
    from recon.config import record
    from recon.study.dry_run import planned_files
    from recon.train.mask import MaskTraining

    chosen = record(MaskTraining, tree, where="mask")
    learning = chosen.learning
    return planned_files(
        chosen, f"steps: {learning.steps}, {learning.pairs} encoder passes over {learning.frames} frames"
    )


def encoder(tree: Tree) -> Iterator[str]:
    """Dry run of `recon train encoder`."""
    from recon.study.dry_run import planned_files
    from recon.train.dwiseneuro import dwise_from_mapping
    from recon.train.encoder import from_mapping_with_paths

    if tree.get("encoder") == "dwiseneuro":
        mice = dwise_from_mapping(tree)
        return planned_files(mice, f"training: {mice.training.warmup_epochs + mice.training.epochs} epochs")
    chosen = from_mapping_with_paths(tree)
    if chosen.fit is not None:
        return planned_files(chosen, f"training: {chosen.fit.steps} steps for each of {len(chosen.fit.widths)} widths")
    return planned_files(chosen, f"training: {chosen.training.steps} steps of {chosen.training.batch} chunks at most")


def decoder(tree: Tree) -> Iterator[str]:
    """Dry run of `recon train decoder`."""
    from recon.config import build, expand, record
    from recon.study.dry_run import planned_files
    from recon.study.presets import training_steps
    from recon.train.decoder import DecoderTraining

    chosen = record(DecoderTraining, expand(tree), where="train")
    steps = training_steps(build("method", chosen.method, where="train.method"))
    return planned_files(chosen, f"training: {steps} steps at most")


def autoencoder(tree: Tree) -> Iterator[str]:
    """Dry run of `recon train autoencoder`."""
    from recon.config import record
    from recon.study.dry_run import planned_files
    from recon.train.autoencoder import AutoencoderTraining

    chosen = record(AutoencoderTraining, tree, where="train")
    return planned_files(chosen, f"training: {chosen.learning.steps} steps at most")


def prior(tree: Tree) -> Iterator[str]:
    """Dry run of `recon train prior`."""
    from recon.config import record
    from recon.study.dry_run import planned_files
    from recon.train.prior import PriorTraining

    chosen = record(PriorTraining, tree, where="train")
    return planned_files(chosen, f"training: {chosen.learning.steps} steps at most, on {chosen.clips} generated clips")
