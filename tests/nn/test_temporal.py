"""MIB-TRL against convolutions over single sequences."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.nn.cpu.switch import without
from mitr.nn.masked import MaskedBatchNorm
from mitr.nn.temporal import BidirectionalTemporal


@pytest.fixture(autouse=True, params=["plain", "kernel"])
def _block(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test runs with the plain block and with the kernel."""
    with without("temporal") if request.param == "plain" else nullcontext():
        yield


def made(reversal: str = "time", **options: int) -> BidirectionalTemporal:
    torch.manual_seed(0)
    module = BidirectionalTemporal(6, reversal=reversal, **options)
    for norm in module.modules():
        if isinstance(norm, MaskedBatchNorm):
            norm.running_mean.normal_(0, 0.2)
            norm.running_var.uniform_(0.5, 1.5)
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
    return module.eval()


def set_dropout(module: nn.Module, rate: float) -> None:
    for layer in module.modules():
        if hasattr(layer, "dropout"):
            layer.dropout = rate


def ragged(*lengths: int) -> tuple[Tensor, Tensor]:
    valid = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    return torch.randn(*valid.shape, 6), valid


def one_sequence(module: BidirectionalTemporal, x: Tensor) -> Tensor:
    """(T, D) -> (T, levels x width), as the specification writes it, with convolutions, in evaluation mode."""

    def convolve(layer: nn.Module, x: Tensor, dilation: int) -> Tensor:  # (1, W, T), causal
        taps = layer.linear.weight.unflatten(1, (2, -1)).transpose(1, 2)  # (out, in, 2)
        y = F.conv1d(F.pad(x, (dilation, 0)), taps, layer.linear.bias, dilation=dilation)
        norm = layer.norm
        return F.relu(F.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias))

    time = module.reversal == "time"
    streams = []
    for layer, start in ((module.forward_input, x), (module.backward_input, x.flip(0) if time else x.flip(1))):
        streams.append(F.relu(layer.norm(layer.linear(start))).T[None])
    levels = []
    for i, block in enumerate(module.blocks):
        for s, y in enumerate(streams):
            mixed = convolve(block.content, y, 2**i).tanh() * convolve(block.gate, y, 2**i).sigmoid()
            streams[s] = y + F.conv1d(mixed, block.skip.weight[:, :, None], block.skip.bias)
        levels.append(streams[0] + (streams[1].flip(2) if time else streams[1]))
    return torch.cat(levels, dim=1)[0].T


@pytest.mark.parametrize("lengths", [(5, 0, 2), (1,), (1, 1, 1), (3, 9)])
@pytest.mark.parametrize("reversal", ["time", "channel"])
def test_gradients_are_those_of_the_differences(reversal: str, lengths: tuple[int, ...]) -> None:
    module = made(reversal, width=3, levels=2).double().train()
    set_dropout(module, 0.0)
    x, valid = ragged(*lengths)
    assert torch.autograd.gradcheck(lambda x: module(x, valid), (x.double().requires_grad_(),))


@pytest.mark.parametrize("reversal", ["time", "channel"])
def test_it_is_what_convolutions_give_for_each_sequence_alone(reversal: str) -> None:
    module = made(reversal)
    x, valid = ragged(12, 1, 20, 0, 7)
    out = module(x, valid)
    assert out.shape == (5, 20, 100)
    for row, length in enumerate((12, 1, 20, 0, 7)):
        if length:
            torch.testing.assert_close(out[row, :length], one_sequence(module, x[row, :length]), rtol=1e-4, atol=1e-5)
        assert not out[row, length:].any()


def test_training_is_the_same_without_dropout_for_two_views_at_once() -> None:
    one, other = made().train(), made().train()
    set_dropout(one, 0.0)
    set_dropout(other, 0.0)
    (x, valid), y = ragged(9, 3, 6), torch.randn(3, 9, 6)
    together = one.of_views([x, y], [valid, valid])
    for both, alone in zip(together, [other(x, valid), other(y, valid)], strict=True):
        torch.testing.assert_close(both, alone)
    for (name, ours), theirs in zip(one.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=name)


def test_two_views_with_other_lengths() -> None:
    module = made()
    (x, valid), (y, other) = ragged(9, 3, 6), ragged(5, 9, 1)
    for out, alone in zip(module.of_views([x, y], [valid, other]), [module(x, valid), module(y, other)], strict=True):
        torch.testing.assert_close(out, alone)


@pytest.mark.parametrize(("reversal", "earliest"), [("time", 4), ("channel", 19)])
def test_how_far_a_step_is_seen(reversal: str, earliest: int) -> None:
    """With dilations 1, 2, 4 and 8 a change is seen 15 steps away, backwards only where time is reversed."""
    module = made(reversal)
    x, valid = ragged(40)
    other = x.clone()
    other[0, 19] += torch.randn(6) * 5
    seen = (module(x, valid) - module(other, valid)).abs().amax(dim=2)[0] > 1e-6
    assert seen.nonzero().flatten().tolist() == list(range(earliest, 35))


def test_training_normalises_over_the_steps_that_exist() -> None:
    module = made(width=8, levels=1).train()
    x, valid = ragged(9, 3, 0)
    before = module.forward_input.norm.running_mean.clone()
    module(x, valid)
    assert len(x[valid]) == 12
    expected = 0.9 * before + 0.1 * module.forward_input.linear(x[valid]).mean(dim=0)
    torch.testing.assert_close(module.forward_input.norm.running_mean, expected)


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("reversal", ["time", "channel"])
def test_no_step_at_all(reversal: str, mode: bool) -> None:
    out = made(reversal).train(mode)(torch.randn(2, 3, 6), torch.zeros(2, 3, dtype=torch.bool))
    assert out.shape == (2, 3, 100)
    assert not out.any()


def test_levels_and_width() -> None:
    module = made(width=7, levels=3)
    assert module(*ragged(4)).shape == (1, 4, 21)
    assert len(module.blocks) == 3


def test_both_streams_share_the_blocks_but_not_the_inputs() -> None:
    names = {name.split(".")[0] for name, _ in made().named_parameters()}
    assert names == {"forward_input", "backward_input", "blocks"}
    module = made()
    x, valid = ragged(6)
    module.backward_input.load_state_dict(module.forward_input.state_dict())
    mirrored = module(x.flip(1), valid).flip(1)
    torch.testing.assert_close(module(x, valid), mirrored)  # then the module does not know the direction
