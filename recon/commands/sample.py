"""`recon sample CONFIG`: sample movies from a prior."""

from __future__ import annotations

import argparse

from recon.commands import planned
from recon.commands.arguments import Commands, Write, add_configuration


def add_parser(commands: Commands) -> None:
    """Add `sample` to the commands."""
    about = "sample clips from a prior, with and without captions"
    add_configuration(commands.add_parser("sample", help=about, description=about), sample, planned.sample)


def sample(options: argparse.Namespace, write: Write) -> None:
    """Draw samples and print the paths of the clips and pictures."""
    from recon.analysis.prior_samples import sample as draw_samples
    from recon.config import load

    folder = draw_samples(load(options.config, options.overrides))
    write(f"clips: {folder / 'samples.h5'}; film strips and GIFs, numbered like the captions, in the same folder")
    write(f"picture: {folder / 'samples.png'}")
