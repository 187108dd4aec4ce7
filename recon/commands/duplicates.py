"""`recon data duplicates`: find trials with the same content, within and between recordings."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from recon.commands.arguments import Commands, Write
from recon.commands.progress import bar
from recon.errors import InputError
from recon.files.paths import user_path

if TYPE_CHECKING:
    from recon.data.duplicates.find import Signature
    from recon.data.duplicates.groups import Group
    from recon.data.sensorium import SensoriumRecording

Trial = tuple[int, int]
"""Index of the recording among those compared, and index of the trial in it."""
SHOWN = 40
"""Maximum number of groups printed; `--write` saves all of them."""


def add_parser(verbs: Commands) -> None:
    """Add `duplicates` to the verbs of `recon data`."""
    verb = verbs.add_parser("duplicates", help="find trials with the same content")
    verb.add_argument("folder", type=user_path, nargs="+", help="one or several recordings")
    verb.add_argument("--write", action="store_true", help="save the groups to meta/trials/content_groups.json")
    verb.set_defaults(command=duplicates)


def duplicates(options: argparse.Namespace, write: Write) -> None:
    """List groups of trials with the same content; with `--write` save them next to each recording's tiers."""
    from recon.data.duplicates.find import signature
    from recon.data.duplicates.groups import find_groups
    from recon.data.layout import ABSENT
    from recon.data.open import open_recording

    recordings = [open_recording(folder) for folder in options.folder]
    _check_different(recordings)
    trials = [(r, i) for r, one in enumerate(recordings) for i, tier in enumerate(one.tiers) if tier != ABSENT]
    signatures = [signature(recordings[r].frames(i)) for r, i in bar("trial")(trials)]
    groups = find_groups(signatures, progress=bar("block"))
    for line in _lines(recordings, trials, groups):
        write(line)
    if options.write:
        for file in _write(recordings, trials, groups, signatures):
            write(f"groups: {file}")


def _check_different(recordings: Sequence[SensoriumRecording]) -> None:
    paths = [recording.path.resolve() for recording in recordings]
    if len(set(paths)) < len(paths):
        raise InputError(f"folders: expected each recording once, got {len(paths) - len(set(paths))} twice; drop them")


def _lines(recordings: Sequence[SensoriumRecording], trials: Sequence[Trial], groups: Sequence[Group]) -> list[str]:
    several = [group for group in groups if group.others]
    copied = sum(len(group.others) for group in several)
    many = f" of {len(recordings)} recordings" if len(recordings) > 1 else ""
    head = f"{len(trials)} trials{many}: {len(groups)} different contents, {copied} trials repeat another"

    def name(video: int) -> str:
        recording, trial = trials[video]
        return f"{recordings[recording].name} {trial}" if len(recordings) > 1 else str(trial)

    listed = [
        f"  {name(group.first)}: " + ", ".join(f"{name(member.video)} {member}" for member in group.others)
        for group in several[:SHOWN]
    ]
    more = [f"  … and {len(several) - SHOWN} more groups"] if len(several) > SHOWN else []
    return [head, *listed, *more, *_leaks(recordings, trials, groups)]


def _leaks(recordings: Sequence[SensoriumRecording], trials: Sequence[Trial], groups: Sequence[Group]) -> list[str]:
    from recon.data.duplicates.find import leaks

    first = {member.video: group.first for group in groups for member in group.others}
    labels = [first.get(video, video) for video in range(len(trials))]
    tiers = [recordings[recording].tiers[trial] for recording, trial in trials]
    found = leaks(tiers, labels, range(len(trials)))
    text = f"{len(found)} training trials share their content with a trial of another tier: split by content"
    return [f"warning: {text}"] if found else []


def _write(
    recordings: Sequence[SensoriumRecording],
    trials: Sequence[Trial],
    groups: Sequence[Group],
    signatures: Sequence[Signature],
) -> Iterable[str]:
    from recon.data.duplicates.groups import group_file
    from recon.data.layout import GROUPS_FILE
    from recon.files import write_json

    videos = {trial: video for video, trial in enumerate(trials)}
    for r, recording in enumerate(recordings):
        file = recording.path / GROUPS_FILE
        shown = [videos.get((r, i)) for i in range(len(recording.tiers))]
        write_json(file, group_file(groups, signatures, shown))
        yield str(file)
