"""The error that a user can mend; every other exception is a defect of this program and shows its traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class InputError(ValueError):
    """Bad input: the message gives the expected value, the value found and the remedy.

    The command line prints it in one line, or a line per problem, and exits with code 2.
    """

    problems: tuple[str, ...] = ()
    """The problems that the message lists, where there are several."""


def listed(problems: Sequence[str], *, where: str) -> InputError:
    """Return one error about all distinct problems, in numbered lines; a single one keeps its own sentence.

    >>> print(listed(["bins: got 0", "words: got one"], where="row"))
    row: expected a configuration that can run, got 2 problems; correct them:
      1. bins: got 0
      2. words: got one
    """
    distinct = tuple(dict.fromkeys(" ".join(problem.split()) for problem in problems))
    if len(distinct) == 1:
        return InputError(distinct[0])
    lines = "".join(f"\n  {number}. {problem}" for number, problem in enumerate(distinct, start=1))
    heading = f"{where}: expected a configuration that can run, got {len(distinct)} problems; correct them:"
    error = InputError(heading + lines)
    error.problems = distinct
    return error


def placed(error: InputError, where: str) -> InputError:
    """Return an error with a place in front of each of its problems."""
    if not error.problems:
        return InputError(f"{where}: {error}")
    return listed([f"{where}: {problem}" for problem in error.problems], where=where)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'X'?)" for the most similar known name, or nothing where none is similar.

    >>> did_you_mean("v1_sed0", ["v1_seed0", "movies"]), did_you_mean("x", ["movies"])
    (" (did you mean 'v1_seed0'?)", '')
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
