"""Caption banks: text files with one caption per line, embedded once, searched for the caption nearest to an embedding.

A bank is embedded, stored and searched in parts of `PART` captions, so that its size is limited by the disk. Parts are
named by their captions: a bank that grew by some lines embeds the new ones only, and so does an interrupted one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from recon.data.content import content_hashes, content_of
from recon.errors import InputError
from recon.files.locks import one_at_a_time
from recon.files.paths import user_path
from recon.files.sealed import whole
from recon.methods.artefacts import artefact_path, load_artefact, save_artefact
from recon.methods.named_files import content_named_in
from recon.priors.text import TextEncoder

PART = 20_000
"""Captions per part."""
LONGEST = 2_000
"""Maximum number of characters of a caption; a file of numbers has longer lines."""
WHAT = "caption bank"
"""Name of what is read, in errors."""


class BankPart(NamedTuple):
    """Captions and their embeddings `[K,D]`."""

    texts: Sequence[str]
    embeddings: Tensor


def captions_in(file: str | Path) -> list[str]:
    """Return the captions of a text file in UTF-8, one per line, in their order; blank lines and repeats are dropped.

    Raises InputError for a file that is absent, holds no caption, or is no text.
    """
    path, found = user_path(file), dict[str, None]()
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(iter(partial(stream.readline, LONGEST + 1), ""), start=1):
                found[_caption(line, f"{path}, line {number}")] = None
    except OSError as error:
        raise InputError(
            f"bank: expected a text file with one caption per line, got {path}: {error.strerror or error}; name one"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"bank: expected a text file in UTF-8, got {path} with {error.reason}; save it as text in UTF-8"
        ) from error
    found.pop("", None)
    if not found:
        raise InputError(f"bank: expected at least one caption, got {path} without any; write one per line")
    return list(found)


def _caption(line: str, where: str) -> str:
    if "\0" in line:
        raise InputError(f"bank: expected a text file, got a binary one ({where}); save it as text in UTF-8")
    if len(line.rstrip("\n")) > LONGEST:
        raise InputError(
            f"bank: expected one caption per line, of at most {LONGEST} characters, got a longer line ({where}); break "
            "it into captions"
        )
    return line.strip()


def bank_facts(file: str | Path) -> str:
    """Return the name of a bank with the SHA-256 of its file, shortened; "absent" where there is none."""
    path = user_path(file)
    known = f"SHA-256 {content_hashes(path)['.'][:12]}" if path.is_file() else "absent"
    return f"captions of the bank {path.name} ({known})"


def bank_path(file: str | Path, encoder: str, folder: Path) -> Path:
    """Return the path of an embedded bank: named by the file's content, the text encoder and the code."""
    inputs = [content_of(user_path(file)), *_encoder(encoder)]
    return artefact_path(folder, "caption_bank", inputs, code=[__name__])


def embed_bank(file: str | Path, encoder: str, folder: Path, *, progress: bool = False) -> Path:
    """Embed a bank, unless that was done; return the path of its list of parts."""
    path = bank_path(file, encoder, folder)
    if _complete(path):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(path):
        texts = captions_in(file)
        parts = [texts[start : start + PART] for start in range(0, len(texts), PART)]
        shown = tqdm(parts, "embed captions", unit="part", disable=None if progress else True)
        names = [_embedded_part(part, encoder, folder).name for part in shown]
        save_artefact({"parts": _bytes(names)}, path)
    return path


def bank_parts(path: Path) -> Iterator[BankPart]:
    """Yield the parts of an embedded bank, one at a time."""
    for part in _parts(path):
        known = load_artefact(part, method=WHAT)
        yield BankPart(_list(known["captions"]), known["embeddings"].float())


def nearest(wanted: Tensor, parts: Iterable[BankPart], *, centre: Tensor) -> list[str]:
    """Return for each embedding `[Q,D]` the caption of largest cosine similarity, both relative to `centre` `[D]`.

    The first of equals is taken.

    >>> bank = BankPart(["east", "north"], torch.eye(2))
    >>> nearest(torch.tensor([[0.2, 0.9]]), [bank], centre=torch.zeros(2))
    ['north']
    """
    asked = wanted.cpu().float() - centre
    best, found = torch.full((len(asked),), -torch.inf), [""] * len(asked)
    for part in parts:
        value, place = (asked @ functional.normalize(part.embeddings - centre, dim=1).T).max(1)
        better = (value > best).nonzero().flatten().tolist()
        best = torch.maximum(best, value)
        for query in better:
            found[query] = part.texts[int(place[query])]
    return found


def _complete(path: Path) -> bool:
    """True where the list of a bank is whole and its parts are there."""
    return whole(path) and all(part.is_file() for part in _parts(path))


def _parts(path: Path) -> list[Path]:
    return [path.with_name(name) for name in _list(load_artefact(path, method=WHAT)["parts"])]


def _embedded_part(texts: Sequence[str], encoder: str, folder: Path) -> Path:
    path = artefact_path(folder, "captions_embedded", [list(texts), *_encoder(encoder)], code=[__name__])
    if not whole(path):
        embeddings = TextEncoder(encoder)(texts).half()
        save_artefact({"captions": _bytes(texts), "embeddings": embeddings}, path)
    return path


def _encoder(source: str) -> list[str]:
    """Return the name of a text encoder and the content of its files."""
    return [source, *content_named_in(source)]


def _bytes(texts: Sequence[str]) -> Tensor:
    return torch.frombuffer(bytearray(json.dumps(list(texts)).encode()), dtype=torch.uint8)


def _list(written: Tensor) -> list[str]:
    texts: list[str] = json.loads(written.numpy().tobytes())
    return texts
