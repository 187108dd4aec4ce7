"""Whether a sampler's spread is honest: how often the truth lies inside the intervals that it names."""

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
    """Return the share `[B]` of pixels whose truth lies within the central `level` interval around a sampler's mean.

    All are `[B,C,T,H,W]`; only pixels in `pixel_mask` `[H,W]` count. Of n Gaussian draws with standard deviation s
    one more lies within mean ± t·s·√(1 + 1/n), with Student's t of n − 1 degrees of freedom.
    """
    from scipy.stats import t as student

    reach = float(student.ppf(0.5 + level / 2, draws - 1)) * (1 + 1 / draws) ** 0.5
    inside = ((truth - movie).abs() <= reach * deviation).float().mean((1, 2))
    found: Tensor = inside.flatten(1).mean(1) if pixel_mask is None else inside[:, pixel_mask].mean(1)
    return found
