"""MulT against arrays that released code computed."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mitr.models.mult import MulT, MultOptions
from models.released import (
    Golden,
    close,
    compare_gradients,
    differs,
    load_golden,
    load_weights,
    our_encoder,
    released_targets,
    released_views,
)

SIZES = {"width": 12, "heads": 3, "layers": 2, "kernel_text": 1, "kernel_audio": 5, "kernel_vision": 1}
LETTER = {"l": "text", "a": "audio", "v": "vision"}


def our_name(theirs: str) -> str | list[str]:
    heads = {"proj1": "head_in", "proj2": "head_inner", "out_layer": "head_out"}
    module, _, rest = theirs.partition(".")
    if module in heads:
        return f"{heads[module]}.{rest}"
    if found := re.fullmatch(r"proj_([lav])\.weight", theirs):
        return f"project.{LETTER[found[1]]}.convolve.weight"
    if found := re.match(r"trans_([lav])_with_([lav])\.", theirs):
        theirs = theirs.replace(found[0], f"cross.{LETTER[found[1]]}_reads_{LETTER[found[2]]}.")
    elif found := re.match(r"trans_([lav])_mem\.", theirs):
        theirs = theirs.replace(found[0], f"memory.{LETTER[found[1]]}.")
    return our_encoder(theirs)


def load(golden: Golden, **options: object) -> MulT:
    config = MultOptions(**(SIZES | {"released": True} | options))
    model = MulT({"text": 32, "audio": 5, "vision": 20}, config)
    load_weights(model, golden, our_name, new="absence.")
    return model


@pytest.fixture(scope="module")
def golden(shared: Path) -> Golden:
    return load_golden(shared, "mult")


def test_outputs_and_inner_tensors(golden: Golden) -> None:
    model = load(golden)
    seen: dict[str, Tensor] = {}
    encoders = {
        f"{x}_with_{y}": model.cross[f"{m}_reads_{n}"] for x, m in LETTER.items() for y, n in LETTER.items() if x != y
    }
    encoders |= {f"{x}_mem": model.memory[m] for x, m in LETTER.items()}
    for name, encoder in encoders.items():
        encoder.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    view = released_views(golden)[1]
    close(model(view), golden["outputs/M"].reshape(-1))
    assert len(seen) == 9
    for name, out in seen.items():
        close(out, golden[f"outputs/hidden_trans_{name}"])
    summaries = model.summaries(view)
    for m, summary in summaries.items():
        close(summary, golden[f"outputs/Feature_{m[0]}"])
    close(torch.cat(list(summaries.values()), dim=1), golden["outputs/Feature_f"])


def test_the_loss_and_all_gradient_norms(golden: Golden) -> None:
    model = load(golden)
    complete, incomplete, leaves = released_views(golden)
    _, terms = model.losses(complete, incomplete, released_targets(golden))
    assert terms.keys() == {"task_student"}
    total = model.weight_of("task_student") * terms["task_student"]
    assert total.item() == pytest.approx(float(golden["losses/total"]), rel=1e-4)
    total.backward()
    assert compare_gradients(model, golden, our_name, leaves) == 282
    assert leaves["audio"].grad is None  # the complete view teaches nothing


@pytest.mark.parametrize("habit", ["positions", "padding", "convolutions", "causal"])
def test_each_of_the_releases_habits_matters(golden: Golden, habit: str) -> None:
    model = load(golden)
    encoders = [*model.cross.values(), *model.memory.values()]
    if habit == "padding":
        model.options = replace(model.options, released=False)
    elif habit == "convolutions":
        model.project["audio"].convolve.padding = (2,)
    for encoder in encoders:
        encoder.positions = "all" if habit == "positions" else "none"
        encoder.causal = habit != "causal"
    assert differs(model(released_views(golden)[1]), golden["outputs/M"].reshape(-1))


def test_without_the_switch_the_answer_differs(golden: Golden) -> None:
    prediction = load(golden, released=False)(released_views(golden)[1])
    assert differs(prediction, golden["outputs/M"].reshape(-1))
