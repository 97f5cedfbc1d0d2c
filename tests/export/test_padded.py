"""Blocks for graphs give what the blocks of `mitr.nn` give, on batches with padding and absent samples."""

import pytest
import torch
from torch import Tensor, nn

from mitr.batches.views import Steps, in_front
from mitr.export.graphs import in_front as in_front_of_graph
from mitr.export.padded import PaddedPooled, PaddedTemporal, PaddedUnimodal, mirrored, padded
from mitr.models.registry import build_model
from mitr.nn.temporal import BidirectionalTemporal
from mitr.nn.unimodal import UnimodalEncoder
from mitr.nn.utterance import PooledEncoder
from mitr.testing.views import DIMS, LENGTHS, make_steps, make_view

STEPS = make_steps((4, 7, 0, 1), 6, 0)


def settled(block: nn.Module) -> nn.Module:
    """In evaluation mode, with normalisation statistics that are not their defaults."""
    torch.manual_seed(1)
    for name, tensor in block.state_dict().items():
        if name.endswith(("running_mean", "norm.bias")):
            tensor.normal_(0, 0.5)
        elif name.endswith(("running_var", "norm.weight")):
            tensor.uniform_(0.5, 1.5)
    return block.eval()


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("reversal", ["time", "channel"])
def test_both_directions_of_time(reversal: str) -> None:
    block = settled(BidirectionalTemporal(6, 5, 3, reversal))  # type: ignore[arg-type]
    with torch.no_grad():
        ours = PaddedTemporal(block)(STEPS.values, STEPS.valid)  # type: ignore[arg-type]
        theirs = block(STEPS.values, STEPS.valid)
    assert theirs.abs().max() > 0.1
    close(ours, theirs)


@pytest.mark.parametrize("dim", [6, 130])  # wide ones leave padding out
@pytest.mark.parametrize("switch", [{}, {"causal": True}, {"skip_zero_positions": True}], ids=str)
def test_the_unimodal_encoder(switch: dict[str, bool], dim: int) -> None:
    block = settled(UnimodalEncoder(dim, **switch))
    steps = make_steps((4, 7, 0, 1), dim, 0)
    steps.values[0, 1, 0] = 0  # a step without a position, under skip_zero_positions
    with torch.no_grad():
        ours, theirs = PaddedUnimodal(block)(steps.values, steps.valid), block(steps.values, steps.valid)  # type: ignore[arg-type]
    close(ours[steps.valid], theirs[steps.valid])


def test_means_of_what_is_there() -> None:
    block = settled(PooledEncoder(6, 5))
    with torch.no_grad():
        close(PaddedPooled(block)(STEPS), block(STEPS))  # type: ignore[arg-type]


def test_a_sample_is_reversed_inside_its_length() -> None:
    valid = torch.tensor([[True, True, True, False], [False] * 4])
    assert mirrored(valid).tolist() == [[2, 1, 0, 3], [0, 1, 2, 3]]


def test_valid_steps_move_to_the_front_in_their_order() -> None:
    valid = torch.tensor([[False, True, False, True], [False] * 4, [True] * 4])
    values = torch.arange(24.0).view(3, 4, 2)
    steps = Steps(values, valid, valid & (values[:, :, 0] != 6), valid, values[:, 0])
    for ours, theirs in zip(in_front_of_graph(steps), in_front(steps), strict=True):
        assert ours is not None
        assert theirs is not None
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", ["mitr-dnet", "tfn", "mitr-dnet-plus"])
def test_the_model_itself_is_left_as_it_is(name: str) -> None:
    model = build_model(name, DIMS).train()
    before = [(type(part), part.training) for part in model.modules()]
    copied = padded(model)
    assert [(type(part), part.training) for part in model.modules()] == before
    assert all(p.requires_grad for p in model.parameters())
    assert not copied.training
    view = make_view(LENGTHS)
    if name != "tfn":  # whose LSTM is a symbol
        with torch.no_grad():
            close(copied(view), model.eval()(view))
