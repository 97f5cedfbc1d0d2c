"""LSTMs over true lengths against PyTorch's own over one sample at a time."""

import pytest
import torch
from torch import Tensor, nn

from mitr.nn.recurrent import Recurrent

LENGTHS = torch.tensor([7, 1, 0, 4])


def made(bidirectional: bool) -> tuple[Recurrent, nn.LSTM]:
    torch.manual_seed(0)
    ours, theirs = Recurrent(3, 4, bidirectional), nn.LSTM(3, 4, batch_first=True, bidirectional=bidirectional)
    for name, value in theirs.named_parameters():
        side = ours.back if name.endswith("_reverse") else ours.ahead
        assert side is not None
        getattr(side, name.removesuffix("_reverse")).data.copy_(value.data)
    return ours, theirs


def ragged(fill: float = 0.0) -> Tensor:
    x = torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(1))
    return torch.where(torch.arange(7)[None, :, None] < LENGTHS[:, None, None], x, fill)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_it_is_what_pytorch_gives_for_each_sample_alone(bidirectional: bool) -> None:
    ours, theirs = made(bidirectional)
    x = ragged(fill=1e6)
    states, last = ours(x, LENGTHS)
    width = 8 if bidirectional else 4
    assert states.shape == (4, 7, width)
    assert last.shape == (4, width)
    for row, length in enumerate(LENGTHS.tolist()):
        assert not states[row, length:].any()
        if length:
            alone, (hidden, _) = theirs(x[row : row + 1, :length])
            torch.testing.assert_close(states[row, :length], alone[0])
            torch.testing.assert_close(last[row], hidden[:, 0].flatten())
        else:
            assert not last[row].any()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_stay_inside_the_lengths(bidirectional: bool) -> None:
    module, _ = made(bidirectional)
    x = ragged(fill=2.0).requires_grad_()
    states, last = module(x, LENGTHS)
    (states.sum() + last.sum()).backward()
    reached = x.grad.abs().sum(dim=2) > 0
    assert reached.tolist() == [[step < length for step in range(7)] for length in LENGTHS.tolist()]


def test_a_gru_in_its_place() -> None:
    torch.manual_seed(0)
    module = Recurrent(3, 4, cell=nn.GRU)
    states, last = module(ragged(), LENGTHS)
    expected, _ = module.ahead(ragged()[3:, :4])
    torch.testing.assert_close(states[3, :4], expected[0])
    torch.testing.assert_close(last[3], expected[0, 3])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_no_step_at_all(bidirectional: bool) -> None:
    module, _ = made(bidirectional)
    states, last = module(torch.full((2, 3, 3), 5.0), torch.zeros(2, dtype=torch.int64))
    assert not states.any()
    assert not last.any()
    last.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())
