"""TFR-Net: what every model must do, and what only this one does."""

import pytest
import torch
from torch import Tensor

from mitr.errors import MitrError
from mitr.models.network import Network
from mitr.models.tfr_net import GatedSummary, TFRNet, TfrNetOptions
from mitr.testing.models import LABELS, ModelContract, close, moved
from mitr.testing.views import ALL_PRESENT, DIMS, LENGTHS, drop_half, make_view, take_away, targets

SMALL = {"width": 4, "heads": 2, "layers": 1, "text_hidden": 3, "audio_hidden": 2, "vision_hidden": 4, "head": 5}


class TestTFRNet(ModelContract):
    name = "tfr-net"
    dead = r"key\.bias"  # it moves all scores alike


def made(modalities: tuple[str, ...] = tuple(DIMS), **options: float) -> TFRNet:
    torch.manual_seed(0)
    weights = {"loss_task_student": 3.0, "loss_reconstruction": 0.5}
    return TFRNet({m: DIMS[m] for m in modalities}, TfrNetOptions(**(SMALL | weights | options))).eval()


def test_the_terms_and_their_weights() -> None:
    model = made()
    complete = make_view(LENGTHS)
    _, terms = model.losses(complete, drop_half(complete), targets(LABELS))
    full = {"task_student": 3.0, "reconstruction_text": 2.5, "reconstruction_audio": 1.0, "reconstruction_vision": 10.0}
    task_only = dict.fromkeys(full, 0.0) | {"task_student": 3.0}
    assert {term: model.weight_of(term) for term in terms} == full
    for epoch, training, evaluating in ((0, task_only, full), (1, full, full), (0, task_only, full)):
        model.begin_epoch(epoch)
        assert {term: model.train().weight_of(term) for term in terms} == training
        assert {term: model.eval().weight_of(term) for term in terms} == evaluating


def test_the_complete_view_is_a_target_only() -> None:
    model = made()
    complete = make_view(LENGTHS)
    incomplete = drop_half(complete)
    prediction, terms = model.losses(complete, incomplete, targets(LABELS))
    other, others = model.losses(make_view(LENGTHS, seed=7), incomplete, targets(LABELS))
    assert torch.equal(prediction, other)
    assert terms["task_student"] == others["task_student"]
    assert all(moved(terms[f"reconstruction_{m}"], others[f"reconstruction_{m}"]) for m in DIMS)


@pytest.mark.parametrize("m", DIMS)
def test_restoration_stays_inside_a_sample_and_counts_dropped_steps_only(m: str) -> None:
    model = made()
    complete = make_view(ALL_PRESENT)
    incomplete = drop_half(complete)
    before = model.restored(m, model.states(incomplete))
    bumped = incomplete[m].values.clone()
    bumped[0, 0] += 3.0
    after = model.restored(m, model.states(incomplete | {m: incomplete[m]._replace(values=bumped)}))
    assert moved(after[0], before[0])
    close(after[1:], before[1:])
    dropped = complete[m].available & ~incomplete[m].available
    error = torch.nn.functional.smooth_l1_loss(before, complete[m].values, reduction="none")[dropped]
    _, terms = model.losses(complete, incomplete, targets(LABELS))
    close(terms[f"reconstruction_{m}"], error.mean())


def test_every_step_of_a_sample_takes_part_in_its_restoration() -> None:
    """The encoder before it is not causal: the last step shows in what is restored of the first."""
    model = made(dropout_inner=0.0)
    aligned, valid = torch.randn(1, 6, 12), torch.ones(1, 6, dtype=torch.bool)
    other = aligned.clone()
    other[0, 5] += torch.arange(12.0)  # a LayerNorm would not see a constant
    assert moved(model.gather["text"](other, valid)[0, 0], model.gather["text"](aligned, valid)[0, 0])


def test_text_begins_with_its_summary() -> None:
    model = made()
    view = make_view(ALL_PRESENT)
    text = view["text"]._replace(summary=torch.ones(5, DIMS["text"]))
    assert moved(model(view | {"text": text}), model(view))
    incomplete = drop_half(view)
    hidden = incomplete["text"]._replace(summary=torch.ones(5, DIMS["text"]))
    _, terms = model.losses(view | {"text": text}, incomplete | {"text": hidden}, targets(LABELS))
    states = model.states(incomplete | {"text": hidden})
    restored = model.restored("text", states)[:, 1:]  # the summary itself is never dropped
    dropped = text.available & ~hidden.available
    error = torch.nn.functional.smooth_l1_loss(restored, text.values, reduction="none")[dropped]
    close(terms["reconstruction_text"], error.mean())


def test_the_gated_summary_by_its_formula() -> None:
    torch.manual_seed(0)
    summary = GatedSummary(3, 2, 1).eval()
    x = torch.randn(1, 4, 3)
    ahead, back = summary.recurrent[0].ahead, summary.recurrent[0].back
    states = torch.cat([ahead(x)[0], back(x.flip(1))[0].flip(1)], dim=2)[0]  # (T, 4)
    padded = torch.nn.functional.pad(states, (0, 0, 1, 1))
    best = torch.full((2,), -1.0)
    for t in range(4):
        gate = (summary.gate.weight[0].T * padded[t : t + 3]).sum() + summary.gate.bias[0]
        joined = torch.cat([x[0, t], states[t].tanh() * gate.sigmoid()])
        best = torch.maximum(best, summary.out(joined).tanh())
    every = torch.ones(1, 4, dtype=torch.bool)
    close(summary(x, every, every)[0], best)


def test_a_recurrent_network_has_the_layers_that_it_is_told() -> None:
    for layers in (1, 3):
        assert len(made(recurrent_layers=layers).summary["text"].recurrent) == layers


@pytest.mark.parametrize("m", DIMS)
def test_a_learned_vector_stands_for_what_is_absent(m: str) -> None:
    model = made()
    view = take_away(make_view(ALL_PRESENT), m, [1])
    model.absence[m].data.normal_()
    vector: Tensor = model.states(view).vector[m]
    close(vector[1], model.absence[m])
    assert moved(vector[0], model.absence[m])


@pytest.mark.parametrize("m", DIMS)
def test_a_single_modality(m: str) -> None:
    model = made((m,)).train()
    complete = make_view({m: LENGTHS[m]})
    total = Network(model)(complete, drop_half(complete), targets(LABELS)).total
    total.backward()
    assert total.isfinite()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, "width is 4; it must be a multiple of the 3 heads"),
        ({"kernel_text": 2}, "kernel_text is 2; it must be odd"),
        ({"recurrent_layers": 0}, "recurrent_layers is 0; it must be at least 1"),
        ({"loss_reconstruction_text": -1.0}, "loss.reconstruction_text is -1.0; it must not be negative"),
        ({"dropout_vector": 1.0}, r"dropout_vector is 1.0; it must lie in \[0, 1\)"),
    ],
)
def test_options_that_it_refuses(options: dict[str, float], message: str) -> None:
    with pytest.raises(MitrError, match=message):
        made(**options)
