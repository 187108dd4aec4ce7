"""Output files of a language study: tables, maps and the page's summary."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from recon.analysis.language import rows
from recon.analysis.language.inputs import LanguageStudy, Material, Spoken
from recon.analysis.language.maps import FEWEST, draw_map, find_clusters
from recon.analysis.language.pictures import COLUMNS, RELATIONS, relate
from recon.analysis.language.prediction import Predicted
from recon.analysis.language.retrieval import Read
from recon.analysis.language.variance_partition import Partition
from recon.analysis.language.words import Preferences
from recon.files import write_table
from recon.files.paths import user_path


def write_predictions(chosen: LanguageStudy, material: Material, found: Mapping[str, Predicted]) -> Path:
    """Write neurons.csv, differences.csv and captioners.csv; return the path of the last."""
    competing = {name: found[name] for name in material.said}
    neurons = rows.neuron_rows(competing, material.population, seed=chosen.seed)
    write_table(chosen.run / "neurons.csv", neurons, rows.NEURONS)
    pairs = list(rows.difference_rows(competing, material.population, seed=chosen.seed))
    write_table(chosen.run / "differences.csv", pairs, rows.DIFFERENCES)
    path = chosen.run / "captioners.csv"
    summary = rows.captioner_rows(found, list(competing), material.population, seed=chosen.seed)
    write_table(path, list(summary), rows.CAPTIONERS)
    return path


def write_relations(chosen: LanguageStudy, found: Mapping[str, Predicted]) -> None:
    """Write pictures.csv and relations.csv, how its scores correlate with encoding, if a benchmark is named."""
    for name in ("pictures.csv", "relations.csv"):  # of an earlier benchmark
        (chosen.run / name).unlink(missing_ok=True)
    if chosen.pictures:
        table, relations = relate(found, user_path(chosen.pictures), seed=chosen.seed)
        write_table(chosen.run / "pictures.csv", table, COLUMNS)
        write_table(chosen.run / "relations.csv", relations, RELATIONS)


def write_maps(
    chosen: LanguageStudy, material: Material, favourite: Predicted, spoken: Spoken, words: Preferences
) -> dict[str, Any]:
    """Write words.csv and, given at least `FEWEST` points, maps and clusters; return their reliability."""
    units = material.population.units
    write_table(chosen.run / "words.csv", list(rows.word_rows(words, units)), rows.WORDS)
    about: dict[str, Any] = {}
    predicted = (favourite.q < rows.LEVEL).nonzero().flatten()
    if len(predicted) >= FEWEST:
        points = favourite.weights.T[predicted].double().numpy()
        drawn, clusters = draw_map(points), find_clusters(points)
        table = rows.map_rows(drawn, unit=[units[n] for n in predicted.tolist()], cluster=clusters.labels.tolist())
        write_table(chosen.run / "map_neurons.csv", table, rows.NEURON_MAP)
        write_table(chosen.run / "clusters.csv", list(rows.cluster_rows(clusters, words, predicted)), rows.CLUSTERS)
        about["neurons_map"] = rows.trust(drawn)
        about["clusters"] = {"silhouette": clusters.silhouette, "agreement": clusters.agreement}
    if len(material.trials) >= FEWEST:
        drawn = draw_map(torch.stack([spoken.series[trial].mean(0) for trial in material.trials]).double().numpy())
        names = [material.recording.video_ids[trial] for trial in material.trials]
        asked = [trial in material.clips.trials for trial in material.trials]
        table = rows.map_rows(drawn, trial=material.trials, clip=names, asked=asked)
        write_table(chosen.run / "map_clips.csv", table, rows.CLIP_MAP)
        about["clips_map"] = rows.trust(drawn)
    return about


def write_concepts(chosen: LanguageStudy, material: Material, concepts: Preferences) -> None:
    """Write concepts.csv, the preferences of neurons for concepts."""
    write_table(chosen.run / "concepts.csv", list(rows.word_rows(concepts, material.population.units)), rows.WORDS)


def write_readings(chosen: LanguageStudy, material: Material, reads: Mapping[str, Read]) -> None:
    """Write reading.csv, the accuracy of caption retrieval, and texts.csv, the nearest captions."""
    found = [row for name, read in reads.items() for row in rows.reading_rows(name, read)]
    write_table(chosen.run / "reading.csv", found, rows.READINGS)
    clips = material.recording.video_ids
    texts = [row for name, read in reads.items() for row in rows.text_rows(name, read, clips)]
    write_table(chosen.run / "texts.csv", texts, rows.TEXTS)


def write_partitions(chosen: LanguageStudy, material: Material, parts: Mapping[str, Partition]) -> None:
    """Write partitions.csv for the captioners done so far."""
    table = [row for name, part in parts.items() for row in rows.partition_rows(name, part, material.population)]
    write_table(chosen.run / "partitions.csv", table, rows.PARTITIONS)


def summary(material: Material, favourite: str) -> dict[str, Any]:
    """Return the summary shown at the top of the page."""
    return {
        "recording": material.recording.name,
        "neurons": len(material.population.units),
        "learnt": len(material.learning.trials),
        "asked": len(material.clips.trials),
        "captioners": list(material.said),
        "favourite": favourite,
    }
