"""Errors of the command line, as all errors here: what was expected, what was given, and what to do."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from recon.errors import did_you_mean

BAD_INPUT = 2
"""Exit code for bad input."""
NUMBERS = {"int": "a whole number", "float": "a number"}
COUNTS = {"one argument": "one value", "at least one argument": "one or more values"}

Actions = Sequence[argparse.Action]


class CommandParser(argparse.ArgumentParser):
    """A parser whose errors say what was expected, what was given and what to do; exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Write one line to standard error and exit."""
        self.exit(BAD_INPUT, f"{self.prog}: {explained(message, self._actions)}; see `{self.prog} --help`\n")


def parsers_of(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser, those of its commands and of their verbs."""
    yield top
    for action in top._actions:
        if isinstance(action.choices, dict):
            for inner in action.choices.values():
                yield from parsers_of(inner)


def explained(message: str, actions: Actions) -> str:
    """Return a message of argparse as expected, got and remedy; a message of another form as it is.

    >>> explained("argument --seed: invalid int value: 'x'", ())
    "--seed: expected a whole number, got 'x'"
    """
    for pattern, explain in MESSAGES.items():
        found = re.fullmatch(pattern, message, re.DOTALL)
        if found:
            return explain(actions, *found.groups())
    return message


def _required(actions: Actions, names: str) -> str:
    known = {_shown(action): action for action in actions}
    wanted = [_described(name, known.get(name)) for name in names.split(", ")]
    return f"expected {' and '.join(wanted)}, got none"


def _described(name: str, action: argparse.Action | None) -> str:
    """Return an argument with its choices, or its help.

    >>> _described("WHAT", argparse.Action([], "what", choices=["check", "info"])), _described("FILE", None)
    ('WHAT (check, info)', 'FILE')
    """
    if action is None:
        return name
    about = ", ".join(map(str, action.choices)) if action.choices else action.help
    return f"{name} ({about})" if about else name


def _choice(actions: Actions, name: str, given: str, listed: str) -> str:
    known = next((action.choices for action in actions if _shown(action) == name and action.choices), None)
    names = [str(one) for one in known] if known else [one.strip(" '\"") for one in listed.split(",")]
    return f"{name}: expected one of {', '.join(names)}{did_you_mean(given, names)}, got {given!r}"


def _value(actions: Actions, name: str, kind: str, given: str) -> str:
    return f"{name}: expected {NUMBERS.get(kind, kind)}, got {given}"


def _count(actions: Actions, name: str, wanted: str) -> str:
    given = "none" if wanted in COUNTS else "another number of them"
    return f"{name}: expected {COUNTS.get(wanted, wanted.replace('argument', 'value'))}, got {given}"


def _unknown(actions: Actions, names: str) -> str:
    known = [option for action in actions for option in action.option_strings]
    first = names.split()[0].partition("=")[0]
    expected = "known options" if first.startswith("-") else "no further argument"
    return f"expected {expected}{did_you_mean(first, known)}, got {names}"


def _ambiguous(actions: Actions, given: str, matches: str) -> str:
    return f"{given}: expected one option, got the beginning of {matches}; write it in full"


def _flag(actions: Actions, name: str, given: str) -> str:
    return f"{name}: expected no value, got {given}"


MESSAGES: dict[str, Callable[..., str]] = {
    r"the following arguments are required: (.*)": _required,
    r"argument (.*?): invalid choice: '?(.*?)'? \(choose from (.*)\)": _choice,
    r"argument (.*?): invalid (\w+) value: (.*)": _value,
    r"argument (.*?): expected (.*arguments?)": _count,
    r"unrecognized arguments: (.*)": _unknown,
    r"ambiguous option: (.*?) could match (.*)": _ambiguous,
    r"argument (.*?): ignored explicit argument (.*)": _flag,
}
"""Messages of argparse as regular expressions, and how each is written here."""


def _shown(action: argparse.Action) -> str:
    """Return the name of an argument as argparse writes it."""
    return "/".join(action.option_strings) or str(action.metavar or action.dest)
