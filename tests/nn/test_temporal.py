"""MIB-TRL over rows against convolutions over single sequences."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.nn.masked import RowBatchNorm
from mitr.nn.temporal import (
    BidirectionalTemporal,
    Edges,
    NormalisedLinear,
    TemporalBlock,
    _Gated,
    _Joined,
    _WithNeighbour,
    side_by_side,
)

VALID = torch.tensor([[True, True, True, False], [False] * 4, [True, True, False, False]])


def made(reversal: str = "time", **options: int) -> BidirectionalTemporal:
    torch.manual_seed(0)
    module = BidirectionalTemporal(6, reversal=reversal, **options)
    for norm in module.modules():
        if isinstance(norm, RowBatchNorm):
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


def test_edges() -> None:
    one, two = Edges.of(VALID, [1, 2])
    assert one.early.tolist() == [0, 3]
    assert one.late.tolist() == [2, 4]
    assert two.distance == 2
    assert two.early.tolist() == [0, 1, 3, 4]
    assert two.late.tolist() == [1, 2, 3, 4]


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
    together = one.of_views([x, y], valid)
    for both, alone in zip(together, [other(x, valid), other(y, valid)], strict=True):
        torch.testing.assert_close(both, alone)
    for (name, ours), theirs in zip(one.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=name)


def constant(layer: NormalisedLinear, value: float, rate: float) -> None:
    """Let a layer give the same value whatever its input, before its dropout."""
    nn.init.zeros_(layer.norm.weight)
    nn.init.constant_(layer.norm.bias, value)
    layer.dropout = rate


def assert_levels(x: Tensor, shares: dict[float, float]) -> None:
    levels, counts = x.detach().round(decimals=4).unique(return_counts=True)
    torch.testing.assert_close(levels, torch.tensor(list(shares)), rtol=0, atol=2e-4)
    assert (counts / x.numel()).tolist() == pytest.approx(list(shares.values()), abs=0.005)


def test_dropout_in_a_gate_is_of_content_and_gate_each() -> None:
    torch.manual_seed(0)
    out = _Gated.apply(torch.full((4000, 1, 100), 2.0), 0.3)
    tanh, sigmoid = math.tanh(1), 1 / (1 + math.exp(-2))
    assert_levels(out, {0: 0.3, 2 * tanh: 0.7 * 0.3, 4 * tanh * sigmoid: 0.7 * 0.7})


def test_what_dropout_leaves_in_a_block_is_scaled() -> None:
    """As tanh of `F.dropout` of the content times sigmoid of that of the gate."""
    torch.manual_seed(0)
    block, x = TemporalBlock(25).train(), torch.zeros(2000, 2, 2, 25)
    constant(block.content, 0.7, 0.3)
    constant(block.gate, 1.4, 0.3)
    nn.init.eye_(block.skip.weight)
    nn.init.zeros_(block.skip.bias)
    (edges,) = Edges.of(torch.ones(1, 2000, dtype=torch.bool), [1])
    tanh, sigmoid = math.tanh(0.7 / 0.7), 1 / (1 + math.exp(-1.4 / 0.7))
    assert_levels(block(x, edges, True), {0: 0.3, tanh / 2: 0.7 * 0.3, tanh * sigmoid: 0.7 * 0.7})
    assert_levels(block.eval()(x, edges, True), {math.tanh(0.7) / (1 + math.exp(-1.4)): 1})


@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_layers_side_by_side_drop_at_their_rate(rate: float) -> None:
    torch.manual_seed(0)
    layers = [NormalisedLinear(6, 50).train() for _ in range(2)]
    for layer in layers:
        constant(layer, 1.0, rate)
    assert_levels(side_by_side(layers, torch.randn(2000, 2, 6)), {0: rate, 1 / (1 - rate): 1 - rate})


@pytest.mark.parametrize("few", [0, 1 << 40])
def test_gradients_under_dropout_are_those_of_the_differences(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr("mitr.nn.dropout.FEW", few)
    module = made(width=3, levels=2).double().train()
    set_dropout(module, 0.3)
    x, valid = ragged(5, 0, 2)
    names, parameters = zip(*module.named_parameters(), strict=True)

    def same_draw(x: Tensor, *parameters: Tensor) -> Tensor:
        torch.manual_seed(7)
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (x, valid))

    assert torch.autograd.gradcheck(same_draw, (x.double().requires_grad_(), *parameters))


def test_second_derivatives_are_refused() -> None:
    x = torch.randn(5, 1, 2, 4, requires_grad=True)
    (edges,) = Edges.of(torch.ones(1, 5, dtype=torch.bool), [1])
    for out in (_Gated.apply(x, 0.0), _WithNeighbour.apply(x, edges, True)):
        (gradient,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="differentiate twice"):
            gradient.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gate_passes_gradients_to_small_values_and_none_to_negative_ones(dtype: torch.dtype) -> None:
    x = torch.tensor([[1e-3, -1e-3], [-1e-3, 1e-3], [5e-3, 1.0]], dtype=dtype, requires_grad=True)
    _Gated.apply(x, 0.0).sum().backward()
    # of 4 tanh(x / 2) sigmoid(y): 2 (1 - tanh(x / 2)^2) sigmoid(y) and 4 tanh(x / 2) sigmoid(y) (1 - sigmoid(y))
    expected = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.4621, 1.966e-3]])
    torch.testing.assert_close(x.grad.float(), expected, rtol=0.01, atol=0)


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


def test_levels_are_joined_by_adding_both_streams() -> None:
    torch.manual_seed(0)
    levels = [torch.randn(3, 2, 2, width, dtype=torch.float64, requires_grad=True) for width in (4, 4, 4)]
    joined = _Joined.apply(*levels)
    assert torch.equal(joined, torch.cat([level.sum(dim=2) for level in levels], dim=2))
    assert torch.autograd.gradcheck(_Joined.apply, levels)
    assert torch.equal(_Joined.apply(levels[0]), levels[0].sum(dim=2))
    assert _Joined.apply(*(level[:0] for level in levels)).shape == (0, 2, 12)
    (_Joined.apply(levels[0].tanh(), levels[1]).sum() + levels[0].square().sum()).backward()
    torch.testing.assert_close(levels[0].grad, 1 - levels[0].tanh().square() + 2 * levels[0])


def test_in_training_a_bias_is_in_the_running_mean_and_nowhere_else() -> None:
    torch.manual_seed(0)
    layers, x = [NormalisedLinear(3, 4, dropout=0.0) for _ in range(2)], torch.randn(6, 2, 3)
    expected = [nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU()) for _ in layers]
    for plain, layer in zip(expected, layers, strict=True):
        plain[0].load_state_dict(layer.linear.state_dict())
    for training in (True, True, False):  # two steps, and what they leave behind
        ours = side_by_side([layer.train(training) for layer in layers], x)
        for stream in (0, 1):
            theirs = torch.cat([plain.train(training)(x[:, stream]) for plain in expected], dim=1)
            torch.testing.assert_close(ours[:, stream], theirs)
    for plain, layer in zip(expected, layers, strict=True):
        torch.testing.assert_close(layer.norm.running_mean, plain[1].running_mean)
        torch.testing.assert_close(layer.norm.running_var, plain[1].running_var)
    layers[0].train()(x[:1]).sum().backward()
    assert layers[0].linear.bias.grad.any()  # of one row there is no mean that would take it out
