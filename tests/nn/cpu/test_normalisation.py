"""Batch normalisation of several norms and streams in one call is each norm by itself."""

import pytest
import torch

from mitr.nn.cpu.normalisation import normalised
from mitr.nn.masked import MaskedBatchNorm


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(7,), (1,), (7, 3), (0,)])
def test_norms_side_by_side_are_each_by_itself(training: bool, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    alone, together = ([MaskedBatchNorm(width).train(training) for width in (2, 5)] for _ in range(2))
    for one, same in zip(alone, together, strict=True):
        torch.nn.init.normal_(one.weight)
        torch.nn.init.normal_(one.running_mean)
        same.load_state_dict(one.state_dict())
    x = torch.randn(*shape, 7)
    x.requires_grad_()
    split = [part.unbind(1) if x.dim() == 3 else [part] for part in x.split((2, 5), dim=-1)]
    each = [[norm(stream) for stream in streams] for norm, streams in zip(alone, split, strict=True)]
    expected = [torch.stack(streams, 1) if x.dim() == 3 else streams[0] for streams in each]
    torch.testing.assert_close(normalised(together, x), torch.cat(expected, dim=-1))
    for one, same in zip(alone, together, strict=True):
        torch.testing.assert_close(one.state_dict(), same.state_dict())


@pytest.mark.parametrize("shape", [(7, 5), (7, 2, 5)])
def test_what_is_still_to_be_added_moves_the_running_mean_alone(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x, shift = torch.randn(shape), torch.randn(5, requires_grad=True)
    norms = [[MaskedBatchNorm(2), MaskedBatchNorm(3)] for _ in range(2)]
    ours = normalised(norms[0], x, None, shift)
    torch.testing.assert_close(ours, normalised(norms[1], x + shift.detach()))
    for one, other in zip(*norms, strict=True):
        for name, value in one.state_dict().items():
            torch.testing.assert_close(value, other.state_dict()[name])
    ours.square().sum().backward()
    assert shift.grad.tolist() == [0.0] * 5  # not None: an optimiser still sees the bias
    for one in [norm.eval() for norm in norms[0]], [norm.train() for norm in norms[1]]:  # no statistics of their own
        rows = x if not one[0].training else x[:1]
        torch.testing.assert_close(normalised(one, rows, None, shift), normalised(one, rows + shift))
