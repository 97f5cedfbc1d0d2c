"""LMF against arrays that the released code computed."""

from pathlib import Path

import numpy as np
import pytest

from mitr.models.lmf import LMF, LmfOptions
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
from models.test_tfn_golden import ENCODERS

OPTIONS = {"text_hidden": 14, "text": 7, "audio": 4, "vision": 10, "rank": 3}
FACTORS = {"audio": "audio_factor", "vision": "video_factor", "text": "text_factor"}
our_name = by_prefix(ENCODERS | {"fusion_weights": "mixture", "fusion_bias": "bias", "factor.": "factor."})


@pytest.fixture(scope="module")
def golden(shared: Path) -> Golden:
    """The arrays, with the release's factors (rank, 1 + width, 1) as our linear layers: the 1 in front has the bias."""
    arrays = load_golden(shared, "lmf")
    for m, theirs in FACTORS.items():
        factor = arrays.pop(f"weights/{theirs}")[:, :, 0]
        arrays |= {f"weights/factor.{m}.bias": factor[:, 0], f"weights/factor.{m}.weight": factor[:, 1:]}
    arrays["weights/fusion_weights"] = arrays["weights/fusion_weights"][0]
    arrays["weights/fusion_bias"] = arrays["weights/fusion_bias"][0]
    return arrays


@pytest.fixture
def model(golden: Golden) -> LMF:
    model = LMF({"text": 32, "audio": 5, "vision": 20}, LmfOptions(**OPTIONS))
    loaded = load_weights(model, golden, our_name, new="nothing")
    assert isinstance(loaded, LMF)
    return loaded


def test_outputs_where_padding_counts_as_in_the_release(model: LMF, golden: Golden) -> None:
    view = {m: padded(tensor(golden, f"inputs/{m}")) for m in ("text", "audio", "vision")}
    for m, vector in model.vectors(view).items():
        close(vector, golden[f"outputs/Feature_{m[0]}"], 1e-5)
    close(model.ranks(view)[:, 0], golden["outputs/Feature_f"], 1e-5)
    close(model(view), golden["outputs/M"][:, 0], 1e-5)


@pytest.mark.parametrize("m", ["audio", "vision"])
def test_true_lengths_are_a_departure(model: LMF, golden: Golden, m: str) -> None:
    steps = sequence(tensor(golden, f"inputs/{m}"), tensor(golden, f"inputs/{m}_lengths"))
    ours, theirs = model.encoder[m](steps), golden[f"outputs/Feature_{m[0]}"]
    close(ours[0], theirs[0], 1e-5)  # the one sample that fills the padding
    assert differs(ours[1:], theirs[1:])


def test_loss_and_gradients(model: LMF, golden: Golden) -> None:
    leaves = {name: tensor(golden, f"inputs/{name}").requires_grad_() for name in ("text", "audio_mean", "vision_mean")}
    view = {name.removesuffix("_mean"): padded(values) for name, values in leaves.items()}
    _, terms = model.losses(view, view, released_targets(golden))
    assert terms.keys() == {"task_student"}
    assert terms["task_student"].item() == pytest.approx(golden["losses/total"].item(), rel=1e-5)
    terms["task_student"].backward()
    others = {name: array for name, array in golden.items() if not name.endswith("_factor")}
    assert compare_gradients(model, others, our_name, leaves, floor=1e-6) == 27
    for m, theirs in FACTORS.items():
        parts = [part.grad.norm().item() for part in model.factor[m].parameters()]
        assert np.hypot(*parts) == pytest.approx(golden[f"gradnorm/{theirs}"].item(), rel=1e-3)
