"""`recon.methods()`: the presets of methods, as a table that explains itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from recon.encoders.summary import as_rows
from recon.study.presets import Preset, presets


class Catalogue(Mapping[str, Preset]):
    """The presets by name; it prints as a table of family, description, what each sees, and cost."""

    def __init__(self, found: Mapping[str, Preset]) -> None:
        self._found = dict(found)

    def __getitem__(self, name: str) -> Preset:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        parts = (f"{one.name} ({one.family}): {one.about}\n  sees {one.seen}\n  {one.cost}" for one in self.values())
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        rows = [(one.name, one.family, one.about, one.seen, one.cost) for one in self.values()]
        return as_rows(("preset", "family", "what it does", "what it sees", "cost"), rows)


def methods() -> Catalogue:
    """Return the packaged presets by name; each has a family, one sentence, what it sees and what it costs.

    >>> import recon
    >>> recon.methods()["map_spectrum"].family
    'input optimisation'
    """
    return Catalogue(presets())
