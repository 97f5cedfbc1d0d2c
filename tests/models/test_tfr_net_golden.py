"""TFR-Net against arrays that released code computed."""

import re
from itertools import permutations
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mitr.data.schema import MODALITIES
from mitr.losses import masked
from mitr.models.tfr_net import TFRNet, TfrNetOptions
from models.released import (
    Golden,
    close,
    compare_gradients,
    differs,
    load_golden,
    load_weights,
    our_encoder,
    reconstruction_of_learning_targets,
    released_targets,
    released_views,
)

SIZES = {"width": 12, "heads": 3, "layers": 2, "text_hidden": 6, "audio_hidden": 4, "vision_hidden": 8, "head": 16}
RELEASED = {"released": (12, 22, 30)}
CODE = {"text": "l", "audio": "a", "vision": "v"}
LETTER = {"l": "text", "t": "text", "a": "audio", "v": "vision"}
WHOLE = r"align_subnet\.Model\."
HEAD = {"norm": "head_norm", "hidden": "head_in", "final": "head_out"}


def our_name(theirs: str) -> str | list[str]:
    if found := re.fullmatch(WHOLE + r"proj_([lav])\.weight", theirs):
        return f"project.{LETTER[found[1]]}.convolve.weight"
    if found := re.match(WHOLE + r"trans_([lav])_with_([lav])\.", theirs):
        return our_encoder(theirs.replace(found[0], f"cross.{LETTER[found[1]]}_reads_{LETTER[found[2]]}."))
    if found := re.match(WHOLE + r"trans_([lav])_mem\.", theirs):
        return our_encoder(theirs.replace(found[0], f"own.{LETTER[found[1]]}."))
    if found := re.match(WHOLE + r"trans_([lav])_final\.", theirs):
        return our_encoder(theirs.replace(found[0], f"gather.{LETTER[found[1]]}."))
    if found := re.match(r"generator_([tav])\.Model\.linear\.", theirs):
        return theirs.replace(found[0], f"restore.{LETTER[found[1]]}.")
    if found := re.match(r"fusion_subnet\.Model\.classifier\.linear_trans_(\w+)\.", theirs):
        return theirs.replace(found[0], f"{HEAD[found[1]]}.")
    m, rest = re.fullmatch(r"fusion_subnet\.Model\.(\w+)_encoder\.(.*)", theirs).groups()
    rest = re.sub(r"gru\.gru\.(\w+)_l(\d)_reverse", r"recurrent.\2.back.\1_l0", rest)
    rest = re.sub(r"gru\.gru\.(\w+)_l(\d)", r"recurrent.\2.ahead.\1_l0", rest)
    return f"summary.{m}.{rest.replace('cnn', 'gate').replace('fc', 'out')}"


def load(golden: Golden, **options: object) -> TFRNet:
    config = TfrNetOptions(**(SIZES | RELEASED | options))
    model = TFRNet({"text": 32, "audio": 5, "vision": 20}, config)
    load_weights(model, golden, our_name, new="absence.")
    return model


@pytest.fixture(scope="module")
def golden(shared: Path) -> Golden:
    return load_golden(shared, "tfr_net")


def test_outputs_and_inner_tensors(golden: Golden) -> None:
    model = load(golden)
    seen: dict[str, Tensor] = {}

    def watch(module: torch.nn.Module, name: str) -> None:
        module.register_forward_hook(lambda _, __, out: seen.update({name: out[0] if isinstance(out, tuple) else out}))

    for m in MODALITIES:
        watch(model.own[m], f"hidden_trans_{CODE[m]}_mem")
    for m, n in permutations(MODALITIES, 2):
        watch(model.cross[f"{m}_reads_{n}"], f"hidden_trans_{CODE[m]}_with_{CODE[n]}")
        watch(model.summary[m].recurrent[-1], f"gru_{m}")
    states = model.states(released_views(golden)[1])
    close(states.prediction, golden["outputs/pred"].reshape(-1))
    assert len(seen) == 12
    for name, out in seen.items():
        close(out, golden[f"outputs/{name}"])
    for m in MODALITIES:
        close(states.aligned[m], golden[f"outputs/aligned_{m}"])
        close(states.vector[m], golden[f"outputs/utterance_{m}"])
        watch(model.gather[m], f"generator_in_{m}")
        close(model.restored(m, states), golden[f"outputs/recon_{m}"])
        close(seen[f"generator_in_{m}"].permute(1, 2, 0), golden[f"outputs/generator_in_{m}"])


