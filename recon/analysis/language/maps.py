"""Maps of neurons by their weights on text and of clips by their embeddings, with stability and clusters."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.errors import InputError

Array = NDArray[np.float64]

NEIGHBOURS = 15
FEWEST = 10
"""Minimum number of points for a map."""
MOST_CLUSTERS = 8


@dataclass(frozen=True)
class Map:
    """Coordinates `[n,2]` of points on a map, with measures of reliability.

    `kept`: fraction of each point's nearest neighbours shared by maps of different seeds. `chance`: the same for random
    maps. `trustworthiness` (Venna & Kaski 2001): how far neighbours on the map are neighbours in the original space.
    """

    places: Array
    kept: float
    chance: float
    trustworthiness: float


def draw_map(points: Array, *, seeds: Sequence[int] = (0, 1, 2)) -> Map:
    """Return a UMAP embedding (McInnes et al. 2018) of points `[n,D]` by cosine distance, drawn with the first seed.

    The other seeds only measure stability. Raises InputError for too few points and if umap-learn is not installed.
    """
    if len(points) < FEWEST:
        raise InputError(f"map: expected at least {FEWEST} points, got {len(points)}; take more neurons or clips")
    if find_spec("umap") is None:
        raise InputError("map: expected the extra `language`, got no umap-learn; pip install 'recon[language]'")
    from sklearn.manifold import trustworthiness

    neighbours = min(NEIGHBOURS, (len(points) - 1) // 2)
    maps = [_umap(points, neighbours, seed) for seed in seeds]
    sets = [_nearest(places, neighbours) for places in maps]
    shared = [np.mean([len(a & b) for a, b in zip(*pair, strict=True)]) for pair in combinations(sets, 2)]
    kept = float(np.mean(shared)) / neighbours if shared else float("nan")
    trusted = float(trustworthiness(points, maps[0], n_neighbors=neighbours, metric="cosine"))
    return Map(maps[0], kept, neighbours / (len(points) - 1), trusted)


def _umap(points: Array, neighbours: int, seed: int) -> Array:
    with warnings.catch_warnings():
        # UMAP warns that a seeded map uses one core, and that few points limit the number of neighbours.
        warnings.simplefilter("ignore")
        from umap import UMAP

        drawn: Any = UMAP(n_neighbors=neighbours, metric="cosine", random_state=seed).fit_transform(points)
    return np.asarray(drawn, dtype=np.float64)


def _nearest(places: Array, neighbours: int) -> list[set[int]]:
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=neighbours).fit(places).kneighbors(return_distance=False)
    return [set(row.tolist()) for row in found]


@dataclass(frozen=True)
class Clusters:
    """Cluster labels `[n]`, silhouette, and agreement between seeds (adjusted Rand index; chance 0)."""

    labels: NDArray[np.int64]
    silhouette: float
    agreement: float


def find_clusters(points: Array, *, seeds: Sequence[int] = (0, 1, 2)) -> Clusters:
    """Return k-means clusters of the directions of points `[n,D]`, with k of 2–8 by silhouette (Rousseeuw 1987)."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, silhouette_score

    if len(points) < FEWEST:
        raise InputError(f"clusters: expected at least {FEWEST} points, got {len(points)}; take more neurons")
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    directions = points / np.where(lengths > 0, lengths, 1.0)

    def labels(k: int, seed: int) -> NDArray[np.int64]:
        return np.asarray(KMeans(k, n_init=10, random_state=seed).fit_predict(directions), dtype=np.int64)

    most = min(MOST_CLUSTERS, len(points) // 3)
    scores = {k: float(silhouette_score(directions, labels(k, seeds[0]))) for k in range(2, most + 1)}
    best = max(scores, key=lambda k: scores[k])
    found = [labels(best, seed) for seed in seeds]
    agreement = [float(adjusted_rand_score(*pair)) for pair in combinations(found, 2)]
    return Clusters(found[0], scores[best], float(np.mean(agreement)) if agreement else float("nan"))
