"""MITR-DNet: what every model must do, and what only this one does."""

from dataclasses import asdict

import pytest
import torch

from mitr.errors import MitrError
from mitr.losses.task import Classification
from mitr.models.mitr_dnet import MitrDNet, MitrDNetOptions
from mitr.models.network import Network
from mitr.models.registry import build_model
from mitr.nn.cpu.switch import without
from mitr.nn.temporal import NormalisedLinear
from mitr.testing.models import LABELS, ModelContract, close, leave_nothing_out, moved
from mitr.testing.views import ALL_PRESENT, DIMS, LENGTHS, choose, drop_half, make_view, take_away, targets

# over one step the softmax of the fusion's attentions is constant; a key's bias moves all scores alike; a bias in
# front of BatchNorm is subtracted with the mean
DEAD = r"fusion.*attention\.(query|key)|fusion.*query_norm|key\.bias|linear\.bias|project\.bias"


class TestMitrDNet(ModelContract):
    name = "mitr-dnet"
    dead = DEAD


def made(modalities: tuple[str, ...] = tuple(DIMS), **options: object) -> MitrDNet:
    torch.manual_seed(0)
    model = MitrDNet({m: DIMS[m] for m in modalities}, MitrDNetOptions(**options))
    return model.eval()


def test_labels_of_single_modalities_teach_heads_of_their_own() -> None:
    complete = make_view(LENGTHS)
    incomplete = drop_half(complete)
    own = {"audio": torch.tensor([1.0, 2.0, torch.nan, -1.0, 0.5]), "vision": torch.full((5,), torch.nan)}
    wanted = targets(LABELS)._replace(unimodal=own, weights=torch.tensor([2.0, 1.0, 1.0, 1.0, 1.0]))
    plain, model = made(), made(loss_unimodal=0.5)
    assert not [name for name in plain.state_dict() if "unimodal" in name]
    for name, weight in plain.state_dict().items():  # the heads come last, so that all else starts as without them
        assert torch.equal(model.state_dict()[name], weight), name
    prediction, terms = model.losses(complete, incomplete, wanted)
    others, without = plain.losses(complete, incomplete, wanted)
    assert torch.equal(prediction, others)
    assert terms.keys() == without.keys() | {"unimodal_audio", "unimodal_vision"}
    assert model.weight_of("unimodal_audio") == 0.5
    assert terms["unimodal_vision"] == 0
    # sample 1 has no audio and sample 2 no label of it
    answers = model.unimodal["audio"](model.states(incomplete).pooled["audio"]).squeeze(1)
    error = (answers - own["audio"]).abs()
    assert terms["unimodal_audio"].item() == pytest.approx(((2 * error[0] + error[3] + error[4]) / 3).item(), rel=1e-5)
    terms["unimodal_audio"].backward()
    assert model.unimodal["audio"].weight.grad.any()
    assert all(p.grad.any() for p in model.temporal["audio"].parameters())
    assert model.head_out.weight.grad is None


def test_classes() -> None:
    torch.manual_seed(0)
    model = MitrDNet(DIMS, MitrDNetOptions(loss_unimodal=1.0), Classification(("angry", "calm", "sad"))).eval()
    complete = make_view(LENGTHS)
    classes = torch.tensor([0.0, 2.0, torch.nan, 1.0, 2.0])
    wanted = targets(classes)._replace(unimodal={"text": classes})
    prediction, terms = model.losses(complete, drop_half(complete), wanted)
    assert prediction.shape == (5, 3)
    known = torch.tensor([0, 1, 3, 4])
    picked = prediction.log_softmax(dim=1)[known, classes[known].long()]
    assert terms["task_student"].item() == pytest.approx(-picked.mean().item(), rel=1e-5)
    assert terms["unimodal_text"] > 0
    sum(terms.values()).backward()
    assert model.head_out.weight.grad.isfinite().all()


WEIGHTS = [name for name in asdict(MitrDNetOptions()) if name.startswith("loss_")]
TERMS = ("simsiam", "reconstruction", "distill_fused", "distill_unimodal", "invariance")


