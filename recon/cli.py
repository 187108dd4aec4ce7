"""The command line: `recon data|simulate|train|encoders|benchmark|ablate|tune|report|export|runs|rerun|list`, …"""

from __future__ import annotations

import argparse
import shlex
import sys
import warnings
from collections.abc import Sequence

from recon.commands.parser import BEGIN, parser
from recon.commands.usage import BAD_INPUT

INTERRUPTED = 130
NO_MEMORY = ("can't allocate memory", "out of memory")
"""In the messages of torch where memory runs out, on the CPU and on a GPU."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; bad input ends with one line on stderr and exit code 2, Ctrl-C with 130."""
    options = _parsed(arguments)
    if not options.debug:
        # Third-party warnings are noise here: anything a user can mend is raised as an error with a remedy.
        warnings.simplefilter("ignore")
    try:
        if options.computes:
            # Imported here, so that `recon --help` does not wait for torch.
            from recon.commands.process import prepare

            prepare(verify=options.verify)
        result: int | None = options.command(options, write)
    except KeyboardInterrupt:
        return _fail("interrupted: finished work is kept, run the same command again to resume", INTERRUPTED)
    except BrokenPipeError:
        return 0
    except Exception as error:
        if options.debug or not _is_input(error):
            raise
        return _fail(_explain(error), BAD_INPUT)
    return result or 0


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments; unlike plain argparse, also accept overrides after an option. `line` is the command."""
    known = parser()
    given = sys.argv[1:] if arguments is None else arguments
    if not given:
        known.exit(BAD_INPUT, BEGIN)
    options, rest = known.parse_known_args(given)
    options.line = shlex.join(["recon", *given])
    late = [argument for argument in rest if "=" in argument and not argument.startswith("-")]
    if late != rest or (rest and "overrides" not in options):
        options.parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.overrides = [*options.overrides, *rest]
    return options


def write(line: str) -> None:
    """Write one line to standard output and flush."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _is_input(error: Exception) -> bool:
    """Return whether the user can mend an error; other errors are defects and show their traceback."""
    from recon.errors import InputError
    from recon.files import disk_full

    return isinstance(error, InputError | OSError) or _no_memory(error) or disk_full(error)


def _no_memory(error: BaseException) -> bool:
    """Return whether memory ran out; torch has no exception class for it on the CPU."""
    told = isinstance(error, RuntimeError) and any(text in str(error) for text in NO_MEMORY)
    return told or isinstance(error, MemoryError)


def _explain(error: BaseException) -> str:
    from recon.files import disk_full

    if disk_full(error):
        return (
            f"disk full: expected room for the results, got {_one_line(error)}; free some space and run the same "
            "command again: finished work is kept"
        )
    if _no_memory(error):
        return "memory: expected room for the arrays, got too little; use fewer clips or a smaller batch"
    return _one_line(error)


def _one_line(error: BaseException) -> str:
    from recon.errors import InputError

    if isinstance(error, InputError) and error.problems:
        return str(error)  # one line each
    text = " ".join(str(error).split())
    return text or type(error).__name__


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"recon: {message}\n")
    return code