def test_every_loss_term_and_the_totals(golden: Golden) -> None:
    model = load(golden)
    complete, incomplete, _ = released_views(golden)
    _, terms = model.losses(complete, incomplete, released_targets(golden))
    assert terms["task_student"].item() == pytest.approx(float(golden["losses/pred"]), rel=1e-4)
    for m in MODALITIES:
        assert terms[f"reconstruction_{m}"].item() == pytest.approx(float(golden[f"losses/recon_{m}"]), rel=1e-4), m
    model.train()
    for epoch, theirs in ((0, "total_epoch1"), (1, "total")):
        model.begin_epoch(epoch)
        total = sum(model.weight_of(name) * term.item() for name, term in terms.items())
        assert total == pytest.approx(float(golden[f"losses/{theirs}"]), rel=1e-4)


def test_gradient_norms_where_targets_are_no_constants(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked, "reconstruction", reconstruction_of_learning_targets)
    model = load(golden)
    complete, incomplete, leaves = released_views(golden)
    _, terms = model.losses(complete, incomplete, released_targets(golden))
    torch.stack([model.weight_of(name) * term for name, term in terms.items()]).sum().backward()
    assert compare_gradients(model, golden, our_name, leaves) == 489


def test_our_targets_are_constants(golden: Golden) -> None:
    complete, incomplete, leaves = released_views(golden)
    _, terms = load(golden).losses(complete, incomplete, released_targets(golden))
    torch.stack(list(terms.values())).sum().backward()
    assert leaves["text_hidden_complete"].grad is None
    assert leaves["text_hidden_missing"].grad is not None


def test_the_releases_restoration_mixes_the_samples_of_a_batch(golden: Golden) -> None:
    """Changing sample 0 changes what is restored of the others; changing the last one only its own."""
    model = load(golden)
    view = released_views(golden)[1]
    before = model.restored("audio", model.states(view))
    for row, changed in ((0, {0, 1, 2, 3}), (3, {3})):
        bump = torch.zeros_like(view["audio"].values)
        bump[row, 0] = 1.0
        other = view | {"audio": view["audio"]._replace(values=view["audio"].values + bump)}
        after = model.restored("audio", model.states(other))
        assert {i for i in range(4) if not torch.allclose(after[i], before[i], atol=1e-5)} == changed
        assert model(other)[1:3].tolist() == pytest.approx(model(view)[1:3].tolist(), abs=1e-5)


@pytest.mark.parametrize("habit", ["positions", "causal"])
def test_each_of_the_releases_habits_matters(golden: Golden, habit: str) -> None:
    model = load(golden)
    for encoder in (*model.own.values(), *model.cross.values()):
        encoder.positions = "all" if habit == "positions" else "nonzero"
        encoder.causal = habit != "causal"
    assert differs(model(released_views(golden)[1]), golden["outputs/pred"].reshape(-1))


def test_without_the_switch_prediction_and_restoration_differ(golden: Golden) -> None:
    model = TFRNet({"text": 32, "audio": 5, "vision": 20}, TfrNetOptions(**SIZES)).eval()
    released = load(golden).state_dict()
    state = model.state_dict()
    model.load_state_dict({n: released[n] if state[n].shape == released[n].shape else state[n] for n in state})
    view = released_views(golden)[1]
    assert differs(model(view), golden["outputs/pred"].reshape(-1))
    assert differs(model.restored("text", model.states(view)), golden["outputs/recon_text"])