def test_the_terms_and_their_weights() -> None:
    model = made(**dict(zip(WEIGHTS, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7), strict=False)))
    complete = make_view(LENGTHS)
    _, terms = model.losses(complete, drop_half(complete), targets(LABELS))
    assert terms.keys() == {"task_student", "task_teacher"} | {f"{term}_{m}" for term in TERMS for m in DIMS}
    expected = {"task_student": 0.1, "task_teacher": 0.2}
    expected |= {
        f"{term}_{m}": weight for term, weight in zip(TERMS, (0.3, 0.4, 0.5, 0.6, 0.7), strict=True) for m in DIMS
    }
    assert {term: model.weight_of(term) for term in terms} == expected
    out = Network(model)(complete, drop_half(complete), targets(LABELS))
    assert out.total.item() == pytest.approx(
        sum(expected[name] * term.item() for name, term in terms.items()), rel=1e-5
    )


@pytest.mark.parametrize("only", WEIGHTS)
def test_a_weight_of_zero_switches_a_term_off(only: str) -> None:
    none = dict.fromkeys(WEIGHTS, 0.0)
    complete = make_view(LENGTHS)
    views = complete, drop_half(complete)
    wanted = targets(LABELS)._replace(unimodal={"audio": LABELS / 2})
    assert Network(made(**none))(*views, wanted).total == 0
    out = Network(made(**{**none, only: 2.0}))(*views, wanted)
    expected = sum(term.item() for name, term in out.losses.items() if name.startswith(only.removeprefix("loss_")))
    assert expected != 0
    assert out.total.item() == pytest.approx(2 * expected, rel=1e-5)


def test_dropping_nothing_leaves_nothing_to_restore_or_to_distil() -> None:
    model = made()
    complete = make_view(LENGTHS)
    _, terms = model.losses(complete, complete, targets(LABELS))
    for m in DIMS:
        assert terms[f"reconstruction_{m}"] == 0
        assert terms[f"distill_unimodal_{m}"] < 1e-12  # one pass for both views may round them differently
    torch.testing.assert_close(terms["task_student"], terms["task_teacher"], rtol=1e-6, atol=0)


def test_reconstruction_counts_dropped_steps_only() -> None:
    model = made()
    complete = make_view(ALL_PRESENT)
    incomplete = drop_half(complete)
    _, before = model.losses(complete, incomplete, targets(LABELS))
    shown = incomplete["audio"].available
    for where, changes in ((shown, False), (complete["audio"].valid & ~shown, True)):
        other = complete["audio"].values + 3.0 * where[:, :, None]
        restored = model.restore["audio"](model.states(incomplete).sequence["audio"])
        changed = {**complete, "audio": complete["audio"]._replace(values=other)}
        _, after = model.losses(changed, incomplete, targets(LABELS))
        assert restored.shape == other.shape
        assert moved(after["reconstruction_audio"], before["reconstruction_audio"]) == changes


@pytest.mark.parametrize(("reversal", "sees_the_future"), [("time", True), ("channel", False)])
def test_only_reversed_time_shows_the_first_step_the_last_one(reversal: str, sees_the_future: bool) -> None:
    temporal = made(reversal=reversal).temporal["audio"]
    steps = make_view({"audio": (9, 5)})["audio"]
    other = steps.values.clone()
    other[0, 8] += 1
    other[1, 4] -= 1
    first, last = temporal(steps.values, steps.valid), temporal(other, steps.valid)
    for row, length in ((0, 9), (1, 5)):
        assert moved(first[row, length - 1], last[row, length - 1])
        assert moved(first[row, 0], last[row, 0]) == sees_the_future


def test_an_absent_modality_is_its_absence_vector_and_no_other() -> None:
    model = made()
    with torch.no_grad():
        for vector in model.absence.values():
            vector.normal_()
    view = take_away(make_view(ALL_PRESENT), "audio", [2])
    states = model.states(view)
    assert torch.equal(states.pooled["audio"][2], model.absence["audio"])
    assert moved(states.pooled["audio"][1], model.absence["audio"])
    assert not states.projected["audio"][2].any()
    assert not states.predicted["audio"][2].any()
    assert states.present["audio"].tolist() == [True, True, False, True, True]
    alone = made(modalities=("text", "vision"))
    alone.load_state_dict(model.state_dict(), strict=False)
    lacking = alone.states({m: view[m] for m in ("text", "vision")})
    close(lacking.prediction[2], states.prediction[2])


def test_pooled_vectors_are_means_over_the_true_length() -> None:
    states = made().states(make_view(LENGTHS))
    for m, lengths in LENGTHS.items():
        for row, length in enumerate(lengths):
            if length:
                close(states.pooled[m][row], states.sequence[m][row, :length].mean(dim=0))
            assert not states.sequence[m][row, length:].any()


