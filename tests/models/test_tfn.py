"""TFN: what every model must do, and what only this one does."""

import pytest
import torch

from mitr.errors import MitrError
from mitr.losses.task import Classification
from mitr.models.tfn import TFN, TfnOptions
from mitr.testing.models import ModelContract, close, moved
from mitr.testing.views import ALL_PRESENT, DIMS, make_view, take_away, targets

SMALL = {"text_hidden": 5, "text": 3, "audio": 2, "vision": 4, "head": 6}


class TestTFN(ModelContract):
    name = "tfn"
    gain = 3.0


def made(task: Classification | None = None, **options: float) -> TFN:
    torch.manual_seed(0)
    return TFN(DIMS, TfnOptions(**(SMALL | options)), task).eval()


def test_the_product_holds_every_product_of_features() -> None:
    model = made()
    view = make_view(ALL_PRESENT)
    t, a, v = (model.vectors(view)[m] for m in ("text", "audio", "vision"))
    product = model.product(view).unflatten(1, (3, 5, 4))  # audio, vision, text
    assert torch.equal(product[:, 0, 0, 0], torch.ones(5))
    close(product[:, 1:, 0, 0], a)
    close(product[:, 0, 1:, 0], v)
    close(product[:, 0, 0, 1:], t)
    close(product[:, 2, 3, 1], a[:, 1] * v[:, 2] * t[:, 0])


def test_without_a_modality_the_product_is_that_of_the_others() -> None:
    model = made()
    view = make_view(ALL_PRESENT)
    product = model.product(take_away(view, "vision", [1])).unflatten(1, (3, 5, 4))
    assert not product[1, :, 1:].any()
    close(product[1, :, 0], model.product(view).unflatten(1, (3, 5, 4))[1, :, 0])
    assert product[0, :, 1:].any()


def test_predictions_lie_between_the_lowest_and_the_highest_training_label() -> None:
    model = made()
    view = make_view(ALL_PRESENT)
    with torch.no_grad():
        model.head_out.weight *= 1e4
        model.head_out.bias.zero_()
    assert sorted({round(p) for p in model(view).tolist()} | {-3, 3}) == [-3, 3]
    model.begin(targets(torch.tensor([0.25, torch.nan, -1.0, 0.5, 0.0])))
    assert model.bounds.tolist() == [-1.0, 0.5]
    assert model(view).min() >= -1
    assert model(view).max() <= 0.5
    model.begin(targets(torch.full((5,), torch.nan)))
    assert model.bounds.tolist() == [-1.0, 0.5]
    assert torch.equal(made().state_dict()["bounds"], torch.tensor([-3.0, 3.0]))


def test_classes_are_not_bounded() -> None:
    model = made(Classification(("low", "high", "other")))
    with torch.no_grad():
        model.head_out.bias += 50
    logits = model(make_view(ALL_PRESENT))
    assert logits.shape == (5, 3)
    assert logits.min() > 40


def test_text_begins_with_its_summary() -> None:
    model = made()
    view = make_view(ALL_PRESENT)
    text = view["text"]
    summed = {**view, "text": text._replace(summary=torch.ones(5, DIMS["text"]))}
    longer = torch.cat([torch.ones(5, 1, DIMS["text"]), text.values], dim=1)
    valid = torch.cat([torch.ones(5, 1, dtype=torch.bool), text.valid], dim=1)
    by_hand = {**view, "text": text._replace(values=longer, valid=valid, available=valid, content=valid)}
    close(model(summed), model(by_hand))
    assert moved(model.vectors(summed)["text"], model.vectors(view)["text"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": 0}, "model.head is 0; it must be at least 1"),
        ({"dropout_head": 1.0}, r"model.dropout_head is 1.0; it must lie in \[0, 1\)"),
    ],
)
def test_options_that_it_refuses(options: dict[str, float], message: str) -> None:
    with pytest.raises(MitrError, match=message):
        made(**options)
