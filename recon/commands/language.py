"""`recon language CONFIG`: predict neurons from captions, and compare captioners."""

from __future__ import annotations

import argparse

from recon.commands import planned
from recon.commands.arguments import Commands, Write, add_configuration

SHOWN = {
    "captioner": "predictor",
    "r": "mean r over neurons",
    "normalised": "share of ceiling",
    "told": "neurons predicted",
    "wins": "best for",
}
PARTITIONED = {
    "captioner": "captioner",
    "unique_text": "words alone, r²",
    "shared": "shared",
    "unique_low_level": "low-level alone",
}
FORMS = {"normalised": ".3f", "told": ".3f", "shared": ".3f"}


def add_parser(commands: Commands) -> None:
    """Add `language` to the commands."""
    about = "predict neurons from captions of the movies, and compare the captioners"
    add_configuration(commands.add_parser("language", help=about, description=about), language, planned.language)


def language(options: argparse.Namespace, write: Write) -> None:
    """Run the study, write its page, and print the predictors' scores and the variance explained by words alone."""
    from recon.analysis.language.rows import ALL
    from recon.analysis.language.study import study_language
    from recon.commands.tables import table
    from recon.config import load
    from recon.report.cells import read_table
    from recon.report.language import write_language_page

    results = study_language(load(options.config, options.overrides), say=write, progress=True)
    for name, shown in (("captioners", SHOWN), ("partitions", PARTITIONED)):
        whole = [row for row in read_table(results.parent, name) if row["area"] == ALL]
        for line in table(whole, shown, FORMS):
            write(line)
        write("")
    write(f"page: {write_language_page(results.parent)}")
    write(f"tables: {results} and others in the same folder")
