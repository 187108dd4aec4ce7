"""`recon data check|info` and the group of `recon data` commands: recordings on disk."""

from __future__ import annotations

import argparse
import json
from functools import partial
from typing import TYPE_CHECKING

from recon.commands import ceiling, convert, duplicates, fetch, import_arrays
from recon.commands.arguments import Commands, Write
from recon.errors import InputError
from recon.files.paths import user_path

if TYPE_CHECKING:
    from recon.data.check import Inspected
    from recon.data.sensorium import SensoriumRecording
    from recon.data.survey import Survey


def add_parser(commands: Commands) -> None:
    """Add `data` and its verbs to the commands."""
    data = commands.add_parser("data", help="fetch, import, check or describe a recording")
    verbs = data.add_subparsers(required=True, metavar="WHAT")
    checked = verbs.add_parser("check", help="check a recording for errors")
    checked.add_argument("folder", type=user_path)
    checked.add_argument("--json", action="store_true", help="print findings and facts as JSON")
    about = "what responses are, if the recording does not say: spikes, deconvolved or calcium"
    checked.add_argument("--signal", default="", choices=("spikes", "deconvolved", "calcium"), help=about)
    checked.set_defaults(command=check)
    described = verbs.add_parser("info", help="summarise a recording")
    described.add_argument("folder", type=user_path)
    described.set_defaults(command=info)
    for module in (ceiling, duplicates, fetch, import_arrays, convert):
        module.add_parser(verbs)


def check(options: argparse.Namespace, write: Write) -> None:
    """Print decisions, findings and what methods will miss; the command fails if any finding is an error."""
    from recon.data.check import check as check_recording
    from recon.data.open import bar, open_recording
    from recon.files import finite
    from recon.study.foresight import foreseen

    recording = open_recording(options.folder, lenient=True)
    clock = partial(_clock, signal=options.signal)
    report = check_recording(recording, progress=bar, also=[foreseen], inspections=[clock])
    write(json.dumps(finite(report.plain()), indent=1, ensure_ascii=False) if options.json else str(report))
    if not report.ok:
        raise InputError(f"{options.folder}: expected a readable recording, got the errors above; mend these files")


def _clock(recording: SensoriumRecording, found: Survey, *, signal: str) -> Inspected:
    from recon.analysis.clock.findings import clock_report
    from recon.data.check import Inspected
    from recon.data.findings import Finding

    report = clock_report(recording, found, signal=signal)
    findings = tuple(Finding(level, text) for level, text in report.findings)
    return Inspected(findings, report.facts, {"clock": report.decided})


def info(options: argparse.Namespace, write: Write) -> None:
    """Print a one-screen summary of a recording."""
    from recon.data.check import info as describe
    from recon.data.open import bar, open_recording

    write(describe(open_recording(options.folder), progress=bar))
