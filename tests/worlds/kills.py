"""Runs of a benchmark whose process dies inside a chosen write: `python -m worlds.kills CONFIG.json KILLS FOLDER`.

One process imports everything and forks for every run: what a kill −9 leaves is on disk, and nothing else.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch

from recon.encoders.training import loop
from recon.files.code_version import code_version
from recon.run import runner
from recon.study.benchmark import benchmark

CHECKPOINTS = ("state.safetensors", ".training")
KILLED = 137


class Deaths:
    """Counts the steps of writes to checkpoints; at the step of number `at` (0: never) the process is gone.

    Steps are opening the temporary file, flushing it (of which only a random part has been written), renaming it and
    deleting a file.
    """

    def __init__(self, at: int, drawn: Random) -> None:
        self.at, self.drawn, self.steps = at, drawn, 0

    def watch(self) -> None:
        """Die at the chosen step from now on, in this process."""
        genuine = os.fsync

        def fsync(stream: Any) -> None:
            if self.counts(Path(f"/proc/self/fd/{stream}").readlink()) and self.steps == self.at:
                os.ftruncate(stream, self.drawn.randrange(os.fstat(stream).st_size + 1))
                os._exit(KILLED)
            genuine(stream)

        os.fsync = fsync
        sys.addaudithook(self.heard)

    def heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Die before the operating system does what an audit event announces."""
        written = event == "open" and isinstance(arguments[1], str) and arguments[1][:1] in "wa"
        if (written or event in ("os.rename", "os.remove")) and self.counts(arguments[0]) and self.steps == self.at:
            os._exit(KILLED)

    def counts(self, path: object) -> bool:
        """Count a step if it is one of a checkpoint."""
        own = isinstance(path, str | Path) and any(name in Path(path).name for name in CHECKPOINTS)
        self.steps += own
        return own


def forked(work: Callable[[], None]) -> int:
    """Return the exit status of work in a process of its own."""
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(tree: dict[str, Any], folder: Path, deaths: Deaths) -> int:
    """Run a benchmark in a folder that saves after every step; return the exit status."""

    def work() -> None:
        assert runner.reconstruct.__kwdefaults__ is not None
        runner.reconstruct.__kwdefaults__["every"] = -1.0
        runner.SHARE_SPENT_WORKING, loop.SAVE_SECONDS = 0, -1.0
        deaths.watch()
        benchmark(tree | {"run": str(folder / "run"), "artefacts": str(folder / "artefacts")})
        (folder / "steps").write_text(str(deaths.steps))

    folder.mkdir(exist_ok=True)
    return forked(work)


def main(config: str, kills: str, place: str) -> None:
    """Run once undisturbed, then until `kills` deaths, each run up to three times killed and then ended."""
    # Imported and parsed once, for all forks; a backward pass here would be one too many for torch to be forked.
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
    code_version("recon.study.benchmark", "recon.methods", "recon.encoders.registry")
    tree, drawn, died, runs = json.loads(Path(config).read_text()), Random(0), 0, 0
    assert run(tree, Path(place) / "whole", Deaths(0, drawn)) == 0
    steps = int((Path(place) / "whole" / "steps").read_text())
    while died < int(kills):
        folder = Path(place) / f"killed {runs}"
        for _ in range(drawn.randint(1, 3)):
            code = run(tree, folder, Deaths(drawn.randint(1, steps), drawn))
            assert code in (0, KILLED), code
            died += code == KILLED
        assert run(tree, folder, Deaths(0, drawn)) == 0
        runs += 1
    sys.stdout.write(json.dumps({"steps": steps, "kills": died, "runs": runs}))


if __name__ == "__main__":
    main(*sys.argv[1:])
