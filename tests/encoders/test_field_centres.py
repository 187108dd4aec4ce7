"""Receptive-field centres that an encoder states."""

from __future__ import annotations

import pytest
import torch

from recon.encoders.base import Spec
from recon.encoders.core_readout.model import CoreReadout
from recon.encoders.ensemble import Ensemble
from recon.encoders.field_centres import field_centres
from recon.encoders.glm.model import Glm
from recon.encoders.judge import Judge
from recon.encoders.linear import Linear
from recon.errors import InputError

PLACES = torch.tensor([[-0.5, 0.25], [0.0, 0.0], [0.4, -0.6]])
SPEC = Spec((36, 64), (3, 5, 8))


def test_a_readout_states_where_it_was_placed() -> None:
    encoder = CoreReadout(SPEC)
    encoder.place(PLACES, torch.ones(3))
    torch.testing.assert_close(field_centres(encoder), PLACES, atol=1e-5, rtol=0)
    torch.testing.assert_close(field_centres(Ensemble((encoder, encoder))), PLACES, atol=1e-5, rtol=0)


def test_filters_are_centred_where_their_weights_are() -> None:
    encoder = Glm(SPEC)
    with torch.no_grad():
        encoder.space[0, 0, 9, 48], encoder.space[1, 0, 0, 0] = -2.0, 1.0
    pixel = torch.tensor([[2 * 48.5 / 64 - 1, 2 * 9.5 / 36 - 1], [1 / 64 - 1, 1 / 36 - 1], [0.0, 0.0]])
    torch.testing.assert_close(field_centres(encoder), pixel)
    weights = encoder.space.detach()[:, :, None]
    torch.testing.assert_close(field_centres(Linear(weights)), pixel)


def test_an_encoder_without_centres_is_refused() -> None:
    with pytest.raises(InputError, match=r"receptive-field centres .*, got Judge; train core_readout"):
        field_centres(Judge(SPEC))
