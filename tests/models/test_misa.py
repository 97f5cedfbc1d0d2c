"""MISA: what every model must do, and what only this one does."""

import pytest
import torch

from mitr.errors import MitrError
from mitr.losses.task import Classification
from mitr.models.misa import MISA, MisaOptions
from mitr.testing.models import LABELS, ModelContract, close
from mitr.testing.views import ALL_PRESENT, DIMS, choose, drop_half, make_view, take_away, targets

SMALL = {"width": 6, "feed": 8}


class TestMISA(ModelContract):
    name = "misa"
    dead = r"fusion\.self_attn\.in_proj_bias"


def made(task: Classification | None = None, modalities: tuple[str, ...] = tuple(DIMS), **options: float) -> MISA:
    torch.manual_seed(0)
    dims = {m: DIMS[m] for m in modalities}
    return MISA(dims, MisaOptions(**(SMALL | {"loss_task_student": 0.5} | options)), task).eval()


def test_the_task_is_learnt_by_its_squared_error() -> None:
    model = made()
    view = make_view(ALL_PRESENT)
    prediction, terms = model.losses(view, drop_half(view), targets(LABELS))
    close(terms["task_student"], (prediction - LABELS).square().mean())
    classes = made(Classification(("low", "high")))
    logits, terms = classes.losses(view, view, targets(torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0])))
    close(terms["task_student"], torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 1, 0, 1])))


def test_the_terms_and_their_weights() -> None:
    model = made(loss_diff=0.2, loss_sim=0.4, loss_recon=0.6)
    view = make_view(ALL_PRESENT)
    _, terms = model.losses(view, view, targets(LABELS))
    assert {name: model.weight_of(name) for name in terms} == {
        "task_student": 0.5,
        "diff": 0.2,
        "sim": 0.4,
        "recon": 0.6,
    }
    alone = made(modalities=("text",))
    _, terms = alone.losses({"text": view["text"]}, {"text": view["text"]}, targets(LABELS))
    assert terms.keys() == {"task_student", "diff", "recon"}


def test_samples_without_a_modality_take_no_part_in_its_relations() -> None:
    model = made(modalities=("text", "audio"))
    view = make_view({m: ALL_PRESENT[m] for m in ("text", "audio")})
    lacking = take_away(view, "audio", [1, 4])
    _, ours = model.losses(lacking, lacking, targets(LABELS))
    having = [0, 2, 3]
    _, theirs = model.losses(choose(view, having), choose(view, having), targets(LABELS, having))
    close(ours["sim"], theirs["sim"])
    # text has all five samples, audio three: the mean of both errors
    states, few = model.states(view), model.states(choose(view, having))
    errors = [(s.restored[m] - s.projected[m]).square().mean() for s, m in ((states, "text"), (few, "audio"))]
    close(ours["recon"], sum(errors) / 2)
    _, nowhere = model.losses(take_away(view, "audio", range(5)), take_away(view, "audio", range(5)), targets(LABELS))
    close(nowhere["recon"], errors[0])
    assert nowhere["sim"] == 0


def test_audio_is_read_to_its_end() -> None:
    model = made()
    audio = make_view(ALL_PRESENT)["audio"]
    other = audio.values.clone()
    other[3, 11] += 1.0  # the last of twelve steps; this sample's text has six tokens
    changed = (model.steps["audio"](audio) - model.steps["audio"](audio._replace(values=other))).abs().sum(dim=1)
    assert changed[3] > 1e-3
    assert not changed[[0, 1, 2, 4]].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 5}, "model.width is 5; it must be a multiple of the 2 heads"),
        ({"loss_sim": -1.0}, "loss.sim is -1.0; it must not be negative"),
        ({"dropout_head": 1.5}, r"model.dropout_head is 1.5; it must lie in \[0, 1\)"),
    ],
)
def test_options_that_it_refuses(options: dict[str, float], message: str) -> None:
    with pytest.raises(MitrError, match=message):
        made(**options)
