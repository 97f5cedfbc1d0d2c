"""MISA against arrays that the released code computed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mitr.batches.views import Steps
from mitr.losses.subspaces import central_moments, orthogonality
from mitr.models.misa import MISA, MisaOptions
from models.released import (
    Golden,
    by_prefix,
    close,
    compare_gradients,
    differs,
    load_golden,
    load_weights,
    released_targets,
    sequence,
    tensor,
    text_states,
)

ALL = torch.ones(4, dtype=torch.bool)
UNUSED = ("sp_discriminator", "tlayer_norm")
RNN = {
    f"{m[0]}rnn{number}.{part}_l0{reverse}": f"steps.{m}.{place}.{side}.{part}_l0"
    for m in ("audio", "vision")
    for number, place in ((1, "first"), (2, "second"))
    for reverse, side in (("_reverse", "back"), ("", "ahead"))
    for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
}
MODULES = {f"{m[0]}layer_norm": f"steps.{m}.norm" for m in ("audio", "vision")}
for m in ("text", "audio", "vision"):
    n = m[0]
    MODULES |= {f"project_{n}.project_{n}_layer_norm": f"project_norm.{m}", f"project_{n}.project_{n}": f"project.{m}"}
    MODULES |= {
        f"private_{n}.private_{n}_{3 if n == 'a' else 1}": f"private.{m}",
        f"recon_{n}.recon_{n}_1": f"restore.{m}",
    }
MODULES |= {"shared.shared_1": "shared", "fusion.fusion_layer_1": "head_in", "fusion.fusion_layer_3": "head_out"}
MODULES |= {"transformer_encoder.layers.0": "fusion"}
our_name = by_prefix(RNN | MODULES)


def ours_in_order(vector: np.ndarray) -> np.ndarray:
    """The release joins [ahead 1, ahead 2, back 1, back 2] in its last axis, we [ahead 1, back 1, ahead 2, back 2]."""
    ahead_1, ahead_2, back_1, back_2 = np.split(vector, 4, axis=1)
    return np.concatenate([ahead_1, back_1, ahead_2, back_2], axis=1)


@pytest.fixture(scope="module")
def golden(shared: Path) -> Golden:
    arrays = load_golden(shared, "misa")
    for m in ("audio", "vision"):
        for name in (f"weights/project_{m[0]}.project_{m[0]}.weight", f"outputs/utterance_{m}"):
            arrays[name] = ours_in_order(arrays[name])
    return {name: array for name, array in arrays.items() if name.split("/")[1].split(".")[0] not in UNUSED}


@pytest.fixture
def model(golden: Golden) -> MISA:
    model = MISA({"text": 768, "audio": 5, "vision": 20}, MisaOptions(width=12))
    loaded = load_weights(model, golden, our_name, new="nothing")
    assert isinstance(loaded, MISA)
    return loaded


def leaves_of(golden: Golden) -> dict[str, Tensor]:
    return {name: tensor(golden, f"inputs/{name}").requires_grad_() for name in ("text_hidden", "audio", "vision")}


def released_view(golden: Golden, leaves: dict[str, Tensor]) -> dict[str, Steps]:
    """Audio and vision have as many steps as text has tokens."""
    tokens = tensor(golden, "inputs/text_attention_mask").sum(dim=1)
    others = {m: sequence(leaves[m], tokens) for m in ("audio", "vision")}
    return {"text": text_states(golden, leaves["text_hidden"]), **others}


def test_outputs(model: MISA, golden: Golden) -> None:
    states = model.states(released_view(golden, leaves_of(golden)))
    for m in ("text", "audio", "vision"):
        close(states.utterance[m], golden[f"outputs/utterance_{m}"])
        close(states.projected[m], golden[f"outputs/projected_{m}"])
        close(states.private[m], golden[f"outputs/private_{m}"])
        close(states.shared[m], golden[f"outputs/shared_{m}"])
        close(states.restored[m], golden[f"outputs/recon_{m}"])
    close(states.fused, golden["outputs/fusion_transformer"])
    close(states.prediction, golden["outputs/M"][:, 0])


def test_losses_and_gradients(model: MISA, golden: Golden) -> None:
    leaves = leaves_of(golden)
    view = released_view(golden, leaves)
    _, terms = model.losses(view, view, released_targets(golden))
    theirs = {"task_student": "task_mse", "diff": "difference", "sim": "similarity_cmd", "recon": "reconstruction"}
    assert {name: term.item() for name, term in terms.items()} == {
        ours: pytest.approx(golden[f"losses/{name}"].item(), rel=1e-4) for ours, name in theirs.items()
    }
    total = sum(model.weight_of(name) * term for name, term in terms.items())
    assert total.item() == pytest.approx(golden["losses/total"].item(), rel=1e-4)
    total.backward()
    assert compare_gradients(model, golden, our_name, leaves, floor=1e-5) == len(list(model.parameters())) + 3


def test_each_relation_between_projections(model: MISA, golden: Golden) -> None:
    states = model.states(released_view(golden, leaves_of(golden)))
    found = {
        f"difference_private_shared_{m}": orthogonality(p, states.shared[m], ALL) for m, p in states.private.items()
    }
    for one, two in (("audio", "text"), ("audio", "vision"), ("text", "vision")):
        found[f"difference_private_{one}_{two}"] = orthogonality(states.private[one], states.private[two], ALL)
    for one, two in (("text", "vision"), ("text", "audio"), ("audio", "vision")):
        found[f"cmd_{one}_{two}"] = central_moments(states.shared[one], states.shared[two], ALL)
    for name, term in found.items():
        assert term.item() == pytest.approx(golden[f"losses/{name}"].item(), rel=1e-4), name


@pytest.mark.parametrize("m", ["audio", "vision"])
def test_own_lengths_are_a_departure(model: MISA, golden: Golden, m: str) -> None:
    ours = model.steps[m](sequence(tensor(golden, f"inputs/{m}"), tensor(golden, f"inputs/{m}_lengths")))
    assert differs(ours, golden[f"outputs/utterance_{m}"])


def test_without_its_summary_text_is_another(model: MISA, golden: Golden) -> None:
    view = released_view(golden, leaves_of(golden))
    view["text"] = view["text"]._replace(summary=None)
    assert differs(model.states(view).utterance["text"], golden["outputs/utterance_text"])
