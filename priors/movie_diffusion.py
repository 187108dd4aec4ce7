"""A text-conditioned diffusion prior of grey movies in pixel space: D(x, σ, text), for clips of any length."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from priors.base import Denoiser
from priors.movie_unet import MovieUnet, MovieUnetSettings
from priors.text import TextEncoder
from priors.windows import by_windows

SHIPPED = Path(__file__).parent / "weights"
FORMAT = "recon-movie-diffusion-1"
SPREAD = 0.25
"""Standard deviation of movies in [0,1] around grey, σ_data of Karras et al."""
GREY = 0.5


class MovieDiffusion(Denoiser):
    """The preconditioned denoiser of Karras et al. 2022 (table 1) around `MovieUnet`, on movies in [0,1].

    Conditions are embeddings `[B,D]` of captions by the text encoder that it was trained with; a row of NaN stands for
    no text. Clips longer than `window` frames are denoised in overlapping windows that fade into each other; with 0
    whole.
    """

    def __init__(self, settings: MovieUnetSettings | None = None, *, text: str = "minilm", window: int = 0) -> None:
        super().__init__()
        self.network = MovieUnet(settings or MovieUnetSettings())
        self.text, self.window, self.precision = text, window, torch.float32

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the clean estimate of movies `[B,1,T,H,W]`."""
        return by_windows(lambda part: self._denoised(part, sigma, condition), x, self.window)

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return the embeddings `[K,D]` of captions; an empty text is none (NaN)."""
        found = TextEncoder(self.text)([text or "." for text in texts])
        silent = torch.tensor([not text for text in texts])
        return found.masked_fill(silent[:, None], torch.nan)

    def _denoised(self, x: Tensor, sigma: Tensor, condition: Tensor | None) -> Tensor:
        level = sigma.reshape(-1, 1, 1, 1, 1).to(x)
        total = (level**2 + SPREAD**2).sqrt()
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16):
            found = self.network((x - GREY) / total, level.flatten().expand(len(x)).log() / 4, condition)
        estimate: Tensor = GREY + SPREAD**2 / total**2 * (x - GREY) + level * SPREAD / total * found.to(x.dtype)
        return estimate


def save_movie_diffusion(model: MovieDiffusion, path: Path, *, card: Mapping[str, Any]) -> None:
    """Write weights in half precision with settings and card in the header, and the card to the .json beside it."""
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().half().contiguous() for name, value in model.state_dict().items()}
    about = {"settings": dataclasses.asdict(model.network.settings), "text": model.text}
    header = {"format": FORMAT, "about": json.dumps(about), "card": json.dumps(dict(card))}
    path.parent.mkdir(parents=True, exist_ok=True)
    for target, content in (
        (path, save(tensors, header)),
        (path.with_suffix(".json"), (json.dumps({**about, **card}, indent=2) + "\n").encode()),
    ):
        aside = target.with_name(f".{target.name}.partial")
        aside.write_bytes(content)
        aside.replace(target)


def load_movie_diffusion(weights: str | Path, *, window: int = 0) -> MovieDiffusion:
    """Return the frozen prior of a file, or of a shipped name; raises ValueError where it is none."""
    path = Path(weights)
    path = path if path.is_file() else SHIPPED / f"{weights}.safetensors"
    if not path.is_file():
        raise ValueError(
            f"movie_diffusion: expected a file or a shipped name, got {str(weights)!r}; train one with "
            "`recon train prior`"
        )
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            names = list(file.keys())
            tensors = {name: file.get_tensor(name).float() for name in names}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: expected a whole safetensors file, got {error}; copy it again") from error
    if header.get("format") != FORMAT:
        raise ValueError(f"{path}: expected a diffusion prior of movies, got {header.get('format', 'another file')}")
    about = json.loads(header["about"])
    settings = MovieUnetSettings(**{**about["settings"], "widths": tuple(about["settings"]["widths"])})
    with torch.random.fork_rng(devices=[]):
        model = MovieDiffusion(settings, text=about["text"], window=window)
    model.load_state_dict(tensors)
    return model.eval().requires_grad_(False)
