"""Calibration of samplers: coverage of their nominal intervals."""

from __future__ import annotations

from torch import Tensor


def interval_coverage(
    movie: Tensor,
    deviation: Tensor,
    truth: Tensor,
    *,
    draws: float,
    pixel_mask: Tensor | None = None,
    level: float = 0.9,
) -> Tensor:
    """Return the fraction `[B]` of pixels whose true value lies in the central `level` interval of a sampler's draws.

    `movie` (mean of the draws), `deviation` (their standard deviation) and `truth` are `[B,C,T,H,W]`; only pixels in
    `pixel_mask` `[H,W]` count. The interval is the prediction interval after n Gaussian draws of standard deviation s,
    mean ± t·s·√(1 + 1/n), with the quantile t of Student's distribution with n − 1 degrees of freedom.
    """
    from scipy.stats import t as student

    reach = float(student.ppf(0.5 + level / 2, draws - 1)) * (1 + 1 / draws) ** 0.5
    inside = ((truth - movie).abs() <= reach * deviation).float().mean((1, 2))
    found: Tensor = inside.flatten(1).mean(1) if pixel_mask is None else inside[:, pixel_mask].mean(1)
    return found
