"""What is predicted: one number or a class, and the error of each."""

import math

import pytest
import torch

from mitr.batches.views import Targets
from mitr.config import ImbalanceConfig
from mitr.losses.task import Classification, Regression, Task, task_of

EVERYONE = torch.ones(3, dtype=torch.bool)
TARGETS = Targets(torch.tensor([1.0, torch.nan, -2.0]), torch.arange(3), torch.tensor([1.0, 5.0, 3.0]))


def test_a_regression() -> None:
    task = Task()
    assert task.outputs == 1
    assert task.answer(torch.tensor([[2.0], [3.0], [0.0]])).tolist() == [2, 3, 0]
    assert task.loss(torch.tensor([2.0, 9.0, 0.0]), TARGETS, EVERYONE) == (1 * 1 + 3 * 2) / 2
    assert task.loss(torch.tensor([2.0, 9.0, 0.0]), TARGETS, torch.tensor([True, True, False])) == 1


def test_a_classification() -> None:
    task = Classification(("angry", "sad"))
    assert task.outputs == 2
    logits = torch.tensor([[0.0, math.log(3)], [5.0, 5.0], [0.0, 0.0]], requires_grad=True)
    assert task.answer(logits) is logits
    targets = TARGETS._replace(labels=torch.tensor([1.0, torch.nan, 0.0]))
    loss = task.loss(logits, targets, EVERYONE)
    assert loss.item() == pytest.approx((math.log(4 / 3) + 3 * math.log(2)) / 2)
    loss.backward()
    assert logits.grad[1].tolist() == [0, 0]
    assert logits.grad[0].tolist() == pytest.approx([1 / 8, -1 / 8])
    nobody = task.loss(logits, targets._replace(labels=torch.full((3,), torch.nan)), EVERYONE)
    assert nobody == 0


def test_the_task_of_the_options() -> None:
    assert isinstance(task_of(ImbalanceConfig(), ["a", "b", "c"]), Classification)
    assert task_of(ImbalanceConfig(), ["a", "b", "c"]).outputs == 3
    plain, balanced = task_of(ImbalanceConfig(), None), task_of(ImbalanceConfig(loss="balanced-mse", noise=2.0), None)
    assert isinstance(plain, Regression)
    both = Targets.plain(torch.tensor([0.0, 2.0]))
    prediction, mask = torch.tensor([0.0, 1.0]), torch.tensor([True, True])
    assert plain.loss(prediction, both, mask) == 0.5
    expected = 4 * math.log(1 + math.exp(-0.5)) + 4 * math.log(2)
    assert balanced.loss(prediction, both, mask).item() == pytest.approx(expected)
