"""Kernels are used on CPUs, and can be switched off."""

import pytest
import torch
from torch import Tensor, nn

from mitr.nn.cpu.switch import KERNELS, used, without

CPU = torch.device("cpu")


def test_kernels_are_used_on_cpus_alone() -> None:
    assert all(used(kernel, CPU) for kernel in KERNELS)
    assert not any(used(kernel, torch.device(other)) for kernel in KERNELS for other in ("cuda", "meta"))


def test_they_are_off_for_a_while() -> None:
    with without("dropout"):
        assert not used("dropout", CPU)
        assert used("attention", CPU)
        with without():
            assert not any(used(kernel, CPU) for kernel in KERNELS)
        assert not used("dropout", CPU)
        assert used("attention", CPU)
    with pytest.raises(ZeroDivisionError), without("dropout"):
        _ = 1 / 0
    assert used("dropout", CPU)


def test_a_kernel_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no kernel flash; the kernels are attention, "), without("flash"):
        pass


def test_an_export_is_of_plain_blocks() -> None:
    asked = []

    class Block(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            asked.append(used("attention", x.device))
            return x + 1

    torch.export.export(Block(), (torch.ones(2),))
    assert asked
    assert not any(asked)
