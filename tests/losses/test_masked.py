"""Losses on tensors small enough to compute by hand."""

import pytest
import torch

from mitr.losses import masked

YES, NO = torch.tensor([True, True]), torch.tensor([False, False])
FIRST = torch.tensor([True, False])
A, B = torch.tensor([[1.0, 2.0], [0.0, 4.0]]), torch.tensor([[3.0, 2.0], [1.0, 1.0]])


def test_mean_where() -> None:
    values = torch.tensor([1.0, 5.0, torch.nan])
    assert masked.mean_where(values, torch.tensor([True, True, False])) == 3
    assert masked.mean_where(values, torch.tensor([False, True, False])) == 5
    assert masked.mean_where(values, torch.zeros(3, dtype=torch.bool)) == 0


def test_l1_leaves_unknown_labels_out() -> None:
    prediction = torch.tensor([1.0, -2.0, 7.0], requires_grad=True)
    loss = masked.l1(prediction, torch.tensor([0.5, 1.0, torch.nan]), torch.tensor([True, True, False]))
    assert loss.item() == pytest.approx((0.5 + 3) / 2)
    loss.backward()
    assert prediction.grad.tolist() == [0.5, -0.5, 0.0]


def test_cross_entropy_leaves_unknown_classes_out() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0], [9.0, 0.0, 9.0]], requires_grad=True)
    loss = masked.cross_entropy(logits, torch.tensor([2.0, torch.nan]), FIRST)
    assert loss.item() == pytest.approx(1.0986123)
    loss.backward()
    assert logits.grad[0].tolist() == pytest.approx([1 / 3, 1 / 3, -2 / 3])
    assert not logits.grad[1].any()
    double = masked.cross_entropy(logits, torch.tensor([2.0, torch.nan]), FIRST, torch.tensor([2.0, 5.0]))
    assert double.item() == pytest.approx(2 * 1.0986123)


def test_mse_leaves_unknown_labels_out() -> None:
    prediction = torch.tensor([1.0, -2.0, 7.0], requires_grad=True)
    truth, known = torch.tensor([0.5, 1.0, torch.nan]), torch.tensor([True, True, False])
    loss = masked.mse(prediction, truth, known, torch.tensor([2.0, 1.0, 1.0]))
    assert loss.item() == pytest.approx((2 * 0.25 + 9) / 2)
    masked.mse(prediction, truth, known).backward()
    assert prediction.grad.tolist() == [0.5, -3.0, 0.0]


def test_vector_l1() -> None:
    assert masked.vector_l1(A, B, YES).item() == pytest.approx((2 / 2 + 4 / 2) / 2)
    assert masked.vector_l1(A, B, FIRST) == 1


def test_vector_mse() -> None:
    assert masked.vector_mse(A, B, YES).item() == pytest.approx((4 / 2 + 10 / 2) / 2)
    assert masked.vector_mse(A, B, FIRST) == 2


def test_simsiam() -> None:
    p_student, z_teacher = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[6.0, 8.0], [0.0, 2.0]])  # cos 1, 0
    p_teacher, z_student = torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([[-5.0, 0.0], [2.0, 2.0]])  # cos -1, 1
    assert masked.simsiam(p_student, z_teacher, p_teacher, z_student, YES).item() == pytest.approx(-0.5 * (0 + 1) / 2)
    assert masked.simsiam(p_student, z_teacher, p_teacher, z_student, FIRST).item() == pytest.approx(0, abs=1e-6)
    assert masked.simsiam(A, A, B, B, YES).item() == pytest.approx(-1)
    assert masked.simsiam(A, -A, B, -B, YES).item() == pytest.approx(1)


def test_simsiam_targets_are_constants() -> None:
    p_student, z_teacher, p_teacher, z_student = (x.clone().requires_grad_() for x in (A, B, B, A))
    masked.simsiam(p_student, z_teacher, p_teacher, z_student, YES).backward()
    assert z_teacher.grad is None
    assert z_student.grad is None
    assert p_student.grad.any()
    assert p_teacher.grad.any()


def test_reconstruction() -> None:
    restored = torch.tensor([[[0.5, 0.0], [3.0, 0.0], [9.0, 9.0]]])
    target = torch.zeros(1, 3, 2)
    both = torch.tensor([[True, True, False]])
    # 0.5 * 0.5^2 below 1, |x| - 0.5 above
    assert masked.reconstruction(restored, target, both).item() == pytest.approx((0.125 + 2.5) / 4, rel=1e-5)
    assert masked.reconstruction(restored, target, torch.tensor([[False, True, False]])).item() == pytest.approx(
        2.5 / 2
    )


def test_reconstruction_averages_over_the_steps_of_the_batch() -> None:
    restored = torch.tensor([[[1.5], [1.5]], [[4.5], [0.0]]])
    dropped = torch.tensor([[True, True], [True, False]])
    assert masked.reconstruction(restored, torch.zeros(2, 2, 1), dropped).item() == pytest.approx((1 + 1 + 4) / 3)


def test_the_reconstruction_target_is_a_constant() -> None:
    restored, target = torch.ones(1, 2, 3, requires_grad=True), torch.zeros(1, 2, 3, requires_grad=True)
    masked.reconstruction(restored, target, torch.tensor([[True, False]])).backward()
    assert target.grad is None
    assert restored.grad[0, 0].all()
    assert not restored.grad[0, 1].any()


def test_where_nothing_is_left_every_loss_is_0_with_a_finite_gradient() -> None:
    x, zero = torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 3)
    prediction, sequence = torch.zeros(2, requires_grad=True), torch.zeros(2, 4, 3, requires_grad=True)
    losses = [
        masked.l1(prediction, torch.full((2,), torch.nan), NO),
        masked.vector_l1(x, zero, NO),
        masked.vector_mse(x, zero, NO),
        masked.simsiam(x, zero, x, zero, NO),
        masked.reconstruction(sequence, torch.zeros(2, 4, 3), torch.zeros(2, 4, dtype=torch.bool)),
    ]
    assert [loss.item() for loss in losses] == [0] * 5
    sum(losses).backward()
    for leaf in (x, prediction, sequence):
        assert not leaf.grad.any()


def test_vectors_that_are_masked_do_not_count_and_get_no_gradient() -> None:
    for loss in (masked.vector_l1, masked.vector_mse):
        x = A.clone().requires_grad_()
        loss(x, B, FIRST).backward()
        assert x.grad[0].any()
        assert not x.grad[1].any()
