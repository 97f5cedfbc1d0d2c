"""EMT-DLFR: what every model must do, and what only this one does."""

import math

import pytest
import torch

from mitr.batches.views import Steps
from mitr.errors import MitrError
from mitr.models.emt_dlfr import EMTDLFR, EmtDlfrOptions, interleaved_sinusoids
from mitr.models.network import Network
from mitr.testing.models import LABELS, ModelContract, close, moved
from mitr.testing.views import ALL_PRESENT, DIMS, LENGTHS, drop_half, make_view, take_away, targets

SMALL = {"width": 8, "layers": 2, "heads": 2, "audio_hidden": 4, "vision_hidden": 5, "audio_out": 3, "vision_out": 5}
SMALL |= {"head": 6, "predictor_fused": 7, "predictor_text": 4}


class TestEMTDLFR(ModelContract):
    name = "emt-dlfr"
    dead = r"simsiam.*project\.bias|pool\.2\.bias"  # before BatchNorm, and before the softmax over modalities


def made(modalities: tuple[str, ...] = tuple(DIMS), **options: float) -> EMTDLFR:
    torch.manual_seed(0)
    return EMTDLFR({m: DIMS[m] for m in modalities}, EmtDlfrOptions(**(SMALL | options))).eval()


def test_the_terms_and_their_weights() -> None:
    model = made(loss_task_student=0.1, loss_task_teacher=0.2, loss_simsiam=0.3, loss_reconstruction=0.4)
    complete = make_view(LENGTHS)
    _, terms = model.losses(complete, drop_half(complete), targets(LABELS))
    expected = {"task_student": 0.1, "task_teacher": 0.2, "simsiam_fused": 0.3}
    expected |= {f"simsiam_{m}": 0.3 for m in DIMS} | {f"reconstruction_{m}": 0.4 for m in DIMS}
    assert {term: model.weight_of(term) for term in terms} == expected


def test_a_frozen_teacher_sees_the_complete_view() -> None:
    student, teacher = made(), made()
    complete = make_view(LENGTHS)
    incomplete = drop_half(complete)
    for parameter in teacher.parameters():
        parameter.data *= 1.5
    _, alone = student.losses(complete, incomplete, targets(LABELS))
    _, guided = student.losses(complete, incomplete, targets(LABELS), teacher)
    assert guided.keys() == alone.keys() - {"task_teacher"}
    assert moved(guided["simsiam_fused"], alone["simsiam_fused"])
    close(guided["task_student"], alone["task_student"])
    torch.stack(list(guided.values())).sum().backward()
    assert all(p.grad is None for p in teacher.parameters())


def test_positions_by_hand() -> None:
    expected = [[0, 1, 0, 1], [math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)]]
    close(interleaved_sinusoids(2, 4), torch.tensor(expected))


def test_pooling_leaves_out_what_is_absent() -> None:
    exchange = made().exchange
    context, views = torch.randn(4, 3, 8), torch.randn(4, 3, 24)
    there = torch.tensor([[True, True, True], [True, False, True], [False, True, False], [False, False, False]])
    pooled = exchange.pooled(context, views, there)
    scores = exchange.pool(views)[:, :, 0].exp()
    first = (scores[0, :, None] * views[0]).sum(dim=0) / scores[0].sum()
    second = (scores[1, 0] * views[1, 0] + scores[1, 2] * views[1, 2]) / (scores[1, 0] + scores[1, 2])
    close(pooled, torch.stack([first.view(3, 8), second.view(3, 8), views[2, 1].view(3, 8), context[3]]))


def test_only_words_are_read_and_the_summary_stands_for_the_text() -> None:
    model = made()
    view = make_view(ALL_PRESENT)
    text = view["text"]
    ends = torch.arange(7)[None] == text.valid.sum(dim=1, keepdim=True) - 1  # [SEP]
    view["text"] = text._replace(content=text.content & ~ends, summary=torch.randn(5, DIMS["text"]))
    before = model(view)

    def with_text(**parts: torch.Tensor) -> dict[str, Steps]:
        return view | {"text": view["text"]._replace(**parts)}

    close(model(with_text(values=text.values + 3.0 * ends[:, :, None])), before)
    assert moved(model(with_text(values=text.values + 3.0 * view["text"].content[:, :, None])), before)
    assert moved(model(with_text(summary=torch.ones(5, DIMS["text"]))), before)


def test_without_a_summary_the_mean_of_the_observed_steps_stands_for_the_text() -> None:
    model = made()
    view = drop_half(make_view(ALL_PRESENT))
    text = view["text"]
    means = [values[there].mean(dim=0) for values, there in zip(text.values, text.available, strict=True)]
    close(model(view), model(view | {"text": text._replace(summary=torch.stack(means))}))


@pytest.mark.parametrize("m", DIMS)
def test_a_learned_vector_stands_for_what_is_absent(m: str) -> None:
    model = made()
    view = take_away(make_view(ALL_PRESENT), m, [1])
    before = model(view)
    model.absence[m].data -= 5.0  # so far that it shows behind the ReLUs
    assert moved(model(view)[1], before[1])
    close(model(view)[[0, 2, 3, 4]], before[[0, 2, 3, 4]])


@pytest.mark.parametrize("m", DIMS)
def test_a_single_modality(m: str) -> None:
    model = made(modalities=(m,)).train()
    complete = make_view({m: LENGTHS[m]})
    total = Network(model)(complete, drop_half(complete), targets(LABELS)).total
    total.backward()
    assert total.isfinite()


def test_audio_and_vision_have_learning_rates_of_their_own() -> None:
    model = made()
    names = {id(p): name for name, p in model.named_parameters()}
    groups = {g: {names[id(p)] for p in parameters} for g, parameters in model.parameter_groups().items()}
    assert groups["audio"] == {name for name in names.values() if name.startswith("encoder.audio.")}
    assert groups["vision"] == {name for name in names.values() if name.startswith("encoder.vision.")}


def test_no_layer_where_widths_agree() -> None:
    model = made(audio_hidden=8, audio_out=8, vision_hidden=6)
    assert not any(name.startswith(("encoder.audio.out", "project.audio")) for name in model.state_dict())
    assert any(name.startswith("encoder.vision.out") for name in model.state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 9, "heads": 3}, "width is 9; it must be even and a multiple of the 3 heads"),
        ({"heads": 3}, "width is 8; it must be even and a multiple of the 3 heads"),
        ({"layers": 0}, "layers is 0; it must be at least 1"),
        ({"dropout_feed": 1.0}, r"dropout_feed is 1.0; it must lie in \[0, 1\)"),
    ],
)
def test_options_that_it_refuses(options: dict[str, float], message: str) -> None:
    with pytest.raises(MitrError, match=message):
        made(**options)
