"""The error that a user can mend; every other exception is a defect of this program and shows its traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: the message gives the expected value, the value found and the remedy.

    The command line prints it in one line and exits with code 2.
    """


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'X'?)" for the most similar known name, or nothing where none is similar.

    >>> did_you_mean("v1_sed0", ["v1_seed0", "movies"]), did_you_mean("x", ["movies"])
    (" (did you mean 'v1_seed0'?)", '')
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
