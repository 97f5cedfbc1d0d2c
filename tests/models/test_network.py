"""A network answers for every sample: from its model, or with its prior where there is nothing to go by."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from mitr.batches.views import Steps, Targets
from mitr.config import TextConfig
from mitr.models.base import Model
from mitr.models.mitr_dnet import MitrDNet
from mitr.models.network import Network
from mitr.testing.models import LABELS, close
from mitr.testing.views import ALL_PRESENT, DIMS, drop_half, make_view, take_away, targets
from mitr.text.encoder import TextEncoder

View = Mapping[str, Steps]


class Sum(Model):
    """Adds up all values that it is shown, and records the views."""

    def __init__(self) -> None:
        super().__init__(DIMS)
        self.scale = nn.Parameter(torch.ones(()))
        self.seen: list[View] = []
        self.teachers: list[Model | None] = []

    def forward(self, view: View) -> Tensor:
        self.seen.append(view)
        return self.scale * torch.stack([(s.values * s.valid[..., None]).sum(dim=(1, 2)) for s in view.values()]).sum(
            dim=0
        )

    def losses(
        self, complete: View, incomplete: View, targets: Targets, teacher: Model | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        self.teachers.append(teacher)
        self.seen.append(complete)
        return self(incomplete), {"two": torch.tensor(2.0), "five": torch.tensor(5.0)}

    def weight_of(self, term: str) -> float:
        return {"two": 10.0, "five": 0.5}[term]


def view_of_nothing(rows: list[int]) -> dict[str, Steps]:
    """Samples whose every modality is absent."""
    view = make_view(ALL_PRESENT)
    for m in DIMS:
        view = take_away(view, m, rows)
    return view


def tokens() -> Steps:
    ids = torch.tensor([[101, 2307, 102], [101, 100, 102], [0, 0, 0], [101, 10634, 102]])
    valid = ids != 0
    content = torch.tensor([False, True, False]) & valid
    return Steps(ids, valid, valid & (ids != 100), content)


def test_the_prior_is_the_answer_where_nothing_was_observed() -> None:
    view = view_of_nothing([1, 3])
    model = Sum()
    out = Network(model, prior=0.75)(view)
    assert out.all_missing.tolist() == [False, True, False, True, False]
    assert out.prediction[[1, 3]].tolist() == [0.75, 0.75]
    close(out.prediction[[0, 2, 4]], model(view)[[0, 2, 4]])
    assert out.losses == {}
    assert out.total == 0


class Votes(Sum):
    """Logits of three classes."""

    def forward(self, view: View) -> Tensor:
        return super().forward(view)[:, None] * torch.tensor([0.0, 1.0, -1.0])


def test_of_classes_the_prior_has_a_logit_each() -> None:
    view = view_of_nothing([1, 3])
    model = Votes()
    out = Network(model, prior=[-1.0, -3.0, -0.5])(view)
    assert out.prediction[[1, 3]].tolist() == [[-1.0, -3.0, -0.5]] * 2
    close(out.prediction[[0, 2, 4]], model(view)[[0, 2, 4]])
    likeliest = torch.where(Sum()(view) > 0, 1.0, 2.0)
    assert out.label.tolist() == [2.0 if i in (1, 3) else likeliest[i].item() for i in range(5)]
    alone = Network(model, prior=[-1.0, -3.0, -0.5])({m: Steps(*(p[:1] for p in s[:4])) for m, s in view.items()})
    assert alone.prediction.shape == (1, 3)


def test_of_a_scale_the_label_is_the_prediction() -> None:
    out = Network(Sum())(make_view(ALL_PRESENT))
    assert torch.equal(out.label, out.prediction)


def test_what_counts_is_what_was_observed_and_not_what_is_present() -> None:
    view = make_view(ALL_PRESENT)
    nothing = {
        m: Steps(torch.zeros_like(s.values), s.valid, torch.zeros_like(s.available), s.content) for m, s in view.items()
    }
    assert Network(Sum(), prior=-1.0)(nothing).prediction.tolist() == [-1.0] * 5
    with_one_step = {**nothing, "vision": view["vision"]}
    assert not Network(Sum(), prior=-1.0)(with_one_step).all_missing.any()


def test_the_incomplete_view_is_answered_and_flagged() -> None:
    complete, incomplete = make_view(ALL_PRESENT), view_of_nothing([2])
    model = Sum()
    out = Network(model, prior=0.5)(complete, incomplete, targets(LABELS))
    assert out.all_missing.tolist() == [False, False, True, False, False]
    assert out.prediction[2] == 0.5
    close(out.prediction[:2], model(incomplete)[:2])
    assert model.seen[0] == complete
    assert model.seen[1] == incomplete


def test_the_total_is_the_weighted_sum() -> None:
    complete = make_view(ALL_PRESENT)
    out = Network(Sum())(complete, drop_half(complete), targets(LABELS))
    assert out.total.item() == pytest.approx(10 * 2 + 0.5 * 5)
    assert out.losses == {"two": 2, "five": 5}


def test_a_model_with_nothing_to_say_about_groups_has_one() -> None:
    model = Sum()
    assert model.parameter_groups() == {"other": [model.scale]}


def test_the_prior_is_part_of_the_state() -> None:
    network = Network(Sum(), prior=0.25)
    other = Network(Sum())
    other.load_state_dict(network.state_dict())
    assert other(view_of_nothing([0])).prediction[0] == 0.25


class TestText:
    def test_embeddings_go_in_as_they_are(self) -> None:
        view = make_view(ALL_PRESENT)
        assert Network(Sum()).encode(view) == view

    def test_of_embeddings_with_special_tokens_cls_is_set_aside(self) -> None:
        view = make_view(ALL_PRESENT)
        encoded = Network(Sum(), special_tokens=True).encode(view)
        for ours, whole in zip(encoded["text"][:4], view["text"][:4], strict=True):
            assert torch.equal(ours, whole[:, 1:])
        assert encoded["audio"] is view["audio"]
        assert view["text"].values.shape[1] == 7  # the view itself is as it was

    def test_token_ids_go_through_the_encoder(self, minilm: TextEncoder) -> None:
        model = Sum()
        out = Network(model, minilm, prior=9.0)({"text": tokens()})
        assert model.seen[0]["text"].values.shape == (4, 2, 384)
        assert torch.equal(model.seen[0]["text"].values, minilm(tokens()).values)
        assert out.all_missing.tolist() == [False, True, True, False]
        assert out.prediction[1:3].tolist() == [9.0, 9.0]

    def test_both_views_are_encoded(self, minilm: TextEncoder) -> None:
        model = Sum()
        dropped = tokens()._replace(values=torch.where(tokens().content, 100, tokens().values))
        Network(model, minilm)({"text": tokens()}, {"text": dropped}, torch.zeros(4))
        complete, incomplete = model.seen[0]["text"].values, model.seen[1]["text"].values
        assert not torch.allclose(complete[0], incomplete[0], atol=1e-3)
        close(complete[1], incomplete[1])

    def test_a_whole_network_learns_from_text(self) -> None:
        torch.manual_seed(0)
        text = TextEncoder(TextConfig(finetune=True))
        network = Network(MitrDNet({"text": text.dim}), text).train()
        dropped = tokens()._replace(values=torch.where(tokens().content, 100, tokens().values))
        network({"text": tokens()}, {"text": dropped}, targets(torch.ones(4))).total.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in text.parameters())

    def test_a_view_without_text_needs_no_encoder(self, minilm: TextEncoder) -> None:
        view = {"audio": make_view(ALL_PRESENT)["audio"]}
        assert Network(Sum(), minilm, special_tokens=True).encode(view) == view


class TestTeacher:
    def test_it_encodes_its_own_view_and_is_handed_to_the_model(self) -> None:
        model, guide = Sum(), Sum()
        teacher = Network(guide, special_tokens=True)
        complete = make_view(ALL_PRESENT)
        Network(model, teacher=teacher)(complete, drop_half(complete), targets(LABELS))
        assert model.teachers == [guide]
        assert model.seen[0]["text"].values.shape[1] == 6  # by the teacher's own encoder
        assert model.seen[1]["text"].values.shape[1] == 7
        Network(model)(complete, drop_half(complete), targets(LABELS))
        assert model.teachers[1] is None

    def test_it_is_frozen_and_no_part_of_the_network(self) -> None:
        guide = Sum()
        network = Network(Sum(), teacher=Network(guide)).train()
        assert not guide.training
        assert not guide.scale.requires_grad
        assert [name for name, _ in network.named_parameters()] == ["model.scale"]

    def test_it_moves_with_the_network(self) -> None:
        teacher = Network(Sum())
        network = Network(Sum(), teacher=teacher).to_device(torch.device("meta"))
        assert network.prior.is_meta
        assert teacher.prior.is_meta


def test_an_encoder_that_learns_reads_both_views_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    text = TextEncoder(TextConfig(finetune=True)).eval()
    model = MitrDNet({"text": text.dim, "audio": DIMS["audio"]}).eval()
    network = Network(model, text).eval()
    steps = tokens()
    audio = make_view(ALL_PRESENT)["audio"]
    rows = len(steps.values)
    complete = {"text": steps, "audio": Steps(*(part[:rows] for part in audio[:4]))}
    hidden = steps._replace(values=steps.values.clone(), available=steps.available.clone())
    hidden.values[0, 2], hidden.available[0, 2] = text.unknown, False
    incomplete = complete | {"text": hidden}
    calls: list[int] = []
    reader = text.model.embeddings
    inner = reader.forward
    monkeypatch.setattr(reader, "forward", lambda *a, **k: (calls.append(len(k["input_ids"])), inner(*a, **k))[1])
    both = network._encode_both(complete, incomplete)
    assert len(calls) == 1
    for view, found in zip((complete, incomplete), both, strict=True):
        alone = network.encode(view)
        close(found["text"].values, alone["text"].values, 1e-4)
        close(found["text"].summary, alone["text"].summary, 1e-4)
        assert torch.equal(found["text"].available, alone["text"].available)
        assert found["audio"] is view["audio"]
    assert not torch.equal(both[0]["text"].values, both[1]["text"].values)
