"""`recon sample`: clips drawn from a prior alone, with and without captions, as arrays and pictures."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from recon import config
from recon.data.hdf5 import Hdf5, open_hdf5
from recon.data.open import open_recording
from recon.encoders.base import device_of, resolve_device
from recon.errors import InputError
from recon.errors.ranges import Count, Fraction, Positive, Seed
from recon.files import check_ours, digest, write_bytes
from recon.files.code_version import code_version, modules_of
from recon.files.locks import one_writer
from recon.files.paths import check_writable
from recon.media import (
    SCALE,
    contact_sheet,
    encode_gif,
    encode_png,
    side_by_side,
    strip,
    to_uint8,
    upscale,
)
from recon.methods.diffusion.priors import load_spectrum
from recon.methods.diffusion.sampling import Progress, Step, drawn, steps_down
from recon.methods.optimise.gradient import movie_spectrum
from recon.methods.training_set import CPU, TrainingSet
from recon.priors.base import Denoiser
from recon.priors.guidance import ClassifierFree, Guidance, falling, guidance_of
from recon.priors.prior import Prior
from recon.priors.spectrum import Spectrum
from recon.study.outputs import hdf5_file, to_yaml

Draws = NDArray[np.float16]
Samples = dict[str, Draws]
"""Clips `[K,T,H,W]` in [0,1] by caption."""

SAMPLES = "samples"
"""Kind of a folder with samples of a prior."""
NOT_DRAWN = ("prior", "guidance", "recording", "artefacts", "captions", "output", "frame_rate", "device")
"""Settings that the draws do not depend on, or only through the denoiser and its guidance."""


@dataclass(frozen=True)
class SampleSettings:
    """Configuration: the prior, its captions, and the sampling schedule.

    `recording`: that of a prior learnt from training movies, such as the Gaussian; its spectrum is kept in `artefacts`,
    as benchmarks do. Each caption gets `draws` clips of `frames` frames, all captions from the same noise; an empty
    caption is unconditional. `guidance` is the scale s of uncond + s·(cond − uncond) or a `Guidance`, by default the
    prior's; without activity no neuron sees. σ falls over `levels` from `highest`, which should hide a clip completely,
    to `lowest`. `noise` is the stochasticity of the sampler (0: deterministic, 1: ancestral).
    """

    prior: Prior
    output: Path
    recording: Path | None = None
    artefacts: Path = Path("runs/artefacts")
    captions: tuple[str, ...] = ("",)
    draws: Count = 2
    frames: Count = 60
    frame_size: tuple[Count, Count] = (36, 64)
    frame_rate: Positive = 30.0
    guidance: float | Guidance | None = None
    levels: Count = 30
    highest: Positive = 10.0
    lowest: Positive = 0.02
    noise: Fraction = 0.0
    seed: Seed = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        falling(self.levels, self.highest, self.lowest)
        if min(self.draws, self.frames, *self.frame_size) < 1 or not self.frame_rate > 0 or not 0 <= self.noise <= 1:
            raise InputError(
                f"sample: expected draws, frames and frame_size of at least 1, frame_rate above 0 and noise in 0–1, "
                f"got {self.draws}, {self.frames}, {self.frame_size}, {self.frame_rate:g} and "
                f"{self.noise:g}; correct it"
            )
        if not self.captions or len(set(self.captions)) < len(self.captions):
            raise InputError(f"sample: expected captions, each once, got {list(self.captions)}; correct them")
        if self.prior.conditioning.text is not None:
            raise InputError("sample: expected no text in the prior, got one; write it into captions")
        if any(self.captions) and not self.prior.takes_text:
            raise InputError(f"sample: expected captions [''] for a prior without text, got {list(self.captions)}")
        if (self.recording is None) == self.prior.learnt:
            raise InputError(
                f"sample: expected a recording for a prior learnt from its movies, and for no other, got "
                f"{self.recording or 'none'}; {'leave it out' if self.recording else 'name one'}"
            )

    @property
    def scale(self) -> float | Guidance:
        """Guidance of these samples; nothing depends on what neurons see."""
        chosen = self.prior.conditioning.guidance if self.guidance is None else self.guidance
        return replace(chosen, seen=None) if isinstance(chosen, Guidance) else chosen

    @property
    def passes(self) -> tuple[int, int]:
        """Denoiser evaluations of a clip without and with a caption."""
        levels, guidance = falling(self.levels, self.highest, self.lowest), guidance_of(self.scale)
        return len(levels), sum(map(guidance.evaluations, levels))

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Shape [B,C,T,H,W] of the clips of one caption."""
        return (self.draws, 1, self.frames, *self.frame_size)


def sample(tree: Mapping[str, Any]) -> Path:
    """Draw the missing samples of a configuration, write clips and pictures, and return their folder."""
    chosen = config.record(SampleSettings, tree, where="sample")
    check_ours(chosen.output, SAMPLES)
    check_writable(chosen.output, key="output")
    device = resolve_device(chosen.device)
    prior = chosen.prior.denoiser(chosen.shape, _spectrum(chosen))
    with one_writer(chosen.output, SAMPLES):
        write_bytes(chosen.output / "config.yaml", to_yaml(tree))
        write_pictures(samples_of(prior.to(device), chosen), chosen)
    return chosen.output