def test_groups_are_the_published_ones() -> None:
    model = made()
    groups = model.parameter_groups()
    assert groups.keys() == {"audio", "vision", "other"}
    for m in ("audio", "vision"):
        assert {id(p) for p in groups[m]} == {id(p) for p in model.temporal[m].parameters()}
    assert {id(p) for p in model.temporal["text"].parameters()} <= {id(p) for p in groups["other"]}
    assert made(modalities=("text",)).parameter_groups().keys() == {"other"}


def test_teacher_and_student_learn_from_each_other_when_they_share_weights() -> None:
    model = made(**dict.fromkeys(WEIGHTS, 0.0) | {"loss_task_teacher": 1.0})
    complete = make_view(LENGTHS)
    Network(model)(complete, drop_half(complete), targets(LABELS)).total.backward()
    assert model.head_out.weight.grad.any()


class TestFrozenTeacher:
    @pytest.fixture
    def teacher(self) -> Network:
        torch.manual_seed(7)
        return Network(MitrDNet(DIMS))

    def test_it_gets_no_gradient_and_never_changes(self, teacher: Network) -> None:
        before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
        network = Network(made(), teacher=teacher).train()
        complete = make_view(LENGTHS)
        network(complete, drop_half(complete), targets(LABELS)).total.backward()
        assert not teacher.training
        assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
        assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
        assert network.model.head_out.weight.grad.any()

    def test_it_is_no_part_of_the_network(self, teacher: Network) -> None:
        network = Network(made(), teacher=teacher)
        assert network.state_dict().keys() == Network(made()).state_dict().keys()
        assert not {id(p) for p in network.parameters()} & {id(p) for p in teacher.parameters()}

    def test_its_states_are_the_target(self, teacher: Network) -> None:
        student = made()
        complete = make_view(ALL_PRESENT)
        incomplete = drop_half(complete)
        out = Network(student, teacher=teacher)(complete, incomplete, targets(LABELS))
        guide, ours = teacher.model.states(complete), student.states(incomplete)
        assert "task_teacher" not in out.losses
        for m in DIMS:
            fused = (ours.pooled[m] - guide.fused).abs().mean()
            unimodal = (ours.pooled[m] - guide.pooled[m]).square().mean()
            assert out.losses[f"distill_fused_{m}"].item() == pytest.approx(fused.item(), rel=1e-4)
            assert out.losses[f"distill_unimodal_{m}"].item() == pytest.approx(unimodal.item(), rel=1e-4)
            invariance = (ours.pooled[m] - ours.fused).square().mean()
            assert out.losses[f"invariance_{m}"].item() == pytest.approx(invariance.item(), rel=1e-4)


def test_a_teacher_that_lacks_a_modality_guides_the_rest() -> None:
    model = made()
    complete = make_view(ALL_PRESENT)
    lacking = take_away(complete, "vision", range(5))
    _, terms = model.losses(lacking, drop_half(lacking), targets(LABELS))
    for term in TERMS:
        assert terms[f"{term}_vision"] == 0, term
    _, full = model.losses(complete, drop_half(complete), targets(LABELS))
    assert all(full[f"{term}_vision"] != 0 for term in TERMS)


def test_samples_of_nothing_leave_the_task_alone() -> None:
    model = made()
    complete = make_view(ALL_PRESENT)
    for m in DIMS:
        complete = take_away(complete, m, [1])
    incomplete = drop_half(complete)
    rest = [0, 2, 3, 4]
    _, ours = model.losses(complete, incomplete, targets(LABELS))
    _, theirs = model.losses(choose(complete, rest), choose(incomplete, rest), targets(LABELS, rest))
    assert ours["task_student"].item() == pytest.approx(theirs["task_student"].item(), rel=1e-5)
    assert ours["task_teacher"].item() == pytest.approx(theirs["task_teacher"].item(), rel=1e-5)


def test_an_unknown_name() -> None:
    with pytest.raises(MitrError, match=r"no model 'nope'; the models are .*mitr-dnet"):
        build_model("nope", DIMS)


