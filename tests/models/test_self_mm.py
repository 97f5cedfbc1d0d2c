"""Self-MM: what every model must do, and what only this one does."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pandas import read_csv

from made import options
from mitr.api import resume, train
from mitr.batches.views import Targets
from mitr.data.store import Dataset
from mitr.losses.task import Classification
from mitr.models.base import Model
from mitr.models.self_mm import SelfMM, SelfMmOptions, UnimodalLabels, Visit, unimodal_error
from mitr.runs.config import ModelConfig
from mitr.testing.models import LABELS, MODALITIES, ModelContract, close
from mitr.testing.views import ALL_PRESENT, DIMS, choose, drop_half, make_view, take_away, targets
from mitr.training.loop import Trainer

SMALL = {"audio_hidden": 3, "vision_hidden": 3, "audio_out": 4, "vision_out": 4}
SMALL |= {"fused": 6, "text": 4, "audio": 4, "vision": 4}


class TestSelfMM(ModelContract):
    name = "self-mm"

    def build(self, modalities: tuple[str, ...] = MODALITIES, seed: int = 0) -> Model:
        """Labels have moved: otherwise the modalities' own tasks would still count for nothing."""
        model = super().build(modalities, seed)
        assert isinstance(model, SelfMM)
        assert model.generated is not None
        for m in modalities:
            model.generated.labels[m] += 0.5
        return model


def made(task: Classification | None = None, **own: float) -> SelfMM:
    torch.manual_seed(0)
    model = SelfMM(DIMS, SelfMmOptions(**(SMALL | own)), task)
    return model.eval()


def begun(labels: torch.Tensor = LABELS, epoch: int = 0) -> tuple[SelfMM, UnimodalLabels]:
    model = made(dropout_text=0.0, dropout_audio=0.0)
    model.begin(targets(labels))
    model.begin_epoch(epoch)
    assert model.generated is not None
    return model.train(), model.generated


def generator(epoch: int = 1) -> UnimodalLabels:
    """Two features; the positive centres are (1, 0) fused and (0, 2) for audio, the negative ones their opposites."""
    labels = UnimodalLabels(torch.tensor([3.0, -1.0, 0.5, 0.0]), {"fused": 2, "audio": 2})
    labels.features["fused"][:2] = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    labels.features["audio"][:2] = torch.tensor([[0.0, 2.0], [0.0, -2.0]])
    labels.epoch = epoch
    return labels


def visit(rows: list[int], fused: list[list[float]], audio: list[list[float]], there: list[bool]) -> Visit:
    features = {"fused": torch.tensor(fused), "audio": torch.tensor(audio)}
    return Visit(torch.tensor(rows), features, {"fused": torch.ones(len(rows)) > 0, "audio": torch.tensor(there)})


