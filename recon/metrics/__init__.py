"""Metrics of movies `[B,C,T,H,W]` in [0,1] → `[B]`, of activity `[B,N,T]`, and frequency-resolved curves.

`METRICS` is the one list of scores and `COSTS` that of costs, in the order of results.csv.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from torch import nn

from recon.metrics.activity import judge_correlation, response_correlation
from recon.metrics.coverage import interval_coverage
from recon.metrics.frequency import motion_energy_correlation
from recon.metrics.intervals.bounds import bounds_coverage, bounds_half_width
from recon.metrics.metric import Cost, Metric
from recon.metrics.movie import frame_correlation, pixel_correlation, psnr, ssim, video_correlation
from recon.metrics.networks import (
    ALEXNET,
    INCEPTION,
    SHIFT_TOLERANT,
    Network,
    alexnet_features,
    inception_features,
    shift_tolerant_features,
)
from recon.metrics.perceptual import LPIPS_SIDE, STLPIPS_SIDE, lpips, st_lpips
from recon.metrics.two_way import TwoWay


def _two_way(network: Network, build: Callable[[Path], nn.Module], layer: str, *, name: str, title: str) -> Metric:
    """Return the record of two-way identification by a layer of a network."""
    where = f"layer {layer} of " if layer.isdigit() else ""
    meaning = (
        f"Fraction of other clips' frames less like the reconstruction than its own, by features of {where}"
        f"{network.title}; chance 0.5"
    )
    return Metric(
        name,
        title,
        meaning,
        TwoWay(network, build, layer),
        needs="gallery",
        shown="tables",
        rank=7,
        asked=True,
        network=network,
    )


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "video_correlation",
            "Video r",
            "Pearson correlation over all scored pixels and frames of a clip",
            video_correlation,
            shown="summary",
            rank=0,
            primary=True,
        ),
        Metric(
            "frame_correlation",
            "Frame r",
            "Spatial correlation of each frame, mean over scored frames",
            frame_correlation,
            shown="summary",
            rank=2,
        ),
        Metric(
            "pixel_correlation",
            "Pixel r",
            "Temporal correlation of each pixel, mean over scored pixels",
            pixel_correlation,
            rank=3,
        ),
        Metric(
            "ssim",
            "SSIM",
            "Structural similarity, Gaussian window, mean over scored frames",
            ssim,
            shown="summary",
            rank=1,
            primary=True,
            matched=True,
        ),
        Metric(
            "psnr",
            "PSNR dB",
            "Peak signal-to-noise ratio, data range 1",
            psnr,
            digits=1,
            best=math.inf,
            rank=5,
            matched=True,
        ),
        Metric(
            "motion_energy_correlation",
            "Motion r",
            "Correlation of motion energies",
            motion_energy_correlation,
            needs="scale",
            shown="tables",
            rank=4,
        ),
        Metric(
            "lpips",
            "LPIPS",
            "Learnt perceptual distance; lower is better",
            lpips,
            higher=False,
            best=0.0,
            rank=6,
            network=ALEXNET,
            smallest=LPIPS_SIDE,
        ),
        Metric(
            "st_lpips",
            "ST-LPIPS",
            "Shift-tolerant learnt perceptual distance; lower is better",
            st_lpips,
            higher=False,
            best=0.0,
            shown="tables",
            rank=7,
            asked=True,
            network=SHIFT_TOLERANT,
            smallest=STLPIPS_SIDE,
        ),
        _two_way(ALEXNET, alexnet_features, "2", name="alexnet2_identification", title="AlexNet(2) 2-way"),
        _two_way(ALEXNET, alexnet_features, "5", name="alexnet5_identification", title="AlexNet(5) 2-way"),
        _two_way(INCEPTION, inception_features, "avgpool", name="inception_identification", title="InceptionV3 2-way"),
        _two_way(
            SHIFT_TOLERANT,
            shift_tolerant_features,
            "2",
            name="alexnet2_identification_stlpips",
            title="AlexNet(2) of ST-LPIPS 2-way",
        ),
        _two_way(
            SHIFT_TOLERANT,
            shift_tolerant_features,
            "5",
            name="alexnet5_identification_stlpips",
            title="AlexNet(5) of ST-LPIPS 2-way",
        ),
        Metric(
            "coverage_90",
            "Coverage 90 %",
            "Fraction of pixels inside a sampler's 90 % intervals; 0.9 is calibrated",
            interval_coverage,
            needs="draws",
            best=0.9,
            rank=8,
        ),
        Metric(
            "calibrated_coverage_90",
            "Calibrated coverage 90 %",
            "Fraction of pixels inside the calibrated 90 % intervals; over clips at least 0.9 on average",
            bounds_coverage,
            needs="bounds",
            best=0.9,
            shown="tables",
            rank=8,
        ),
        Metric(
            "half_width_90",
            "Half-width 90 %",
            "Mean half-width of the calibrated 90 % intervals, in units of the movie's range; lower is surer",
            bounds_half_width,
            needs="bounds",
            higher=False,
            best=0.0,
            shown="tables",
            rank=8,
        ),
        Metric(
            "response_correlation",
            "Fitted trial r",
            "Response correlation on the fitted trial with the encoder used for fitting: it rewards fitting noise",
            response_correlation,
            needs="responses",
            shown="tables",
            rank=11,
        ),
        Metric(
            "judge_correlation",
            "Judge r",
            "Response correlation of an encoder of another architecture, against other repeats or noise-free rates",
            judge_correlation,
            needs="judge",
            shown="summary",
            rank=9,
        ),
        Metric(
            "heldout_neuron_correlation",
            "Held-out neurons r",
            "Response correlation over neurons withheld from all methods",
            response_correlation,
            needs="heldout",
            rank=10,
        ),
    )
}
"""Every score, by name: what a new one needs is a function and its record here."""

COSTS: dict[str, Cost] = {
    cost.name: cost
    for cost in (
        Cost("evaluations", "Evaluations", "Encoder passes over the whole clip", shown="summary"),
        Cost("denoiser_evaluations", "Denoiser evaluations", "Denoiser passes over the whole clip"),
        Cost("seconds", "Seconds", "Wall-clock time of the whole batch of clips", digits=1, shown="summary"),
        Cost("learning_seconds", "Learning s", "One-time duration of all learning before reconstruction", digits=1),
    )
}
"""Every cost, by name."""


def primary() -> tuple[str, ...]:
    """Return the scores that are compared in pairs and that every ablation reports, in the order of tables."""
    return tuple(metric.name for metric in ranked() if metric.primary)


def ranked(*needs: str) -> list[Metric]:
    """Return the scores with one of the needs (all without any), in the order of tables and of the page."""
    chosen = (metric for metric in METRICS.values() if not needs or metric.needs in needs)
    return sorted(chosen, key=lambda metric: metric.rank)