def _spectrum(chosen: SampleSettings) -> Spectrum | None:
    """Return the spectrum of the recording's training movies, if one is named; raises InputError for other movies."""
    if chosen.recording is None:
        return None
    recording = open_recording(chosen.recording)
    for name, got, expected in (
        ("frame_size", chosen.frame_size, recording.frame_size),
        ("frame_rate", chosen.frame_rate, recording.frame_rate),
    ):
        if got != expected:
            raise InputError(f"sample.{name}: expected {expected} as in {chosen.recording}, got {got}; correct it")
    training = TrainingSet(recording, torch.ones(0, dtype=torch.bool), chosen.artefacts, chosen.frames)
    return load_spectrum(movie_spectrum(training), CPU, method="sample")


def samples_of(prior: Denoiser, chosen: SampleSettings) -> Samples:
    """Return the draws `[K,T,H,W]` of every caption; samples.h5 caches each caption as it completes."""
    keys = _keys(prior, chosen)
    kept = read_samples(chosen.output / "samples.h5", keys)
    missing = [text for text in chosen.captions if text not in kept]
    with tqdm(total=len(missing) * chosen.levels, desc="sample", unit="level", disable=None) as bar:
        for text in missing:
            kept[text] = _of_caption(prior, chosen, text, progress=lambda steps: _counted(steps, bar))
            _write(kept, keys, chosen)
    found = {text: kept[text] for text in chosen.captions}
    _write(found, keys, chosen)
    return found


def _of_caption(prior: Denoiser, chosen: SampleSettings, caption: str, *, progress: Progress) -> Draws:
    condition = prior.embed([caption]).to(device_of(prior)).expand(chosen.draws, -1) if caption else None
    movies = drawn(
        ClassifierFree(prior, chosen.scale),
        condition,
        chosen.shape,
        list(steps_down(chosen.levels, chosen.highest, chosen.lowest)),
        noise=chosen.noise,
        generator=torch.Generator().manual_seed(chosen.seed),
        progress=progress,
    )
    clips: Draws = movies[:, 0].half().cpu().numpy()
    return clips


def read_samples(path: Path, keys: Mapping[str, str]) -> Samples:
    """Return cached draws by caption whose key matches `keys`; empty without a file."""
    if not path.is_file():
        return {}
    try:
        with open_hdf5(path) as file:
            found = [(group, file.attributes(group)) for group in file.children("*")]
            kept = {
                str(about["caption"]): group
                for group, about in found
                if keys.get(str(about["caption"])) == about["key"]
            }
            return {caption: _drawn(file, group) for caption, group in kept.items()}
    except (ValueError, KeyError) as error:
        raise InputError(f"{path}: expected samples that `recon sample` wrote, got {error}; remove it") from error


def _drawn(file: Hdf5, group: str) -> Draws:
    return np.stack([file.values(name, axes=3)[:] for name in file.children(f"{group}/*")])


def write_pictures(samples: Samples, chosen: SampleSettings) -> None:
    """Write a film strip and a GIF per caption, numbered in order, and a contact sheet of all strips."""
    named = {f"{number:02d}": to_uint8(draws) for number, draws in enumerate(samples.values())}
    for left in chosen.output.iterdir():
        # Pictures of captions of an earlier configuration.
        if re.fullmatch(r"\d{2,}\.(png|gif)", left.name) and left.stem not in named:
            left.unlink()
    for name, draws in named.items():
        write_bytes(chosen.output / f"{name}.png", encode_png(strip(draws)))
        movie = upscale(side_by_side(list(draws)), SCALE)
        write_bytes(chosen.output / f"{name}.gif", encode_gif(movie, frame_rate=chosen.frame_rate))
    sheet = contact_sheet(list(named.values()), list(samples))
    write_bytes(chosen.output / "samples.png", encode_png(sheet))


def _counted(steps: Iterable[Step], bar: Any) -> Iterator[Step]:
    for step in steps:
        yield step
        bar.update()


def _write(samples: Samples, keys: Mapping[str, str], chosen: SampleSettings) -> None:
    groups = {
        f"{number:02d}": {str(draw): clip for draw, clip in enumerate(draws)}
        for number, draws in enumerate(samples.values())
    }
    shared = {"frame_rate": chosen.frame_rate, "seed": chosen.seed}
    about = [{"caption": caption, "key": keys[caption], **shared} for caption in samples]
    write_bytes(chosen.output / "samples.h5", hdf5_file(groups, dict(zip(groups, about, strict=True))))


def _keys(prior: Denoiser, chosen: SampleSettings) -> dict[str, str]:
    """Return by caption the digest of everything its draws depend on."""
    weights = hashlib.sha256()
    for name, tensor in sorted(prior.state_dict().items()):
        # Bytes, because NumPy has no bfloat16.
        weights.update(name.encode() + tensor.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().tobytes())
    code = code_version(__name__, *modules_of(prior))
    shared = {name: value for name, value in vars(chosen).items() if name not in NOT_DRAWN}
    guided = [weights.hexdigest(), code, repr(chosen.prior), chosen.scale, shared]
    return {text: digest([*guided, text]) for text in chosen.captions}