class TestLabels:
    def test_a_label_moves_by_hand(self) -> None:
        labels = generator()
        # fused (1, 2): 2 from its positive centre, sqrt 8 from the other; audio (0, 1): 1 and 3
        labels.update(visit([2], [[1.0, 2.0]], [[0.0, 1.0]], [True]))
        fused, audio = (math.sqrt(8) - 2) / 2, (3 - 1) / 1
        new = 0.5 * audio / fused * 0.5 + 0.5 * (0.5 + audio - fused)
        assert -3 < new < 3
        assert labels.labels["audio"].tolist() == pytest.approx([3.0, -1.0, 0.5 / 3 + 2 * new / 3, 0.0], rel=1e-5)
        assert labels.labels["fused"].tolist() == [3.0, -1.0, 0.5, 0.0]
        assert labels.features["audio"][2].tolist() == [0.0, 1.0]
        assert labels.features["fused"][2].tolist() == [1.0, 2.0]

    @pytest.mark.parametrize(("epoch", "share"), [(1, 2 / 3), (2, 1 / 2), (9, 2 / 11)])
    def test_labels_are_clipped_and_move_ever_less(self, epoch: int, share: float) -> None:
        labels = generator(epoch)
        labels.update(visit([2], [[0.01, 5.0]], [[0.0, 1.9]], [True]))  # the fusion hardly leans: a huge ratio
        assert labels.labels["audio"][2].item() == pytest.approx((1 - share) * 0.5 + share * 3.0, rel=1e-5)

    def test_in_the_first_epoch_only_features_are_taken_in(self) -> None:
        labels = generator(epoch=0)
        labels.update(visit([2, 0], [[1.0, 2.0], [3.0, 0.0]], [[0.0, 1.0], [0.0, 6.0]], [True, True]))
        assert labels.labels["audio"].tolist() == [3.0, -1.0, 0.5, 0.0]
        assert labels.centre("audio", 1).tolist() == [0.0, 3.5]
        assert labels.centre("fused", 1).tolist() == [2.0, 1.0]
        assert labels.centre("fused", -1).tolist() == [-1.0, 0.0]

    def test_a_modality_that_is_absent_changes_nothing_of_its_own(self) -> None:
        labels = generator()
        labels.update(visit([2], [[1.0, 2.0]], [[0.0, 1.0]], [False]))
        assert labels.labels["audio"].tolist() == [3.0, -1.0, 0.5, 0.0]
        assert labels.features["audio"][2].isnan().all()
        assert labels.features["fused"][2].tolist() == [1.0, 2.0]

    def test_without_one_of_the_signs_labels_stay(self) -> None:
        labels = UnimodalLabels(torch.tensor([2.0, 1.0]), {"fused": 1, "audio": 1})
        labels.epoch = 1
        labels.features["fused"].fill_(1.0)
        labels.features["audio"].fill_(1.0)
        both = dict.fromkeys(labels.labels, torch.tensor([True, True]))
        labels.update(Visit(torch.tensor([0, 1]), {name: part + 1 for name, part in labels.features.items()}, both))
        assert labels.labels["audio"].tolist() == [2.0, 1.0]

    def test_unknown_labels_stay_unknown_and_zero_belongs_to_neither_side(self) -> None:
        labels = UnimodalLabels(torch.tensor([2.0, -1.0, torch.nan, 0.0]), {"fused": 1, "audio": 1})
        assert labels.bound == 2
        labels.epoch = 1
        for part in labels.features.values():
            part.copy_(torch.tensor([[1.0], [-1.0], [50.0], [70.0]]))
        assert labels.centre("audio", 1).tolist() == [1.0]
        assert labels.centre("audio", -1).tolist() == [-1.0]
        yes = torch.tensor([True])
        ones = {name: torch.ones(1, 1) for name in labels.labels}
        labels.update(Visit(torch.tensor([2]), ones, dict.fromkeys(ones, yes)))
        assert labels.labels["audio"].isnan().tolist() == [False, False, True, False]


def test_error_of_a_modality_counts_by_how_far_its_label_has_moved() -> None:
    wanted = Targets(torch.tensor([1.0, 0.0, torch.nan, 2.0]), torch.arange(4), torch.tensor([1.0, 2.0, 1.0, 1.0]))
    prediction = torch.tensor([0.0, 1.0, 5.0, 9.0], requires_grad=True)
    own = torch.tensor([1.0, 0.5, torch.nan, 0.0])
    error = unimodal_error(prediction, own, wanted, torch.tensor([True, True, True, False]))
    assert error.item() == pytest.approx((0 * 1 + 2 * math.tanh(0.5) * 0.5) / 2)
    error.backward()
    assert prediction.grad is not None
    assert prediction.grad.tolist() == pytest.approx([0, math.tanh(0.5), 0, 0])


def test_in_the_first_epoch_the_modalities_teach_nothing() -> None:
    model, _ = begun()
    view = make_view(ALL_PRESENT)
    _, terms = model.losses(view, view, targets(LABELS))
    assert terms.keys() == {"task_student", "task_text", "task_audio", "task_vision"}
    assert terms["task_student"] > 0
    assert all(terms[f"task_{m}"] == 0 for m in DIMS)
    _, terms = model.eval().losses(view, view, targets(LABELS))
    assert terms.keys() == {"task_student"}


