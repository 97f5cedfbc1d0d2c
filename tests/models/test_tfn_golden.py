"""TFN against arrays that the released code computed."""

from pathlib import Path

import pytest

from mitr.models.tfn import TFN, TfnOptions
from models.released import (
    Golden,
    by_prefix,
    close,
    compare_gradients,
    differs,
    load_golden,
    load_weights,
    padded,
    released_targets,
    sequence,
    tensor,
)

OPTIONS = {"text_hidden": 14, "text": 6, "audio": 4, "vision": 10, "head": 12}
ENCODERS = {"text_subnet.rnn.": "encoder.text.recurrent.ahead.", "text_subnet.linear_1.": "encoder.text.out."}
ENCODERS |= {
    f"{theirs}_subnet.{part}.": f"encoder.{ours}.{name}."
    for theirs, ours in (("audio", "audio"), ("video", "vision"))
    for part, name in (("norm", "norm"), ("linear_1", "layers.0"), ("linear_2", "layers.1"), ("linear_3", "layers.2"))
}
HEAD = {f"post_fusion_layer_{i}.": f"head_{name}." for i, name in enumerate(("in", "inner", "out"), start=1)}
our_name = by_prefix(ENCODERS | HEAD)


@pytest.fixture(scope="module")
def golden(shared: Path) -> Golden:
    return load_golden(shared, "tfn")


@pytest.fixture
def model(golden: Golden) -> TFN:
    model = TFN({"text": 32, "audio": 5, "vision": 20}, TfnOptions(**OPTIONS))
    low, span = (golden[f"weights/output_{name}"].item() for name in ("shift", "range"))
    assert model.bounds.tolist() == [low, low + span]
    weights = {name: array for name, array in golden.items() if not name.startswith("weights/output_")}
    loaded = load_weights(model, weights, our_name, new="bounds")
    assert isinstance(loaded, TFN)
    return loaded


def test_outputs_where_padding_counts_as_in_the_release(model: TFN, golden: Golden) -> None:
    view = {m: padded(tensor(golden, f"inputs/{m}")) for m in ("text", "audio", "vision")}
    for m, vector in model.vectors(view).items():
        close(vector, golden[f"outputs/Feature_{m[0]}"], 1e-5)
    close(model.product(view), golden["outputs/Feature_f"], 1e-5)
    close(model(view), golden["outputs/M"][:, 0], 1e-5)


@pytest.mark.parametrize("m", ["audio", "vision"])
def test_true_lengths_are_a_departure(model: TFN, golden: Golden, m: str) -> None:
    steps = sequence(tensor(golden, f"inputs/{m}"), tensor(golden, f"inputs/{m}_lengths"))
    ours, theirs = model.encoder[m](steps), golden[f"outputs/Feature_{m[0]}"]
    close(ours[0], theirs[0], 1e-5)  # the one sample that fills the padding
    assert differs(ours[1:], theirs[1:])


def test_loss_and_gradients(model: TFN, golden: Golden) -> None:
    leaves = {name: tensor(golden, f"inputs/{name}").requires_grad_() for name in ("text", "audio_mean", "vision_mean")}
    view = {name.removesuffix("_mean"): padded(values) for name, values in leaves.items()}
    _, terms = model.losses(view, view, released_targets(golden))
    assert terms.keys() == {"task_student"}
    assert terms["task_student"].item() == pytest.approx(golden["losses/total"].item(), rel=1e-5)
    terms["task_student"].backward()
    assert compare_gradients(model, golden, our_name, leaves, floor=1e-6) == 31
