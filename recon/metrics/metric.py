"""Records of scores and costs: what results, tables, pages, ablations, searches and `recon list` know of a column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from recon.metrics.networks import Network

Needs = Literal["movies", "scale", "gallery", "draws", "bounds", "responses", "judge", "heldout"]
OF_MOVIES = ("movies", "scale", "gallery")
"""Needs of the scores that compare a reconstruction with the true movie, and nothing else."""
OF_RESPONSES = ("responses", "judge", "heldout")
"""Needs of the scores of predicted responses; the true movie has them too, in a column of its own."""
Shown = Literal["summary", "tables", "page"]
"""Where a column is shown: in every table; in `recon report --markdown` and on the page; on the page only."""


@dataclass(frozen=True)
class Metric:
    """A score of reconstructions: `name` (column), `title` (heading), `meaning` (one sentence), `function` → `[B]`.

    `needs`: what the function is called with. Movies are `[B,C,T,H,W]`, cut to the scored frames; `pixel_mask` `[H,W]`
    is bool or None.

    - movies: reconstruction, truth, pixel_mask
    - scale: the same, and `degrees_per_pixel` and `frame_rate`
    - gallery: reconstruction, gallery, clips' places in it, and `pixel_mask` (see `two_way_identification`)
    - draws: movie, deviation, truth, and `draws` and `pixel_mask`
    - bounds: lower and upper bounds of calibrated intervals, truth, pixel_mask
    - responses, judge, heldout: rates and reference `[B,N,T]`, neurons `[N]` or None, frames `[T]`; the rates are those
      of the fitted encoder, of a judge that no method used, or of the row's encoders for neurons withheld from it

    `best`: the score of a perfect movie; `higher`: whether higher is better. `network`: a pretrained network whose
    weights it takes; `smallest`: side in pixels of the smallest frames that it takes. `asked`: only in runs whose
    `perceptual` names it. `primary`: compared in pairs and always reported by an ablation. `matched`: depends on
    luminance and contrast. `rank`: place on the page and in tables, lowest first.
    """

    name: str
    title: str
    meaning: str
    function: Callable[..., Tensor]
    needs: Needs = "movies"
    digits: int = 3
    higher: bool = True
    best: float = 1.0
    shown: Shown = "page"
    rank: int = 50
    primary: bool = False
    matched: bool = False
    asked: bool = False
    network: Network | None = None
    smallest: int = 1

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of results.csv: the score, and that of the true movie where it has one."""
        return (self.name, true_column(self.name)) if self.needs in OF_RESPONSES else (self.name,)

    def unavailable(self, frame_size: tuple[int, int]) -> str:
        """Return why frames of (height, width) pixels have no such score on this machine; empty where they may."""
        if self.network is not None and self.network.located() is None:
            return "not available"
        if min(frame_size) < self.smallest:
            least = f"{self.smallest} × {self.smallest}"
            return f"undefined for frames of {frame_size[0]} × {frame_size[1]} pixels, fewer than {least}"
        return ""


@dataclass(frozen=True)
class Cost:
    """A cost of a reconstruction: `name` (column), `title`, `meaning`; lower is better, and no interval is given."""

    name: str
    title: str
    meaning: str
    digits: int = 0
    shown: Shown = "tables"


def true_column(name: str) -> str:
    """Return the column of a response score of the true movie."""
    return f"{name}_true"


def heading(title: str) -> str:
    """Return a title as tables of text have it: in lower case, except for names.

    >>> heading("Video r"), heading("SSIM"), heading("AlexNet(2) 2-way")
    ('video r', 'SSIM', 'AlexNet(2) 2-way')
    """
    return title[0].lower() + title[1:] if title.partition(" ")[0][1:].islower() or title[1:2] == " " else title