def test_labels_of_the_rows_of_a_batch_move_after_the_step() -> None:
    model, labels = begun()
    view = make_view(ALL_PRESENT)
    model.losses(view, drop_half(view), targets(LABELS))
    assert labels.features["text"].isnan().all()
    model.after_step()
    assert labels.features["text"].isfinite().all()
    close(labels.features["audio"], model.states(drop_half(view)).features["audio"])
    model.begin_epoch(1)
    rows = [3, 1]
    model.losses(choose(view, rows), choose(drop_half(view), rows), targets(LABELS, rows))
    assert torch.equal(labels.labels["vision"], LABELS)
    model.after_step()
    for m in DIMS:
        assert ((labels.labels[m] - LABELS).abs() > 1e-4).tolist() == [False, True, False, True, False]
        assert labels.labels[m].abs().max() <= 3
    _, terms = model.losses(view, view, targets(LABELS))
    assert all(terms[f"task_{m}"] > 0 for m in DIMS)


def test_batches_of_one_step_are_taken_one_after_the_other() -> None:
    """Accumulating the gradients of two batches moves labels as two steps would, if the weights stay."""
    view = make_view(ALL_PRESENT)
    found = []
    for together in (True, False):
        model, labels = begun()
        model.losses(view, view, targets(LABELS))
        model.after_step()
        model.begin_epoch(1)
        for rows in ([0, 1], [2, 3, 4]):
            model.losses(choose(view, rows), choose(drop_half(view), rows), targets(LABELS, rows))
            if not together:
                model.after_step()
        model.after_step()
        found.append(labels)
    for m in DIMS:
        close(found[0].labels[m], found[1].labels[m])
        close(found[0].features[m], found[1].features[m])


def test_validation_leaves_the_labels_alone() -> None:
    model, labels = begun(epoch=1)
    view = make_view(ALL_PRESENT)
    model.eval().losses(view, view, targets(LABELS))
    model.after_step()
    assert labels.features["fused"].isnan().all()


def test_an_absent_modality_teaches_its_task_nothing() -> None:
    model, labels = begun()
    for m in DIMS:
        labels.labels[m] += 1.0
    view = take_away(make_view(ALL_PRESENT), "audio", [1, 4])
    _, ours = model.losses(view, view, targets(LABELS))
    having = [0, 2, 3]
    _, theirs = model.losses(choose(view, having), choose(view, having), targets(LABELS, having))
    close(ours["task_audio"], theirs["task_audio"])
    assert model.states(view).present["fused"].all()


def test_training_state_round_trip() -> None:
    view = make_view(ALL_PRESENT)
    model, _ = begun()
    for epoch in (0, 1):
        model.begin_epoch(epoch)
        model.losses(view, drop_half(view, epoch), targets(LABELS))
        model.after_step()
    state = {name: part.clone() for name, part in model.training_state().items()}
    assert state.keys() == {f"{kind}/{name}" for kind in ("label", "feature") for name in ("fused", *DIMS)}
    assert not any(name in model.state_dict() for name in state)
    other, _ = begun()
    other.load_state_dict(model.state_dict())
    other.load_training_state(state)
    for each in (model, other):
        each.begin_epoch(2)
        each.losses(view, view, targets(LABELS))
        each.after_step()
    for name, part in model.training_state().items():
        assert torch.equal(part, other.training_state()[name])
        assert not torch.equal(part, state[name]) or name == "label/fused"


def test_classes_have_the_fused_task_alone() -> None:
    model = made(Classification(("low", "high", "other")))
    model.begin(targets(torch.tensor([0.0, 1.0, 2.0, 1.0, 0.0])))
    model.begin_epoch(1)
    view = make_view(ALL_PRESENT)
    logits, terms = model.train().losses(view, view, targets(torch.tensor([0.0, 1.0, 2.0, 1.0, 0.0])))
    model.after_step()
    assert logits.shape == (5, 3)
    assert terms.keys() == {"task_student"}
    assert model.training_state() == {}
    assert list(model.head) == ["fused"]


