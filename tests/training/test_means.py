"""Means of scalars over batches of different sizes."""

import pytest
import torch

from mitr.training.means import Means


def test_batches_count_by_their_samples() -> None:
    means = Means()
    means.add({"a": torch.tensor(1.0), "b": torch.tensor(4.0)}, 3)
    means.add({"a": torch.tensor(5.0)}, 1)
    assert means.read() == {"a": 2.0, "b": 3.0}
    assert list(means.read()) == ["a", "b"]


def test_sums_are_those_of_python_floats() -> None:
    generator = torch.Generator().manual_seed(0)
    scalars, means, total = torch.randn(300, generator=generator) * 1e3, Means(), 0.0
    for scalar in scalars:
        means.add({"a": scalar}, 7)
        total += scalar.item() * 7
    assert means.read()["a"] == total / 2100
    assert means.read()["a"] != pytest.approx(float((scalars * 7).sum()) / 2100, rel=1e-9)  # as float32 would have it


def test_the_graph_is_not_kept_and_bf16_is_summed_in_full() -> None:
    means, weight = Means(), torch.ones((), requires_grad=True)
    for _ in range(1000):
        means.add({"a": (weight * 1.001).bfloat16()}, 1)
    assert not means.sums["a"].requires_grad
    assert means.read() == {"a": 1.0}


def test_what_is_no_number_stays_none() -> None:
    means = Means()
    means.add({"a": torch.tensor(float("nan"))}, 1)
    means.add({"a": torch.tensor(1.0)}, 1)
    assert means.read()["a"] != means.read()["a"]
    assert Means().read() == {}
