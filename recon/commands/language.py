"""`recon language CONFIG`: whose words predict the neurons."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable

from recon.config import load
from recon.language.study import study_language


def language(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Run the study and print a line for each captioner."""
    path = study_language(load(options.config, options.overrides), say=write, progress=True)
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    width = max(len(row["captioner"]) for row in rows)
    write(f"{'captioner':{max(width, 9)}}  mean r over neurons      of ceiling  neurons told  best of those")
    for row in rows:
        r, low, high, share, told, wins, least, most = (
            float(row[name] or "nan")
            for name in ("r", "r_low", "r_high", "normalised", "told", "wins", "wins_low", "wins_high")
        )
        write(
            f"{row['captioner']:{max(width, 9)}}  {r:.3f} [{low:.3f}, {high:.3f}]   {share:10.3f}  {told:12.3f}  "
            f"{wins:.2f} [{least:.2f}, {most:.2f}]"
        )
    write(f"tables: {path.parent}/captioners.csv, differences.csv, neurons.csv")
