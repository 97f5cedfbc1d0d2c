"""MITR-DNet+: what every model must do, and what only this one does."""

import pytest
import torch

from mitr.batches.views import Targets
from mitr.errors import MitrError
from mitr.losses.task import Classification
from mitr.models.mitr_dnet_plus import MitrDNetPlus, MitrDNetPlusOptions
from mitr.testing.models import ModelContract, close, moved
from mitr.testing.views import ALL_PRESENT, DIMS, LENGTHS, drop_half, make_view, take_away

LABELS = torch.tensor([1.0, -2.0, 0.5, 3.0, -0.4])


class TestMitrDNetPlus(ModelContract):
    name = "mitr-dnet-plus"


def made(task: Classification | None = None, **options: float) -> MitrDNetPlus:
    torch.manual_seed(0)
    return MitrDNetPlus(DIMS, MitrDNetPlusOptions(**({"width": 8, "heads": 2} | options)), task).eval()


def test_an_absent_modality_is_its_learned_token_and_nothing_else() -> None:
    model = made()
    tokens, there = model.modality["audio"](make_view(LENGTHS)["audio"])
    assert there[1].nonzero().flatten().tolist() == [tokens.shape[1] - 1]
    close(tokens[1, -1], model.modality["audio"].absent)
    close(tokens[0, -1], tokens[0, :9].mean(dim=0))


def test_the_summary_of_the_text_is_read_where_there_is_text() -> None:
    model, view = made(), make_view(LENGTHS)
    steps = view["text"]
    told = {**view, "text": steps._replace(summary=steps.values.mean(dim=1) + torch.arange(6.0))}
    before, after = model(view), model(told)
    assert moved(after[0], before[0])
    close(after[2], before[2])  # has no text


def test_the_token_of_absence_changes_the_answer() -> None:
    model, view = made(), take_away(make_view(ALL_PRESENT), "vision", [3])
    before = model(view)
    with torch.no_grad():
        model.modality["vision"].absent += torch.arange(8.0)
    after = model(view)
    assert moved(after[3], before[3])
    close(after[:3], before[:3])


def test_the_student_follows_and_the_teacher_does_not_move() -> None:
    complete = make_view(ALL_PRESENT)
    for detach in (True, False):
        model = made(detach=detach)
        student, teacher = model.read(drop_half(complete)), model.read(complete)
        _, terms = model.losses(complete, drop_half(complete), Targets.plain(LABELS))
        close(terms["distill"], (student.fused - teacher.fused).square().mean())
        close(terms["consistency"], (student.prediction - teacher.prediction).abs().mean())
        gradient = torch.autograd.grad(terms["consistency"], model.head.bias, allow_unused=True)[0]
        # the head's bias is in both answers: their difference does not depend on it unless one of them is detached
        assert bool(gradient.abs().max() > 1e-6) == detach


def test_weights_of_its_terms_are_its_options_and_those_of_the_losses() -> None:
    model = made(loss_distill=0.25, loss_consistency=2.0, loss_task_student=0.7)
    weights = [model.weight_of(term) for term in ("distill", "consistency", "task_student", "task_teacher")]
    assert weights == [0.25, 2.0, 0.7, 1.0]


def test_classes_have_an_answer_each() -> None:
    model = made(Classification(("low", "high", "other")))
    complete = make_view(ALL_PRESENT)
    classes = Targets.plain(torch.tensor([0.0, 1.0, 2.0, 1.0, 0.0]))
    prediction, terms = model.losses(complete, drop_half(complete), classes)
    assert prediction.shape == (5, 3)
    assert all(term.shape == () and term.isfinite() for term in terms.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 9}, "model.width is 9; it must be a multiple of the 2 heads"),
        ({"layers": 0}, "model.layers is 0; it must be at least 1"),
        ({"loss_distill": -1.0}, "loss.distill is -1.0; it must not be negative"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(MitrError, match=message):
        made(**options)
