"""Valid steps as rows, there and back."""

import torch

from mitr.nn.cpu.rows import put_rows, take_rows


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
