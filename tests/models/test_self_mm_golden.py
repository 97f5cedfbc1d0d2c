"""Self-MM against arrays that the released code computed, with one step of its label generation."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mitr.batches.views import Steps, Targets
from mitr.models.self_mm import SelfMM, SelfMmOptions, UnimodalLabels
from models.released import (
    Golden,
    by_prefix,
    close,
    compare_gradients,
    differs,
    load_golden,
    load_weights,
    padded,
    sequence,
    tensor,
    text_states,
)

OPTIONS = {"audio_hidden": 6, "vision_hidden": 8, "audio_out": 5, "vision_out": 7, "fused": 14}
OPTIONS |= {"text": 9, "audio": 4, "vision": 6} | {f"dropout_{name}": 0.0 for name in ("text", "audio")}
TASKS = {"fused": "fusion", "text": "text", "audio": "audio", "vision": "vision"}
MODULES = {
    f"{theirs}_model.{part}.": f"encoder.{m}.{ours}."
    for m, theirs in (("audio", "audio"), ("vision", "video"))
    for part, ours in (("rnn", "recurrent.ahead"), ("linear_1", "out"))
}
MODULES |= {
    f"post_{theirs}_layer_{i}.": f"head.{name}.{part}."
    for name, theirs in (TASKS | {"vision": "video"}).items()
    for i, part in ((1, "first"), (2, "inner"), (3, "last"))
}
our_name = by_prefix(MODULES)


@pytest.fixture(scope="module")
def golden(shared: Path) -> Golden:
    return load_golden(shared, "self_mm")


@pytest.fixture
def model(golden: Golden) -> SelfMM:
    """In training without dropout, in the second epoch, with the release's labels and features of nine samples."""
    model = SelfMM({"text": 32, "audio": 5, "vision": 20}, SelfMmOptions(**OPTIONS))
    loaded = load_weights(model, golden, our_name, new="nothing")
    assert isinstance(loaded, SelfMM)
    loaded.begin(Targets.plain(tensor(golden, "inputs/label_map_before_fusion")))
    state = {f"label/{name}": tensor(golden, f"inputs/label_map_before_{theirs}") for name, theirs in TASKS.items()}
    state |= {f"feature/{name}": tensor(golden, f"inputs/feature_map_before_{m}") for name, m in TASKS.items()}
    loaded.load_training_state(state)
    loaded.begin_epoch(1)
    assert generated(loaded).bound <= 3
    generated(loaded).bound.fill_(golden["config/H"].item())
    return loaded.train()


def generated(model: SelfMM) -> UnimodalLabels:
    assert model.generated is not None
    return model.generated


def batch(golden: Golden) -> tuple[dict[str, Steps], Targets, dict[str, Tensor]]:
    leaves = {name: tensor(golden, f"inputs/{name}").requires_grad_() for name in ("text_hidden", "audio", "vision")}
    view = {m: sequence(leaves[m], tensor(golden, f"inputs/{m}_lengths")) for m in ("audio", "vision")}
    targets = Targets(tensor(golden, "inputs/labels"), tensor(golden, "inputs/sample_index"), torch.ones(4))
    return {"text": text_states(golden, leaves["text_hidden"]), **view}, targets, leaves


def test_outputs(model: SelfMM, golden: Golden) -> None:
    view, _, _ = batch(golden)
    close(model.encoder["audio"](view["audio"]), golden["outputs/utterance_audio"])
    close(model.encoder["vision"](view["vision"]), golden["outputs/utterance_video"])
    states = model.states(view)
    for name, theirs in TASKS.items():
        close(states.predictions[name], golden[f"outputs/{'M' if name == 'fused' else name[0].upper()}"][:, 0])
        close(states.features[name], golden[f"outputs/Feature_{theirs[0]}"])


def test_losses_and_gradients(model: SelfMM, golden: Golden) -> None:
    view, targets, leaves = batch(golden)
    _, terms = model.losses(view, view, targets)
    theirs = {"task_student": "task_M", "task_text": "task_T", "task_audio": "task_A", "task_vision": "task_V"}
    assert {name: term.item() for name, term in terms.items()} == {
        ours: pytest.approx(golden[f"losses/{name}"].item(), rel=1e-4) for ours, name in theirs.items()
    }
    total = sum(model.weight_of(name) * term for name, term in terms.items())
    assert total.item() == pytest.approx(golden["losses/total"].item(), rel=1e-4)
    total.backward()
    assert compare_gradients(model, golden, our_name, leaves, floor=1e-6) == len(list(model.parameters())) + 3


def step(model: SelfMM, golden: Golden) -> UnimodalLabels:
    view, targets, _ = batch(golden)
    model.losses(view, view, targets)
    model.after_step()
    return generated(model)


def test_labels_features_and_centres_after_the_step(model: SelfMM, golden: Golden) -> None:
    for name, theirs in TASKS.items():
        for sign, which in ((1, "pos"), (-1, "neg")):
            close(generated(model).centre(name, sign), golden[f"inputs/center_before_{theirs}_{which}"])
    after = step(model, golden)
    for name, theirs in TASKS.items():
        close(after.labels[name], golden[f"outputs/ulgm_label_map_after_{theirs}"])
        close(after.features[name], golden[f"outputs/ulgm_feature_map_after_{theirs}"])
        for sign, which in ((1, "pos"), (-1, "neg")):
            close(after.centre(name, sign), golden[f"outputs/ulgm_center_after_{theirs}_{which}"])


@pytest.mark.parametrize("epoch", [0, 2])
def test_in_another_epoch_labels_move_otherwise(model: SelfMM, golden: Golden, epoch: int) -> None:
    model.begin_epoch(epoch)
    after = step(model, golden)
    for m in ("text", "audio", "vision"):
        assert differs(after.labels[m], golden[f"outputs/ulgm_label_map_after_{m}"])
        close(after.features[m], golden[f"outputs/ulgm_feature_map_after_{m}"])


def test_padding_that_counts_is_not_the_release(model: SelfMM, golden: Golden) -> None:
    for m, theirs in (("audio", "audio"), ("vision", "video")):
        ours = model.encoder[m](padded(tensor(golden, f"inputs/{m}")))
        assert differs(ours, golden[f"outputs/utterance_{theirs}"])
