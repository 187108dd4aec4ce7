"""`recon language CONFIG`: whose words predict the neurons."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from recon.commands.tables import table
from recon.config import load
from recon.language.study import study_language

SHOWN = {
    "captioner": "captioner",
    "r": "mean r over neurons",
    "normalised": "share of ceiling",
    "told": "neurons told",
    "wins": "best for",
    "clips": "clips",
}


def language(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Run the study and print a line for each captioner."""
    results = study_language(load(options.config, options.overrides), say=write, progress=True)
    for line in table(results, SHOWN, {"normalised": ".3f", "told": ".3f"}):
        write(line)
    write(f"all: {results}, differences.csv and neurons.csv beside it")
