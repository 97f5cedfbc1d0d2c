"""LMF: what every model must do, and what only this one does."""

import pytest
import torch

from mitr.errors import MitrError
from mitr.losses.task import Classification
from mitr.models.lmf import LMF, LmfOptions
from mitr.testing.models import ModelContract, close
from mitr.testing.views import ALL_PRESENT, DIMS, make_view, take_away

SMALL = {"text_hidden": 5, "text": 3, "audio": 2, "vision": 4, "rank": 2}


class TestLMF(ModelContract):
    name = "lmf"
    gain = 3.0


def made(task: Classification | None = None, **options: float) -> LMF:
    torch.manual_seed(0)
    return LMF(DIMS, LmfOptions(**(SMALL | options)), task).eval()


@pytest.mark.parametrize("task", [None, Classification(("low", "high", "other"))], ids=["scale", "classes"])
def test_it_is_a_linear_read_out_of_the_outer_product(task: Classification | None) -> None:
    model = made(task)
    view = make_view(ALL_PRESENT)
    t, a, v = (torch.cat([torch.ones(5, 1), vector], dim=1) for vector in model.vectors(view).values())
    outputs = model.task.outputs
    one, two, three = (
        torch.cat([model.factor[m].bias[:, None], model.factor[m].weight], dim=1).unflatten(0, (outputs, -1))
        for m in ("text", "audio", "vision")
    )
    weights = torch.einsum("r,ori,orj,ork->oijk", model.mixture, one, two, three)
    expected = torch.einsum("bi,bj,bk,oijk->bo", t, a, v, weights) + model.bias
    close(model(view), model.task.answer(expected))
    assert expected.std(dim=0).min() > 1e-4


def test_an_absent_modality_is_a_constant_factor() -> None:
    model = made()
    view = take_away(make_view(ALL_PRESENT), "audio", [2])
    t, a, v = (vector[2:3] for vector in model.vectors(view).values())
    assert not a.any()
    expected = model.factor["text"](t) * model.factor["audio"].bias * model.factor["vision"](v)
    close(model.ranks(view)[2:3, 0], expected)


def test_the_mixture_of_ranks_is_trained() -> None:
    names = {name for name, _ in made().named_parameters()}
    assert {"mixture", "bias"} <= names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "model.rank is 0; it must be at least 1"),
        ({"dropout_audio": -0.1}, r"model.dropout_audio is -0.1; it must lie in \[0, 1\)"),
    ],
)
def test_options_that_it_refuses(options: dict[str, float], message: str) -> None:
    with pytest.raises(MitrError, match=message):
        made(**options)