def test_without_the_transformer_fusion_the_mean_of_the_modalities_is_fused() -> None:
    model = made(fusion="mean")
    states = model.states(make_view(LENGTHS))
    close(states.fused, torch.stack(list(states.pooled.values())).mean(dim=0))
    two = made(fusion="mean", modalities=("text", "audio"))
    states = two.states({m: make_view(LENGTHS)[m] for m in ("text", "audio")})
    close(states.fused, (states.pooled["text"] + states.pooled["audio"] + two.absence["vision"]) / 3)


def test_in_bf16_all_that_is_pooled_stays_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    view = make_view(LENGTHS | {"audio": (9, 0, 5, 375, 7)})
    own = {"audio": torch.tensor([1.0, 2.0, 0.0, -1.0, 0.5])}
    model, answers = made(loss_unimodal=0.5).train(), []
    original = model.task.loss
    monkeypatch.setattr(model.task, "loss", lambda answer, *rest: answers.append(answer) or original(answer, *rest))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = model.states(view)
        model.losses(view, drop_half(view), targets(LABELS)._replace(unimodal=own))
    assert {x.dtype for x in states.sequence.values()} == {torch.bfloat16}
    for parts in (states.pooled, states.projected, states.predicted):
        assert {x.dtype for x in parts.values()} == {torch.float32}
    assert states.fused.dtype == states.prediction.dtype == torch.float32
    assert [answer.dtype for answer in answers] == [torch.float32] * 3  # of both views, and of audio alone
    mean = states.sequence["audio"][3].double().mean(dim=0)  # 375 is no number of bf16
    torch.testing.assert_close(states.pooled["audio"][3].double(), mean, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("modalities", [tuple(DIMS), ("text", "audio")])
@pytest.mark.parametrize("rows", [[], [0, 3]])
def test_two_views_at_once_are_each_what_they_are_alone(
    monkeypatch: pytest.MonkeyPatch, rows: list[int], modalities: tuple[str, ...], training: bool
) -> None:
    leave_nothing_out(monkeypatch)
    complete = {m: make_view(LENGTHS)[m] for m in modalities}
    incomplete = take_away(drop_half(complete), "audio", rows)  # of which one view then has fewer steps
    model, other = (made(modalities=modalities).train(training) for _ in range(2))
    both = model.states_of_both(incomplete, complete)
    one_by_one = [other.states(view) for view in (incomplete, complete)]
    for view, states, alone in zip((incomplete, complete), both, one_by_one, strict=True):
        close(states.prediction, alone.prediction)
        close(states.fused, alone.fused)
        for part in ("pooled", "sequence", "projected", "predicted"):
            for m, value in getattr(states, part).items():
                close(value, getattr(alone, part)[m])
        assert all(torch.equal(states.present[m], view[m].present) for m in modalities)
    sum(states.prediction.square().sum() for states in both).backward()
    sum(states.prediction.square().sum() for states in one_by_one).backward()
    for ours, theirs in zip(model.buffers(), other.buffers(), strict=True):
        close(ours, theirs)  # the running statistics, taken in the same order
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None)
        if ours.grad is not None:
            close(ours.grad, theirs.grad, 1e-4)


@pytest.mark.parametrize("reversal", ["time", "channel"])
def test_plain_blocks_learn_what_kernels_learn(monkeypatch: pytest.MonkeyPatch, reversal: str) -> None:
    leave_nothing_out(monkeypatch)
    complete = make_view(LENGTHS)
    incomplete = take_away(drop_half(complete), "audio", [0, 3])
    fast, plain = (made(reversal=reversal).double().train() for _ in range(2))
    for layer in (*fast.modules(), *plain.modules()):
        if isinstance(layer, NormalisedLinear):
            layer.dropout = 0.0  # the kernel scales what it would keep
    views = [
        {m: steps._replace(values=steps.values.double()) for m, steps in view.items()}
        for view in (complete, incomplete)
    ]
    prediction, terms = fast.losses(*views, targets(LABELS))
    with without():
        expected, expected_terms = plain.losses(*views, targets(LABELS))
    torch.testing.assert_close(prediction, expected)
    torch.testing.assert_close(terms, expected_terms)
    for losses in (terms, expected_terms):
        torch.stack(list(losses.values())).sum().backward()
    for (name, ours), theirs in zip(fast.named_parameters(), plain.parameters(), strict=True):
        gradient, wanted = (torch.zeros_like(p) if p.grad is None else p.grad for p in (ours, theirs))
        torch.testing.assert_close(gradient, wanted, rtol=1e-6, atol=1e-8, msg=name)
    for ours, theirs in zip(fast.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)