def test_a_resumed_training_goes_on_with_its_labels(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(options(5, accumulate=2), model=ModelConfig("self-mm", SelfMmOptions(**SMALL)))
    train(small, tmp_path / "whole", config, quiet=True)
    original = Trainer._train_epoch

    def stop_in_the_fourth(self: Trainer, tick: object) -> dict[str, float]:
        if self.epoch == 3:
            raise KeyboardInterrupt
        return original(self, tick)

    monkeypatch.setattr(Trainer, "_train_epoch", stop_in_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        train(small, tmp_path / "cut", config, quiet=True)
    monkeypatch.undo()
    resume(tmp_path / "cut", quiet=True)
    whole, cut = (read_csv(tmp_path / name / "history.csv").drop(columns="seconds") for name in ("whole", "cut"))
    assert whole.equals(cut)
    moved = (whole["train_task_text"] > 0).tolist()
    assert moved == [False, False, True, True, True]  # labels begin to move in the second epoch


def own_labels() -> Targets:
    audio = torch.tensor([torch.nan, 2.0, -1.0, torch.nan, 0.5])
    return targets(LABELS)._replace(unimodal={"audio": audio})


def test_human_labels_of_a_modality_take_the_place_of_generated_ones() -> None:
    torch.manual_seed(0)
    no_dropout = {"dropout_text": 0.0, "dropout_audio": 0.0}
    config = SelfMmOptions(**(SMALL | no_dropout), loss_unimodal=0.3)
    model = SelfMM(DIMS, config).train()
    wanted, view = own_labels(), make_view(ALL_PRESENT)
    model.begin(wanted)
    assert model.generated is not None
    first = torch.where(wanted.unimodal["audio"].isfinite(), wanted.unimodal["audio"], LABELS)
    assert torch.equal(model.generated.labels["audio"], first)
    assert torch.equal(model.generated.labels["text"], LABELS)
    for epoch in (0, 1):
        model.begin_epoch(epoch)
        _, terms = model.losses(view, view, wanted)
        model.after_step()
    moved = model.generated.labels["audio"] != first
    assert moved.tolist() == [True, False, False, True, False]
    assert (model.generated.labels["text"] != LABELS).all()
    assert model.weight_of("unimodal_audio") == 0.3
    assert {name for name in terms if name.startswith("unimodal")} == {"unimodal_audio"}
    prediction = model.states(view).predictions["audio"]
    error = (prediction - wanted.unimodal["audio"])[[1, 2, 4]].abs().mean()
    close(terms["unimodal_audio"], error)
    _, terms = model.losses(view, view, wanted)
    generated = (model.generated.labels["audio"] - LABELS).abs().tanh() * (
        prediction - model.generated.labels["audio"]
    ).abs()
    close(terms["task_audio"], generated[[0, 3]].mean())


def test_without_a_weight_human_labels_of_modalities_are_not_used() -> None:
    model, labels = begun()
    view = make_view(ALL_PRESENT)
    model.begin(own_labels())
    _, terms = model.losses(view, view, own_labels())
    assert not any(name.startswith("unimodal") for name in terms)
    assert torch.equal(labels.labels["audio"], LABELS)
    assert model.generated is not None
    assert torch.equal(model.generated.labels["audio"], LABELS)


def test_human_classes_of_a_modality() -> None:
    torch.manual_seed(0)
    task = Classification(("low", "high", "other"))
    model = SelfMM(DIMS, SelfMmOptions(**SMALL, loss_unimodal=1.0), task).train()
    classes = torch.tensor([0.0, 1.0, 2.0, 1.0, 0.0])
    wanted = targets(classes)._replace(unimodal={"text": classes})
    view = make_view(ALL_PRESENT)
    model.begin(wanted)
    _, terms = model.losses(view, view, wanted)
    assert terms.keys() == {"task_student", "unimodal_text"}
    terms["unimodal_text"].backward()
    assert model.head["text"].last.weight.grad.any()
    assert model.training_state() == {}
