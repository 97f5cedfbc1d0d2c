"""MulT: what every model must do, and what only this one does."""

import pytest
import torch

from mitr.batches.views import Steps
from mitr.errors import MitrError
from mitr.models.mult import MulT, MultOptions
from mitr.models.network import Network
from mitr.testing.models import LABELS, ModelContract, close, moved
from mitr.testing.views import ALL_PRESENT, DIMS, LENGTHS, choose, drop_half, make_view, take_away, targets

SMALL = {"width": 4, "heads": 2, "layers": 1}


class TestMulT(ModelContract):
    name = "mult"
    dead = r"key\.bias"  # it moves all scores alike


def made(modalities: tuple[str, ...] = tuple(DIMS), **options: float) -> MulT:
    torch.manual_seed(0)
    return MulT({m: DIMS[m] for m in modalities}, MultOptions(**(SMALL | {"loss_task_student": 0.5} | options))).eval()


def test_it_learns_from_the_incomplete_view_alone() -> None:
    model = made()
    complete = make_view(LENGTHS)
    incomplete = drop_half(complete)
    _, terms = model.losses(complete, incomplete, targets(LABELS))
    _, others = model.losses(make_view(LENGTHS, seed=7), incomplete, targets(LABELS))
    assert terms.keys() == {"task_student"}
    assert terms == others
    assert model.weight_of("task_student") == 0.5


def test_text_begins_with_its_summary() -> None:
    model = made()
    view = make_view(ALL_PRESENT)
    text = view["text"]
    summary = torch.ones(5, DIMS["text"])
    first = torch.ones(5, 1, dtype=torch.bool)
    valid = torch.cat([first, text.valid], dim=1)
    longer = text._replace(
        values=torch.cat([summary[:, None], text.values], dim=1), valid=valid, available=valid, content=valid
    )
    close(model(view | {"text": text._replace(summary=summary)}), model(view | {"text": longer}))
    assert moved(model(view | {"text": text._replace(summary=summary)}), model(view))


def test_the_last_true_step_stands_for_a_modality() -> None:
    """Of a sample cut after its last step, the summaries are the same."""
    model = made()
    view = make_view(ALL_PRESENT)
    together = model.summaries(view)
    for row in range(5):
        alone = choose(view, [row])
        cut = {m: Steps(*(part[:, : ALL_PRESENT[m][row]] for part in alone[m][:4])) for m in DIMS}
        for m, summary in model.summaries(cut).items():
            close(summary[0], together[m][row])


@pytest.mark.parametrize("m", DIMS)
def test_a_learned_vector_stands_for_what_is_absent(m: str) -> None:
    model = made()
    view = take_away(make_view(ALL_PRESENT), m, [1])
    model.absence[m].data.normal_()
    summaries = model.summaries(view)
    close(summaries[m][1], model.absence[m])
    assert moved(summaries[m][0], model.absence[m])


def test_what_is_absent_is_not_read() -> None:
    """Text of a sample without audio depends on text and vision, whatever the audio encoder is."""
    model = made()
    view = take_away(make_view(ALL_PRESENT), "audio", [1])
    before = model.summaries(view)["text"]
    model.project["audio"].convolve.weight.data.normal_()
    after = model.summaries(view)["text"]
    close(after[1], before[1])
    assert moved(after[0], before[0])


@pytest.mark.parametrize("m", DIMS)
def test_a_single_modality(m: str) -> None:
    model = made((m,)).train()
    complete = make_view({m: LENGTHS[m]})
    total = Network(model)(complete, drop_half(complete), targets(LABELS)).total
    total.backward()
    assert total.isfinite()
    assert moved(model(complete)[0], model(complete)[1])


def test_encoders_of_a_modality_itself_have_at_least_three_layers() -> None:
    for layers, deep in ((1, 3), (4, 4)):
        model = made(layers=layers)
        assert {len(encoder.layers) for encoder in model.cross.values()} == {layers}
        assert {len(encoder.layers) for encoder in model.memory.values()} == {deep}


def test_attention_dropout_belongs_to_what_is_read() -> None:
    model = made(dropout_read_text=0.1, dropout_read_audio=0.2, dropout_read_vision=0.3, dropout_inner=0.4)
    rates = {"text": 0.1, "audio": 0.2, "vision": 0.3}
    for name, encoder in model.cross.items():
        assert encoder.dropouts[:2] == (rates[name.rpartition("_")[2]], 0.4)
    assert {encoder.dropouts.attention for encoder in model.memory.values()} == {0.1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, "width is 4; it must be a multiple of the 3 heads"),
        ({"kernel_audio": 4}, "kernel_audio is 4; it must be odd"),
        ({"layers": 0}, "layers is 0; it must be at least 1"),
        ({"dropout_inner": -0.1}, r"dropout_inner is -0.1; it must lie in \[0, 1\)"),
    ],
)
def test_options_that_it_refuses(options: dict[str, float], message: str) -> None:
    with pytest.raises(MitrError, match=message):
        made(**options)
