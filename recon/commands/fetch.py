"""`recon data fetch`: public recordings, weights and stimuli."""

from __future__ import annotations

import argparse
import math

from recon.commands.arguments import Commands, Write
from recon.errors import InputError
from recon.files.paths import user_path


def add_parser(verbs: Commands) -> None:
    """Add `fetch` to the verbs of `recon data`."""
    verb = verbs.add_parser("fetch", help="download public recordings, weights and stimuli")
    verb.add_argument("names", nargs="*", default=(), metavar="NAME", help="for example dynamic29515-10-12; see --list")
    verb.add_argument("--to", type=user_path, metavar="FOLDER", help="target folder (recordings, weights or movies)")
    verb.add_argument("--accept-licence", action="store_true", help="confirm that you have read and accept the licence")
    about = "stop a download of unstated size after so many gigabytes (20)"
    verb.add_argument("--at-most", type=float, metavar="GB", help=about)
    verb.add_argument(
        "--list", action="store_true", help="list public files and pretrained pipelines, with their licences"
    )
    verb.set_defaults(command=fetch)


def fetch(options: argparse.Namespace, write: Write) -> None:
    """Download public recordings, weights and stimuli, or list the catalogue."""
    from recon.data.public.catalogue import listing, public_file
    from recon.data.public.download import LIMIT
    from recon.data.public.fetch import fetch_public
    from recon.data.public.pipelines import check_not_on_hub, pipeline_listing

    if options.list:
        for line in (*listing(), *pipeline_listing()):
            write(line)
        return
    if not options.names:
        raise InputError("name: expected one or more names, got none; `recon data fetch --list` shows them all")
    for name in options.names:
        check_not_on_hub(name)
    limit = LIMIT if options.at_most is None else _bytes(options.at_most)
    for item in [public_file(name) for name in options.names]:
        write(f"{item.name}: {item.about}")
        write(f"licence: {item.licence}")
        to = options.to or item.folder
        path = fetch_public(item, to, accepted=options.accept_licence, say=write, limit=limit)
        write(f"{'unpacked' if item.unpack else 'file'}: {path}")


def _bytes(gigabytes: float) -> int:
    if not 0 < gigabytes < math.inf:
        raise InputError(f"--at-most: expected gigabytes above 0, got {gigabytes:g}; correct it")
    return int(gigabytes * 1e9)
