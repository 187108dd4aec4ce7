"""Neuron sets: a partition that depends on the unit id alone."""

from __future__ import annotations

import pytest
import torch

from recon.data.neuron_sets import neuron_sets


@pytest.mark.parametrize("count", [3, 10, 257])
@pytest.mark.parametrize("seed", [0, 5])
def test_partition_without_empty_sets(count, seed):
    sets = neuron_sets(range(100, 100 + count), seed=seed)
    total = sum(mask.int() for mask in sets.values())
    assert torch.equal(total, torch.ones(count, dtype=torch.int))
    assert set(sets) == {"fit", "selection", "report"} and all(mask.any() for mask in sets.values())


def test_independent_of_order_and_of_the_other_neurons():
    ids = list(range(0, 3000, 3))
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(0))
    straight, mixed = neuron_sets(ids), neuron_sets([ids[i] for i in order])
    subset = neuron_sets(ids[:400])
    for name, mask in straight.items():
        assert torch.equal(mask[order], mixed[name])
        assert torch.equal(mask[:400], subset[name])


def test_fractions_and_seed():
    sets = neuron_sets(range(20000), selection=0.1, report=0.2)
    assert sets["selection"].float().mean() == pytest.approx(0.1, abs=0.01)
    assert sets["report"].float().mean() == pytest.approx(0.2, abs=0.01)
    assert not torch.equal(sets["report"], neuron_sets(range(20000), selection=0.1, report=0.2, seed=1)["report"])
    assert not neuron_sets(range(50), selection=0.0, report=0.0)["report"].any()


def test_impossible_requests():
    with pytest.raises(ValueError, match="sum below 1"):
        neuron_sets(range(10), selection=0.5, report=0.5)
    with pytest.raises(ValueError, match=r"at least 3 for as many sets, got 2; set neurons\.selection"):
        neuron_sets([1, 2])
