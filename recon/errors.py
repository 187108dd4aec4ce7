"""The error that a user can mend; every other exception is a defect of this program and shows its traceback."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input: the message gives the expected value, the value found and the remedy.

    The command line prints it in one line and exits with code 2.
    """
