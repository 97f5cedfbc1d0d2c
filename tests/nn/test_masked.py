"""Means and batch normalisation that padding does not touch."""

import pytest
import torch
from torch import nn

from mitr.nn.masked import RowBatchNorm, masked_mean, normalised, put_rows, take_rows


def test_masked_mean() -> None:
    x = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [100.0, 100.0]], [[5.0, 5.0], [7.0, 7.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert masked_mean(x, mask).tolist() == [[2.0, 4.0], [0.0, 0.0]]
    assert masked_mean(x, torch.ones(2, 3, dtype=torch.bool))[1].tolist() == [7.0, 7.0]
    assert masked_mean(x, torch.tensor([[False, True, False]] * 2)).tolist() == [[3.0, 6.0], [7.0, 7.0]]


def test_put_rows_is_the_reverse_of_taking_them() -> None:
    mask = torch.tensor([[True, False, True], [False, True, False]])
    rows = torch.arange(6.0).view(3, 2).requires_grad_()
    back = put_rows(rows, mask)
    assert back.tolist() == [[[0, 1], [0, 0], [2, 3]], [[0, 0], [4, 5], [0, 0]]]
    assert torch.equal(back[mask], rows)
    (back * torch.arange(1.0, 7.0).view(2, 3, 1)).sum().backward()
    assert rows.grad.tolist() == [[1, 1], [3, 3], [5, 5]]
    assert put_rows(torch.zeros(0, 4), torch.zeros(2, 3, dtype=torch.bool)).shape == (2, 3, 4)
    assert put_rows(torch.ones(1, 4, dtype=torch.bfloat16), torch.tensor([False, True])).dtype == torch.bfloat16


class TestRowBatchNorm:
    @pytest.mark.parametrize("affine", [True, False])
    def test_it_is_batch_normalisation_of_the_rows_that_exist(self, affine: bool) -> None:
        torch.manual_seed(0)
        ours, theirs = RowBatchNorm(3, affine=affine), nn.BatchNorm1d(3, affine=affine)
        if affine:
            for norm in (ours, theirs):
                norm.weight.data = torch.tensor([1.0, 2.0, -1.0])
                norm.bias.data = torch.tensor([0.0, 0.5, 3.0])
        x, valid = torch.randn(4, 5, 3) * 3 + 1, torch.arange(5)[None] < torch.tensor([5, 2, 0, 3])[:, None]
        for _ in range(3):
            torch.testing.assert_close(ours(x[valid]), theirs(x[valid]))
        assert ours.state_dict().keys() == theirs.state_dict().keys()
        for name, value in theirs.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], value)
        assert ours.num_batches_tracked == 3
        torch.testing.assert_close(ours.eval()(x[valid]), theirs.eval()(x[valid]))
        assert ours.num_batches_tracked == 3

    def test_a_single_row_is_normalised_by_what_was_seen_before(self) -> None:
        norm = RowBatchNorm(2).train()
        norm.running_mean.copy_(torch.tensor([1.0, -1.0]))
        norm.running_var.copy_(torch.tensor([4.0, 0.25]))
        out = norm(torch.tensor([[3.0, 0.0]]))
        torch.testing.assert_close(out, torch.tensor([[1.0, 2.0]]), rtol=1e-4, atol=1e-4)
        assert norm.running_mean.tolist() == [1.0, -1.0]
        assert norm.num_batches_tracked == 0

    @pytest.mark.parametrize("option", [{"momentum": None}, {"track_running_stats": False}])
    def test_options_that_it_does_not_know_are_refused(self, option: dict[str, object]) -> None:
        with pytest.raises(TypeError):
            RowBatchNorm(2, **option)

    def test_two_rows_are_a_batch(self) -> None:
        norm = RowBatchNorm(1).train()
        torch.testing.assert_close(norm(torch.tensor([[2.0], [6.0]])), torch.tensor([[-1.0], [1.0]]))
        assert norm.running_mean.item() == pytest.approx(0.4)

    @pytest.mark.parametrize("mode", [True, False])
    def test_no_row_at_all(self, mode: bool) -> None:
        norm = RowBatchNorm(2).train(mode)
        before = {name: value.clone() for name, value in norm.state_dict().items()}
        assert norm(torch.zeros(0, 2)).shape == (0, 2)
        assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


def test_rows_taken_and_put_back() -> None:
    torch.manual_seed(0)
    mask = torch.tensor([[True, False, True], [False, False, False]])
    x = torch.randn(2, 3, 4, dtype=torch.double)
    for wanted in (False, True):
        rows = take_rows(x.requires_grad_(wanted), mask)
        torch.testing.assert_close(rows, x[mask])
        torch.testing.assert_close(put_rows(rows, mask), x * mask[:, :, None])
    assert torch.autograd.gradcheck(lambda x: take_rows(x, mask), (x,))
    assert torch.autograd.gradcheck(lambda rows: put_rows(rows, mask), (torch.randn(2, 4).double().requires_grad_(),))
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    assert put_rows(take_rows(x, nothing), nothing).shape == (2, 3, 4)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(7,), (1,), (7, 3), (0,)])
def test_norms_side_by_side_are_each_by_itself(training: bool, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    alone, together = ([RowBatchNorm(width).train(training) for width in (2, 5)] for _ in range(2))
    for one, same in zip(alone, together, strict=True):
        torch.nn.init.normal_(one.weight)
        torch.nn.init.normal_(one.running_mean)
        same.load_state_dict(one.state_dict())
    x = torch.randn(*shape, 7)
    expected = [norm(part) for norm, part in zip(alone, x.split((2, 5), dim=-1), strict=True)]
    torch.testing.assert_close(normalised(together, x), torch.cat(expected, dim=-1))
    for one, same in zip(alone, together, strict=True):
        torch.testing.assert_close(one.state_dict(), same.state_dict())


@pytest.mark.parametrize("shape", [(7, 5), (7, 2, 5)])
def test_what_is_still_to_be_added_moves_the_running_mean_alone(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x, shift = torch.randn(shape), torch.randn(5, requires_grad=True)
    norms = [[RowBatchNorm(2), RowBatchNorm(3)] for _ in range(2)]
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
