"""What every model must do. A new model's test is a subclass of `ModelContract` that gives its name.

The tests use five made samples of three narrow modalities (`mitr.testing.views`), of which each lacks something.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.batches.views import Steps, Targets
from mitr.losses.task import Classification
from mitr.models.base import Model
from mitr.models.network import Network
from mitr.models.registry import build_model, model_class
from mitr.testing.views import (
    ALL_PRESENT,
    DIMS,
    GARBAGE,
    LENGTHS,
    choose,
    drop_half,
    make_view,
    pad,
    take_away,
    targets,
)

MODALITIES = tuple(DIMS)
SUBSETS = [("text",), ("audio",), ("vision",), ("text", "audio"), ("text", "vision"), ("audio", "vision")]
LABELS = torch.tensor([1.0, -2.0, 0.5, 3.0, -0.4])
View = Mapping[str, Steps]


USUAL_CAUSES = """
Most first models fail here. The usual causes:
- a mean or a softmax over steps of which none is valid: 0 / 0, or all scores -inf (mitr.nn.masked.masked_mean and
  mitr.nn.attention.attention_mask are safe);
- a recurrent network that is given a length of 0 (mitr.nn.recurrent.Recurrent takes it);
- nothing stands for a modality that a sample lacks: give each modality a learned vector, chosen by steps.present;
- batch normalisation over a batch of one in training (mitr.nn.masked.RowBatchNorm takes it);
- a convolution that is longer than the sequence: pad it (mitr.nn.crossmodal.StepProjection);
- squeeze() without a dimension, which takes the batch away from a batch of one;
- torch.where(mask, f(x), 0) where f(x) is infinite: the answer is finite, its gradient is not. Change x first."""


def close(ours: Tensor, theirs: Tensor, tolerance: float = 2e-5) -> None:
    """The same to within float32 rounding."""
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def leave_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout off, also in training mode and wherever a model writes it."""
    attend = F.scaled_dot_product_attention
    monkeypatch.setattr("mitr.nn.cpu.dropout.FEW", 1 << 40)  # all of it is PyTorch's own

    def plain(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *_: object, **__: object) -> Tensor:
        return attend(q, k, v, mask)

    monkeypatch.setattr(F, "dropout", lambda x, *_, **__: x)
    monkeypatch.setattr("mitr.nn.cpu.temporal.emptied_", lambda x, rate: x)
    monkeypatch.setattr(F, "scaled_dot_product_attention", plain)


def _naming(term: str) -> Callable[[str], str]:
    return lambda message: f"{term}: {message}"


def moved(ours: Tensor, theirs: Tensor) -> bool:
    """Different beyond any rounding."""
    return bool((ours - theirs).abs().max() > 1e-4)


