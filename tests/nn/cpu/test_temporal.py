"""The temporal module over rows is the plain one, in outputs, gradients and running statistics."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from mitr.nn.cpu.switch import without
from mitr.nn.cpu.temporal import _Gated, _WithNeighbour, edges_of, side_by_side, temporal_block
from mitr.nn.temporal import BidirectionalTemporal, NormalisedLinear, TemporalBlock

VALID = torch.tensor([[True, True, True, False], [False] * 4, [True, True, False, False]])


def made(dropout: float, reversal: str = "time") -> BidirectionalTemporal:
    torch.manual_seed(0)
    module = BidirectionalTemporal(6, 3, 2, reversal)  # type: ignore[arg-type]
    for layer in module.modules():
        if isinstance(layer, NormalisedLinear):
            layer.dropout = dropout
            for tensor in (layer.norm.running_mean, layer.norm.weight, layer.norm.bias):
                nn.init.normal_(tensor)
    return module


def ragged(*lengths: int) -> tuple[Tensor, Tensor]:
    valid = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    return torch.randn(*valid.shape, 6), valid


@pytest.mark.parametrize("lengths", [(5, 0, 2), (1,), (0, 0), (7, 7)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("reversal", ["time", "channel"])
def test_it_is_the_plain_block(reversal: str, training: bool, lengths: tuple[int, ...]) -> None:
    ours = made(0.0, reversal).double().train(training)
    plain = copy.deepcopy(ours)
    _, valid = ragged(*[max(n, int(not any(lengths))) for n in lengths])
    valid = valid & (torch.tensor(lengths) > 0)[:, None]
    views = [torch.randn(*valid.shape, 6, dtype=torch.double, requires_grad=True) for _ in range(2)]
    weights = torch.randn(*valid.shape, 6, dtype=torch.double)
    found = []
    for module in (ours, plain):
        if module is plain:
            with without("temporal"):
                out = module.of_views(views, [valid, valid])
        else:
            out = module.of_views(views, [valid, valid])
        total = sum((each * weights).sum() for each in out)
        gradients = torch.autograd.grad(total, (*views, *module.parameters()), allow_unused=True)
        found.append(([each.detach() for each in out], [torch.zeros(()) if g is None else g for g in gradients]))
    (outputs, gradients), (expected, expected_gradients) = found
    torch.testing.assert_close(outputs, expected)
    for one, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one + torch.zeros_like(other), other, rtol=1e-6, atol=1e-9)
    for name, statistic in ours.named_buffers():
        torch.testing.assert_close(statistic, plain.get_buffer(name), msg=name)


@pytest.mark.parametrize("mirrored", [True, False])
def test_neighbours(mirrored: bool) -> None:
    x = torch.arange(1.0, 11.0).view(5, 1, 2, 1)  # rows 0 to 2 are one sample, 3 and 4 another
    (edges,) = edges_of(VALID, [1])
    both = _WithNeighbour.apply(x, edges, mirrored)
    assert torch.equal(both[..., 1:], x)
    assert both[:, 0, 0, 0].tolist() == [0, 1, 3, 0, 7]
    assert both[:, 0, 1, 0].tolist() == ([4, 6, 0, 10, 0] if mirrored else [0, 2, 4, 0, 8])
    (far,) = edges_of(VALID, [8])
    assert not _WithNeighbour.apply(x, far, mirrored)[..., 0].any()


def test_edges() -> None:
    one, two = edges_of(VALID, [1, 2])
    assert one.early.tolist() == [0, 3]
    assert one.late.tolist() == [2, 4]
    assert two.distance == 2
    assert two.early.tolist() == [0, 1, 3, 4]
    assert two.late.tolist() == [1, 2, 3, 4]


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
    (edges,) = edges_of(torch.ones(1, 2000, dtype=torch.bool), [1])
    tanh, sigmoid = math.tanh(0.7 / 0.7), 1 / (1 + math.exp(-1.4 / 0.7))
    assert_levels(temporal_block(block, x, edges, True), {0: 0.3, tanh / 2: 0.7 * 0.3, tanh * sigmoid: 0.7 * 0.7})
    assert_levels(temporal_block(block.eval(), x, edges, True), {math.tanh(0.7) / (1 + math.exp(-1.4)): 1})


@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_layers_side_by_side_drop_at_their_rate(rate: float) -> None:
    torch.manual_seed(0)
    layers = [NormalisedLinear(6, 50).train() for _ in range(2)]
    for layer in layers:
        constant(layer, 1.0, rate)
    assert_levels(side_by_side(layers, torch.randn(2000, 2, 6)), {0: rate, 1 / (1 - rate): 1 - rate})


def test_second_derivatives_are_refused() -> None:
    x = torch.randn(5, 1, 2, 4, requires_grad=True)
    (edges,) = edges_of(torch.ones(1, 5, dtype=torch.bool), [1])
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
    side_by_side([layers[0].train()], x[:1]).sum().backward()
    assert layers[0].linear.bias.grad.any()  # of one row there is no mean that would take it out


@pytest.mark.parametrize("few", [0, 1 << 40])
def test_gradients_under_dropout_are_those_of_the_differences(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr("mitr.nn.cpu.dropout.FEW", few)
    module = made(0.3).double().train()
    x, valid = ragged(5, 0, 2)
    names, parameters = zip(*module.named_parameters(), strict=True)

    def same_draw(x: Tensor, *parameters: Tensor) -> Tensor:
        torch.manual_seed(7)
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (x, valid))

    assert torch.autograd.gradcheck(same_draw, (x.double().requires_grad_(), *parameters))


def constant(layer: NormalisedLinear, value: float, rate: float) -> None:
    """Let a layer give the same value whatever its input, before its dropout."""
    nn.init.zeros_(layer.norm.weight)
    nn.init.constant_(layer.norm.bias, value)
    layer.dropout = rate
