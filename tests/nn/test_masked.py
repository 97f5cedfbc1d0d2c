"""Means and batch normalisation that padding does not touch."""

import pytest
import torch
from torch import nn

from mitr.nn.masked import MaskedBatchNorm, at_steps, masked_mean, mirrored


def test_masked_mean() -> None:
    x = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [100.0, 100.0]], [[5.0, 5.0], [7.0, 7.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert masked_mean(x, mask).tolist() == [[2.0, 4.0], [0.0, 0.0]]
    assert masked_mean(x, torch.ones(2, 3, dtype=torch.bool))[1].tolist() == [7.0, 7.0]
    assert masked_mean(x, torch.tensor([[False, True, False]] * 2)).tolist() == [[3.0, 6.0], [7.0, 7.0]]


class TestMaskedBatchNorm:
    @pytest.mark.parametrize("affine", [True, False])
    def test_it_is_batch_normalisation_of_the_rows_that_exist(self, affine: bool) -> None:
        torch.manual_seed(0)
        ours, theirs = MaskedBatchNorm(3, affine=affine), nn.BatchNorm1d(3, affine=affine)
        if affine:
            for norm in (ours, theirs):
                norm.weight.data = torch.tensor([1.0, 2.0, -1.0])
                norm.bias.data = torch.tensor([0.0, 0.5, 3.0])
        x, valid = torch.randn(4, 5, 3) * 3 + 1, torch.arange(5)[None] < torch.tensor([5, 2, 0, 3])[:, None]
        for _ in range(3):
            expected = theirs(x[valid])
            torch.testing.assert_close(ours(x.masked_fill(~valid[..., None], 1e4), valid)[valid], expected)
        assert ours.state_dict().keys() == theirs.state_dict().keys()
        for name, value in theirs.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], value)
        assert ours.num_batches_tracked == 3
        torch.testing.assert_close(ours.eval()(x, valid)[valid], theirs.eval()(x[valid]))
        torch.testing.assert_close(ours.train()(x[valid]), theirs.train()(x[valid]))  # without a mask, all rows
        ours.eval()
        assert ours.num_batches_tracked == 4

    def test_a_single_row_is_normalised_by_what_was_seen_before(self) -> None:
        norm = MaskedBatchNorm(2).train()
        norm.running_mean.copy_(torch.tensor([1.0, -1.0]))
        norm.running_var.copy_(torch.tensor([4.0, 0.25]))
        out = norm(torch.tensor([[3.0, 0.0]]))
        torch.testing.assert_close(out, torch.tensor([[1.0, 2.0]]), rtol=1e-4, atol=1e-4)
        assert norm.running_mean.tolist() == [1.0, -1.0]
        assert norm.num_batches_tracked == 0

    @pytest.mark.parametrize("option", [{"momentum": None}, {"track_running_stats": False}])
    def test_options_that_it_does_not_know_are_refused(self, option: dict[str, object]) -> None:
        with pytest.raises(TypeError):
            MaskedBatchNorm(2, **option)

    def test_two_rows_are_a_batch(self) -> None:
        norm = MaskedBatchNorm(1).train()
        torch.testing.assert_close(norm(torch.tensor([[2.0], [6.0]])), torch.tensor([[-1.0], [1.0]]))
        assert norm.running_mean.item() == pytest.approx(0.4)

    @pytest.mark.parametrize("mode", [True, False])
    def test_no_row_at_all(self, mode: bool) -> None:
        norm = MaskedBatchNorm(2).train(mode)
        before = {name: value.clone() for name, value in norm.state_dict().items()}
        assert norm(torch.zeros(0, 2)).shape == (0, 2)
        assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())

    def test_gradients_are_those_of_the_rows_that_exist(self) -> None:
        torch.manual_seed(0)
        norm, plain = MaskedBatchNorm(3).double(), nn.BatchNorm1d(3).double()
        x = torch.randn(4, 5, 3, dtype=torch.double, requires_grad=True)
        valid = torch.arange(5)[None] < torch.tensor([5, 2, 0, 3])[:, None]
        weights = torch.randn(10, 3, dtype=torch.double)
        found = []
        for out, layer in ((norm(x, valid)[valid], norm), (plain(x[valid]), plain)):
            found.append(torch.autograd.grad((out * weights).sum(), (x, layer.weight, layer.bias)))
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs)

    @pytest.mark.parametrize("rows", [0, 1])
    def test_gradients_without_a_variance_are_finite(self, rows: int) -> None:
        norm, x = MaskedBatchNorm(3), torch.randn(4, 3, requires_grad=True)
        norm(x, torch.arange(4) < rows).masked_fill((torch.arange(4) >= rows)[:, None], 0).sum().backward()
        assert x.grad.isfinite().all()
        assert norm.running_mean.tolist() == [0, 0, 0]

    def test_in_bf16_statistics_are_not_rounded(self) -> None:
        torch.manual_seed(0)
        norm, x = MaskedBatchNorm(2), (torch.randn(5000, 2) + 3).bfloat16()
        out = norm(x)
        assert out.dtype == torch.bfloat16
        torch.testing.assert_close(norm.running_mean, 0.1 * x.float().mean(dim=0), rtol=1e-4, atol=0)


def test_a_sample_is_reversed_inside_its_length() -> None:
    valid = torch.tensor([[True, True, True, False], [False] * 4])
    assert mirrored(valid).tolist() == [[2, 1, 0, 3], [0, 1, 2, 3]]
    x = torch.arange(8).view(2, 4, 1)
    assert at_steps(x, mirrored(valid))[:, :, 0].tolist() == [[2, 1, 0, 3], [4, 5, 6, 7]]
