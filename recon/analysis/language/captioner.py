"""Image-to-text models of transformers: BLIP, BLIP-2, GIT, ViT-GPT-2 and others with the same interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from recon.errors import InputError

IMAGE_TO_TEXT = "Salesforce/blip-image-captioning-base, microsoft/git-base-coco, nlpconnect/vit-gpt2-image-captioning"


@dataclass(frozen=True)
class ImageCaptioner:
    """Captions frames with the model in a folder or of a hub id, by greedy decoding.

    Video models (GIT trained on videos) take `frames` consecutive frames and hence see motion; other models take one.
    Missing weights are an error; they are never replaced by random ones.
    """

    source: str
    frames: int = 1
    device: str = "cpu"
    longest: int = 30
    """Maximum number of tokens of a caption."""

    def __call__(self, pictures: Sequence[Tensor]) -> list[str]:
        """Return one caption per picture `[F,H,W]` in [0,1], each of `frames` frames."""
        if not pictures:
            return []
        for picture in pictures:
            if picture.ndim != 3 or len(picture) != self.frames:
                raise InputError(
                    f"captioner: expected {self.frames} frames [F,H,W], got {tuple(picture.shape)}; set frames"
                )
        model, processor, tokenizer = self._parts
        images = [[_rgb(frame) for frame in picture] for picture in pictures]
        with torch.inference_mode():
            pixels = self._pixels(processor, images).to(self.device)
            tokens = model.generate(pixel_values=pixels, max_new_tokens=self.longest, do_sample=False)
        return [" ".join(text.split()) for text in tokenizer.batch_decode(tokens, skip_special_tokens=True)]

    def _pixels(self, processor: Any, images: Sequence[Sequence[Any]]) -> Tensor:
        """Return pixels `[B,C,H,W]` of single frames, `[B,F,C,H,W]` of several."""
        flat = [frame for picture in images for frame in picture]
        pixels: Tensor = processor(images=flat, return_tensors="pt")["pixel_values"]
        return pixels if self.frames == 1 else rearrange(pixels, "(b f) c h w -> b f c h w", f=self.frames)

    @cached_property
    def _parts(self) -> tuple[Any, Any, Any]:
        """Model, image processor and tokenizer."""
        if find_spec("transformers") is None:
            raise InputError("captioner: expected the extra `language`, got nothing; pip install 'recon[language]'")
        try:
            return self._loaded()
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise InputError(
                f"captioner {self.source!r}: not available: expected a folder or hub id of an image-to-text model, got "
                f"{' '.join(str(error).split())[:200]}; download one to a folder, for example {IMAGE_TO_TEXT}"
            ) from error

    def _loaded(self) -> tuple[Any, Any, Any]:
        from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

        config = AutoConfig.from_pretrained(self.source)
        shown = getattr(config, "num_image_with_embedding", None) or 1
        if shown < self.frames:
            raise InputError(f"a {config.model_type} of {shown} frame(s) for {self.frames}; lower frames")
        model: Any = AutoModelForImageTextToText.from_pretrained(self.source)
        model.to(self.device)
        model.train(False)
        processor, tokenizer = (part.from_pretrained(self.source) for part in (AutoImageProcessor, AutoTokenizer))
        return model, processor, tokenizer


def _rgb(frame: Tensor) -> Any:
    from PIL import Image

    grey = (frame.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return Image.fromarray(np.repeat(grey[..., None], 3, -1))
