"""Encoders of a run: given their neurons, in another precision, compiled."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from worlds import linear as worlds

from recon.encoders import ENCODERS
from recon.encoders.base import Encoder
from recon.encoders.dwiseneuro.encoder import DwiseNeuro
from recon.encoders.dwiseneuro.network import DwiseNetwork, DwiseSettings
from recon.encoders.identity import state_hash
from recon.encoders.runtime.precision import Lowered, Precision, autocast, in_precision, products
from recon.study.encoders import Arithmetic, ready_encoder

CPU = Arithmetic(torch.device("cpu"))


class Counted(Encoder):
    """An encoder from a file that counts neurons but does not name them."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.spec = replace(worlds.encoder().spec, neuron_ids=tuple(range(100, 100 + count)))

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        return worlds.encoder()(movie)

    def for_neurons(self, neuron_ids: tuple[int, ...]) -> Encoder:
        self.spec = replace(self.spec, neuron_ids=neuron_ids)
        return self


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> worlds.TinyRecording:
    def counted(count: int = worlds.NEURONS) -> Encoder:
        """Counts."""
        return Counted(count)

    monkeypatch.setitem(ENCODERS, "counted", counted)
    tiny = worlds.TinyRecording()
    tiny.degrees_per_pixel = worlds.encoder().spec.degrees_per_pixel
    return tiny


def test_an_encoder_without_names_takes_the_recordings(recording: worlds.TinyRecording) -> None:
    encoder = ready_encoder({"name": "counted"}, recording, CPU, where="encoders.a")
    assert encoder.spec.neuron_ids == recording.unit_ids


def test_another_number_of_neurons_is_refused(recording: worlds.TinyRecording) -> None:
    with pytest.raises(ValueError, match=r"encoders\.a: expected 30 neurons"):
        ready_encoder({"name": "counted", "count": 7}, recording, CPU, where="encoders.a")


def test_an_encoder_of_all_neurons_serves_a_recording_that_masks_some(recording: worlds.TinyRecording) -> None:
    class Masking(worlds.TinyRecording):
        all_unit_ids = recording.unit_ids

    masking, movie = Masking(), worlds.movies(1)
    masking.degrees_per_pixel, hashes = recording.degrees_per_pixel, set[str]()
    for kept in ([1, 2, 4], [0, 2, 4]):
        masking.unit_ids = tuple(recording.unit_ids[row] for row in kept)
        encoder = ready_encoder({"name": "counted"}, masking, CPU, where="encoders.a")
        assert encoder.spec.neuron_ids == masking.unit_ids and encoder.canvas == encoder.spec.frame_size
        torch.testing.assert_close(encoder(movie), worlds.encoder()(movie)[:, kept])
        hashes.add(state_hash(encoder))
    assert len(hashes) == 2


@pytest.mark.usefixtures("computes_bfloat16")
def test_bfloat16_is_near_float32_and_gives_float32() -> None:
    inner = worlds.encoder()
    lowered, movie = in_precision(inner, "bfloat16"), worlds.movies(2).requires_grad_()
    assert isinstance(lowered, Lowered) and lowered.spec == inner.spec and not lowered.fewer_windows()
    rates = lowered(movie)
    torch.testing.assert_close(rates, inner(movie), rtol=0.05, atol=0.02)
    assert rates.dtype == torch.float32 and not torch.equal(rates, inner(movie))
    assert torch.autograd.grad(rates.sum(), movie)[0].dtype == torch.float32


@pytest.mark.usefixtures("computes_bfloat16")
def test_dwiseneuro_goes_back_through_bfloat16() -> None:
    small = DwiseSettings(readout_outputs=(6,), core_features=(8, 8), spatial_strides=(2, 2), cortex_features=(16,))
    torch.manual_seed(0)
    inner = DwiseNeuro(DwiseNetwork(replace(small, se_reduce_ratio=4)).eval(), 0).requires_grad_(False)
    movie = torch.rand(1, 1, 32, 36, 64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    behavior = torch.zeros(1, 4, 32)
    exact, near = (torch.autograd.grad(e(movie, behavior).sum(), movie)[0] for e in (inner, Lowered(inner)))
    assert (Lowered(inner).canvas, Lowered(inner).padded_in_time) == ((64, 64), False), "as of the encoder inside"
    cosine = torch.nn.functional.cosine_similarity(exact.flatten(), near.flatten(), dim=0)
    assert cosine > 0.98 and not torch.equal(exact, near)


def settings_of_the_process() -> tuple[object, ...]:
    backends = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    return torch.get_float32_matmul_precision(), *backends, torch.get_num_threads(), torch.get_default_dtype()


@pytest.mark.parametrize("found", [("medium", True), ("highest", False)])
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_an_encoder_changes_no_setting_of_the_process(
    precision: Precision, found: tuple[str, bool], recording: worlds.TinyRecording, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned: list[object] = []
    monkeypatch.setattr("recon.encoders.runtime.malloc.ctypes.CDLL", tuned.append)
    before = settings_of_the_process()
    torch.set_float32_matmul_precision(found[0])
    torch.backends.cudnn.allow_tf32 = found[1]
    try:
        set_before = settings_of_the_process()
        encoder = ready_encoder({"name": "counted"}, recording, replace(CPU, precision=precision), where="encoders.a")
        assert settings_of_the_process() == set_before and not tuned
        encoder(worlds.movies(1))
        assert settings_of_the_process() == set_before
    finally:
        torch.set_float32_matmul_precision(str(before[0]))
        torch.backends.cudnn.allow_tf32 = bool(before[1])


def test_products_are_rounded_within_a_block_only() -> None:
    before = settings_of_the_process()
    with products("tf32"):
        assert torch.get_float32_matmul_precision() == "high" and torch.backends.cudnn.allow_tf32
        with products("float32"):
            assert torch.get_float32_matmul_precision() == "highest" and not torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == "high" and torch.backends.cudnn.allow_tf32
    with pytest.raises(KeyboardInterrupt), products("tf32"):
        raise KeyboardInterrupt
    assert settings_of_the_process() == before


@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
def test_bfloat16_is_not_computed_where_a_cpu_is_slow_at_it(capability: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A convolution took forty times as long in it on a CPU with AVX2 alone: what such a CPU computes is float32."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    left, right = torch.ones(2, 2), torch.full((2, 2), 1.001)
    with autocast(torch.device("cpu"), "bfloat16"):
        assert (left @ right).dtype == (torch.float32 if capability == "AVX2" else torch.bfloat16)
    with autocast(torch.device("cpu"), "float32"):
        assert (left @ right).dtype == torch.float32
