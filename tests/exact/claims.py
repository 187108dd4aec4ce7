"""Figures that the project claims, computed again from what is shipped.

python tests/exact/claims.py words    samples and denoising of the prior that follows words

Prints one JSON object: name → {asked, measured, holds}. A figure that cannot be had here says why, and its holds is
null. A part takes at most 15 minutes on two cores.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

PARTS = ("words",)


@dataclass(frozen=True)
class Claim:
    """What was asked, what was measured, and whether it holds; None where it cannot be said."""

    asked: str
    measured: Any
    holds: bool | None = None


Measure = Callable[[], Mapping[str, Claim]]


def measured(measures: Mapping[str, Measure]) -> dict[str, Claim]:
    """Return the claims of all measures; one that breaks is reported under its name and stops no other."""
    found: dict[str, Claim] = {}
    for name, measure in measures.items():
        sys.stderr.write(f"{name} …\n")
        try:
            found |= measure()
        except Exception as error:
            found[name] = Claim("to be measured", f"{type(error).__name__}: {error}")
    return found


def main() -> None:
    """Print the claims of a part."""
    part = sys.argv[1] if len(sys.argv) == 2 else ""
    if part not in PARTS:
        sys.exit(f"claims: expected one of {', '.join(PARTS)}, got {' '.join(sys.argv[1:]) or 'nothing'}")
    import claims_words

    found = measured({"words": claims_words.MEASURES}[part])
    sys.stdout.write(json.dumps({name: asdict(claim) for name, claim in found.items()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