class ModelContract:
    """Tests of a model by its name in the registry.

    Attributes:
        name: the model's name.
        dead: pattern of the parameters whose gradient is zero by construction.
        gain: factor on all weight matrices, for a model whose answers hardly differ as it is initialised.
    """

    name: ClassVar[str]
    dead: ClassVar[str] = r"(?!)"
    gain: ClassVar[float] = 1.0

    def build(self, modalities: tuple[str, ...] = MODALITIES, seed: int = 0) -> Model:
        """The model with random weights, normalisation statistics that are not their defaults, in evaluation mode."""
        torch.manual_seed(seed)
        model = build_model(self.name, {m: DIMS[m] for m in modalities})
        for name, tensor in model.state_dict().items():
            if name.endswith("running_mean"):
                tensor.normal_(0, 0.1)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
        for parameter in model.parameters():
            if not parameter.detach().any():  # a bias or a token that starts from zero would hide mistakes
                nn.init.normal_(parameter, std=0.1)
            if parameter.dim() > 1:
                parameter.data *= self.gain
        model.begin(targets(LABELS))
        return model.eval()

    @pytest.fixture
    def model(self) -> Model:
        return self.build()

    @pytest.fixture
    def no_dropout(self, monkeypatch: pytest.MonkeyPatch) -> None:
        leave_nothing_out(monkeypatch)

    @staticmethod
    def total(model: Model, complete: View, incomplete: View, wanted: Targets | None = None) -> Tensor:
        """The weighted sum of the loss terms."""
        return Network(model)(complete, incomplete, wanted or targets(LABELS)).total

    @staticmethod
    def compare(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], names: set[str] | None = None) -> None:
        """The same loss terms with the same values."""
        assert ours.keys() == theirs.keys()
        for name in ours.keys() if names is None else names:
            torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-5, msg=_naming(name))

    # the first thing to get right

    @pytest.mark.parametrize("mode", ["train", "eval"])
    @pytest.mark.parametrize("case", ["no modalities", "one step", "batch of one"])
    def test_answers_are_finite_where_data_are_few(self, model: Model, case: str, mode: str) -> None:
        """A sample without modalities, samples of one step, a batch of one: answers, losses, gradients are finite."""
        model.train(mode == "train")
        view, rows = make_view(ALL_PRESENT), [0, 1, 2, 3, 4]
        if case == "no modalities":
            for m in MODALITIES:
                view = take_away(view, m, [1])
        elif case == "one step":
            view, rows = make_view(dict.fromkeys(MODALITIES, (1, 1))), [0, 1]
        else:
            view, rows = choose(view, [0]), [0]
        prediction, terms = model.losses(view, view, targets(LABELS, rows))
        assert prediction.shape == (len(rows),), f"{case}: one answer a sample is needed. {USUAL_CAUSES}"
        assert prediction.isfinite().all(), f"{case}: an answer is not finite. {USUAL_CAUSES}"
        assert model.eval()(view).isfinite().all(), f"{case}: forward is not finite. {USUAL_CAUSES}"
        for name, term in terms.items():
            assert term.isfinite(), f"{case}: the loss term {name} is not finite. {USUAL_CAUSES}"
        if total := [model.weight_of(name) * term for name, term in terms.items() if term.requires_grad]:
            sum(total, torch.zeros(())).backward()
        for name, parameter in model.named_parameters():
            finite = parameter.grad is None or bool(parameter.grad.isfinite().all())
            assert finite, f"{case}: the gradient of {name} is not finite. {USUAL_CAUSES}"

    # shapes, values, gradients

    def test_predictions_and_loss_terms_have_their_shapes(self, model: Model) -> None:
        complete = make_view(LENGTHS)
        prediction, terms = model.losses(complete, drop_half(complete), targets(LABELS))
        assert prediction.shape == model(complete).shape == (5,)
        assert moved(model(complete)[0], model(complete)[1])
        assert {"task_student"} <= terms.keys()
        for name, term in terms.items():
            assert term.shape == (), name
            assert term.isfinite(), name
            assert model.weight_of(name) >= 0

    def test_losses_predict_what_forward_predicts_for_the_incomplete_view(self, model: Model) -> None:
        complete = make_view(LENGTHS)
        incomplete = drop_half(complete)
        prediction, _ = model.losses(complete, incomplete, targets(LABELS))
        close(prediction, model(incomplete))
        assert moved(prediction, model(complete))

    def test_every_parameter_gets_a_finite_gradient(self, model: Model) -> None:
        complete = make_view(LENGTHS)
        for seed in range(3):  # of dropout: the signs of an absolute error may cancel once
            torch.manual_seed(seed)
            self.total(model.train(), complete, drop_half(complete)).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            if not re.search(self.dead, name):
                assert parameter.grad.any(), f"{name} never learns"

    def test_parameter_groups_cover_each_parameter_once(self, model: Model) -> None:
        grouped = [p for group in model.parameter_groups().values() for p in group]
        assert len(grouped) == len({id(p) for p in grouped})
        assert {id(p) for p in grouped} == {id(p) for p in model.parameters()}
        assert model.parameter_groups().keys() <= {"audio", "vision", "other"}

    def test_inputs_are_left_as_they_are(self, model: Model) -> None:
        complete = make_view(LENGTHS)
        incomplete = drop_half(complete)
        before = [part.clone() for view in (complete, incomplete) for steps in view.values() for part in steps[:4]]
        model.train().losses(complete, incomplete, targets(LABELS))
        after = [part for view in (complete, incomplete) for steps in view.values() for part in steps[:4]]
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))

    @pytest.mark.parametrize("lengths", [LENGTHS, ALL_PRESENT], ids=["lacking", "present"])
    @pytest.mark.parametrize("mode", ["train", "eval"])
    def test_a_batch_of_one(self, model: Model, mode: str, lengths: dict) -> None:
        model.train(mode == "train")
        view = make_view(lengths)
        for row in range(5):
            model.zero_grad()
            complete, incomplete = choose(view, [row]), choose(drop_half(view), [row])
            assert model(complete).shape == (1,)
            total = self.total(model, complete, incomplete, targets(LABELS, [row]))
            total.backward()
            assert total.isfinite()
            assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())

    def test_a_single_step_of_each_modality(self, model: Model) -> None:
        view = make_view(dict.fromkeys(MODALITIES, (1,)))
        for mode in (True, False):
            total = self.total(model.train(mode), view, view, targets(LABELS, [0]))
            assert total.isfinite()

    def test_classes_instead_of_numbers(self) -> None:
        kind = model_class(self.name)
        if not kind.learns_classes:
            pytest.skip(f"{self.name} is for labels on a scale")
        torch.manual_seed(0)
        task = Classification(("angry", "calm", "sad"))
        model = build_model(self.name, DIMS, task=task).train()
        labels = torch.tensor([0.0, 2.0, torch.nan, 1.0, 2.0])
        model.begin(targets(labels))
        complete = make_view(LENGTHS)
        incomplete = drop_half(complete)
        prediction, terms = model.losses(complete, incomplete, targets(labels))
        assert prediction.shape == model(complete).shape == (5, 3)
        known = torch.tensor([0, 1, 3, 4])
        picked = prediction.log_softmax(dim=1)[known, labels[known].long()]
        close(terms["task_student"], -picked.mean())
        torch.stack([model.weight_of(name) * term for name, term in terms.items()]).sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())

    # padding and batch mates

    def test_padding_does_not_change_the_answer(self, model: Model) -> None:
        complete = make_view(LENGTHS)
        incomplete = drop_half(complete)
        close(model(pad(complete, 6)), model(complete))
        ours = model.losses(pad(complete, 6), pad(incomplete, 6), targets(LABELS))
        theirs = model.losses(complete, incomplete, targets(LABELS))
        close(ours[0], theirs[0])
        self.compare(ours[1], theirs[1])

    @pytest.mark.usefixtures("no_dropout")
    def test_padding_and_its_content_do_not_change_training(self) -> None:
        complete = make_view(LENGTHS)
        incomplete = drop_half(complete)
        seen = []
        for extra, fill in ((0, 0.0), (6, 0.0), (6, GARBAGE)):
            model = self.build().train()
            views = pad(complete, extra, fill), pad(incomplete, extra, fill)
            prediction, terms = model.losses(*views, targets(LABELS))
            torch.stack([model.weight_of(name) * term for name, term in terms.items()]).sum().backward()
            gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
            seen.append((prediction.detach(), terms, gradients, dict(model.named_buffers())))
        for prediction, terms, gradients, buffers in seen[1:]:
            close(prediction, seen[0][0], 1e-4)
            self.compare(terms, seen[0][1])
            for name, gradient in seen[0][2].items():
                torch.testing.assert_close(gradients[name], gradient, rtol=1e-3, atol=1e-4)
            for name, buffer in seen[0][3].items():
                torch.testing.assert_close(buffers[name], buffer, rtol=1e-4, atol=1e-5)

    def test_other_samples_of_the_batch_do_not_change_the_answer(self, model: Model) -> None:
        view = make_view(LENGTHS)
        together = model(view)
        close(torch.cat([model(choose(view, [row])) for row in range(5)]), together)
        close(model(choose(view, [4, 2, 0])), together[[4, 2, 0]])

    # absence

    @pytest.mark.parametrize("m", MODALITIES)
    def test_a_modality_may_be_absent_from_one_sample(self, model: Model, m: str) -> None:
        view = make_view(ALL_PRESENT)
        without = model(take_away(view, m, [1]))
        assert without.isfinite().all()
        assert moved(without[1], model(view)[1]), "the modality means nothing to the model"
        close(without[[0, 2, 3, 4]], model(view)[[0, 2, 3, 4]])

    @pytest.mark.parametrize("m", MODALITIES)
    @pytest.mark.parametrize("mode", ["train", "eval"])
    def test_a_modality_may_be_absent_from_a_whole_batch(self, model: Model, m: str, mode: str) -> None:
        model.train(mode == "train")
        complete = take_away(make_view(ALL_PRESENT), m, range(5))
        total = self.total(model, complete, drop_half(complete))
        total.backward()
        assert total.isfinite()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())

    @pytest.mark.parametrize("modalities", SUBSETS, ids="+".join)
    def test_a_data_set_may_lack_modalities(self, modalities: tuple[str, ...]) -> None:
        model = self.build(modalities)
        complete = make_view({m: ALL_PRESENT[m] for m in modalities})
        assert moved(model(complete)[0], model(complete)[1])
        total = self.total(model.train(), complete, drop_half(complete))
        total.backward()
        assert total.isfinite()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())

    @pytest.mark.parametrize("mode", ["train", "eval"])
    def test_nothing_at_all_gives_a_finite_answer(self, model: Model, mode: str) -> None:
        model.train(mode == "train")
        complete = make_view(ALL_PRESENT)
        nothing = complete
        for m in MODALITIES:
            nothing = take_away(nothing, m, range(5))
        assert model(nothing).isfinite().all()
        for views in ((complete, nothing), (nothing, nothing)):
            model.zero_grad()
            total = self.total(model, *views)
            total.backward()
            assert total.isfinite()
            assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())

    def test_a_sample_of_nothing_says_the_same_whatever_the_batch(self, model: Model) -> None:
        empty = make_view(ALL_PRESENT)
        for m in MODALITIES:
            empty = take_away(empty, m, [0, 3])
        together = model(empty)
        close(together[0], together[3])
        assert moved(together[0], together[1])

    def test_what_lies_in_padding_and_in_absent_modalities_never_shows(self, model: Model) -> None:
        view = make_view(ALL_PRESENT)
        for m, row in zip(MODALITIES, (1, 3, 4), strict=True):
            view = take_away(view, m, [row])
        clean, dirty = pad(view, 2, 0.0), pad(view, 2, GARBAGE)
        assert any((steps.values == GARBAGE).any() for steps in dirty.values())
        close(model(dirty), model(clean))
        self.compare(
            model.losses(dirty, pad(drop_half(view), 2, GARBAGE), targets(LABELS))[1],
            model.losses(clean, pad(drop_half(view), 2, 0.0), targets(LABELS))[1],
        )

    # incomplete teachers and labels

    @pytest.mark.parametrize("m", MODALITIES)
    def test_terms_of_a_modality_are_means_over_the_samples_that_have_it(self, model: Model, m: str) -> None:
        complete = make_view(ALL_PRESENT)
        incomplete = drop_half(complete)
        having = [0, 2, 3]
        lacking_teacher = take_away(complete, m, [1, 4]), take_away(incomplete, m, [1, 4])
        _, ours = model.losses(*lacking_teacher, targets(LABELS))
        _, theirs = model.losses(choose(complete, having), choose(incomplete, having), targets(LABELS, having))
        self.compare(ours, theirs, {name for name in ours if name.endswith(f"_{m}")})
        assert all(term.isfinite() for term in ours.values())

    def test_missing_steps_of_the_complete_view_are_no_target(self, model: Model) -> None:
        complete = make_view(ALL_PRESENT)
        partly = drop_half(complete, seed=5)  # the source itself lacks these steps
        _, terms = model.losses(partly, partly, targets(LABELS))
        assert all(term.isfinite() for term in terms.values())
        for name, term in terms.items():
            if name.startswith("reconstruction"):
                assert term == 0

    def test_samples_without_a_label_teach_the_task_nothing(self, model: Model) -> None:
        complete = make_view(LENGTHS)
        incomplete = drop_half(complete)
        labels = torch.where(torch.tensor([True, False, True, True, False]), LABELS, torch.nan)
        known = [0, 2, 3]
        _, ours = model.losses(complete, incomplete, targets(labels))
        _, theirs = model.losses(choose(complete, known), choose(incomplete, known), targets(LABELS, known))
        _, full = model.losses(complete, incomplete, targets(LABELS))
        tasks = {name for name in ours if name.startswith("task")}
        self.compare(ours, theirs, tasks)
        self.compare(ours, full, ours.keys() - tasks)

    @pytest.mark.parametrize("mode", ["train", "eval"])
    def test_no_label_at_all(self, model: Model, mode: str) -> None:
        complete = make_view(LENGTHS)
        out = Network(model.train(mode == "train"))(complete, drop_half(complete), targets(torch.full((5,), torch.nan)))
        out.total.backward()
        assert out.losses["task_student"] == 0
        assert out.prediction.isfinite().all()
        assert out.total.isfinite()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())

    # state

    def test_state_round_trip(self, model: Model, tmp_path: Path) -> None:
        view = make_view(LENGTHS)
        other = self.build(seed=1)
        assert moved(other(view), model(view))
        save_file(model.state_dict(), tmp_path / "model.safetensors")
        other.load_state_dict(load_file(tmp_path / "model.safetensors"))
        assert torch.equal(other(view), model(view))

    def test_the_same_seed_builds_the_same_model(self) -> None:
        first, second = self.build(seed=3).state_dict(), self.build(seed=3).state_dict()
        assert all(torch.equal(first[name], second[name]) for name in first)
