"""MITR-DNet against arrays that the authors' released code computed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mitr.batches.views import Targets
from mitr.models.mitr_dnet import MitrDNet, MitrDNetOptions, States
from models.released_mitr_dnet import ENCODER, RELEASE_NAME, load_release, our_names, released_views

RELEASED = MitrDNetOptions(reversal="channel", causal=True, skip_zero_positions=True)
POOLED = {"text": "kl_t_log_prob", "audio": "kl_a_log_prob", "vision": "kl_v_log_prob"}


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "golden" / "mitr_dnet.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def model(golden: dict[str, np.ndarray]) -> MitrDNet:
    return load_release(golden, RELEASED)


def close(ours: torch.Tensor, theirs: np.ndarray, tolerance: float = 1e-4) -> None:
    ours_array = ours.detach().numpy()
    assert ours_array.shape == theirs.shape
    scale = np.abs(theirs).max()
    assert np.abs(ours_array - theirs).max() <= tolerance * scale


def states(model: MitrDNet, golden: dict[str, np.ndarray], which: int) -> States:
    return model.states(released_views(golden)[which])


@pytest.mark.parametrize(("which", "suffix"), [(0, ""), (1, "_m")], ids=["complete", "incomplete"])
def test_outputs_of_both_views(model: MitrDNet, golden: dict[str, np.ndarray], which: int, suffix: str) -> None:
    ours = states(model, golden, which)
    close(ours.prediction, golden[f"outputs/pred{suffix}"].reshape(-1))
    close(ours.fused, golden[f"outputs/kl_all_prob{suffix}"])
    for m, theirs in RELEASE_NAME.items():
        close(ours.pooled[m], golden[f"outputs/{POOLED[m]}{suffix}"])
        close(ours.projected[m], golden[f"outputs/z_{theirs}{suffix}"])
        close(ours.predicted[m], golden[f"outputs/p_{theirs}{suffix}"])


def test_inner_tensors(model: MitrDNet, golden: dict[str, np.ndarray]) -> None:
    complete, incomplete, _ = released_views(golden)
    audio = complete["audio"]
    encoded = model.encoder["audio"](audio.values, audio.valid)
    close(encoded, golden["outputs/encoder_audio_complete"])
    close(model.temporal["audio"](encoded, audio.valid), golden["outputs/mibtrl_audio_complete"])
    close(model.states(complete).fused, golden["outputs/fusion_complete"])
    close(complete["text"].values, golden["outputs/text_for_recon"])
    student = model.states(incomplete)
    for m, theirs in RELEASE_NAME.items():
        close(model.restore[m](student.sequence[m]), golden[f"outputs/{theirs}_recon"])


def total_and_terms(
    model: MitrDNet, golden: dict[str, np.ndarray]
) -> tuple[torch.Tensor, dict[str, torch.Tensor], dict]:
    complete, incomplete, leaves = released_views(golden)
    _, terms = model.losses(complete, incomplete, Targets.plain(torch.from_numpy(golden["inputs/labels"])))
    return sum(model.weight_of(name) * term for name, term in terms.items()), terms, leaves


def released_term(name: str) -> str:
    for m, theirs in RELEASE_NAME.items():
        name = name.replace(f"_{m}", f"_{theirs}")
    return name.replace("reconstruction", "recon")


def test_every_loss_term_and_the_total(model: MitrDNet, golden: dict[str, np.ndarray]) -> None:
    total, terms, _ = total_and_terms(model, golden)
    theirs = {name.removeprefix("losses/"): float(golden[name]) for name in golden if name.startswith("losses/")}
    ours = {released_term(name): term.item() for name, term in terms.items()}
    assert ours.keys() == theirs.keys() - {"total"}
    for name, value in ours.items():
        assert value == pytest.approx(theirs[name], rel=1e-4), name
    assert total.item() == pytest.approx(theirs["total"], rel=1e-4)


def test_gradient_norms_show_the_same_stop_gradients(golden: dict[str, np.ndarray]) -> None:
    model = load_release(golden, RELEASED)
    total, _, leaves = total_and_terms(model, golden)
    total.backward()
    parameters = dict(model.named_parameters())
    theirs_to_ours = our_names()
    checked = 0
    for name in golden:
        if not name.startswith("gradnorm/"):
            continue
        theirs = name.removeprefix("gradnorm/")
        if theirs.startswith("inputs."):
            gradient = leaves[theirs.removeprefix("inputs.")].grad
        elif "in_proj_" in theirs:
            m = next(m for m, letter in ENCODER.items() if theirs.startswith(f"self_attentions_c_{letter}."))
            part = theirs.rpartition("_")[2]
            pieces = [parameters[f"encoder.{m}.attention.{kind}.{part}"].grad for kind in ("query", "key", "value")]
            gradient = torch.cat(pieces)
        else:
            gradient = parameters[theirs_to_ours[theirs]].grad
        assert gradient is not None
        norm = gradient.norm().item()
        assert norm == pytest.approx(float(golden[name]), rel=1e-3, abs=2e-5), theirs
        checked += 1
    assert checked == 305


@pytest.mark.parametrize("habit", ["reversal", "causal", "skip_zero_positions"])
def test_without_one_of_the_releases_habits_the_outputs_differ(golden: dict[str, np.ndarray], habit: str) -> None:
    ours = {"reversal": "time", "causal": False, "skip_zero_positions": False}
    config = MitrDNetOptions(**{"reversal": "channel", "causal": True, "skip_zero_positions": True, habit: ours[habit]})
    prediction = states(load_release(golden, config), golden, 1).prediction.detach().numpy()
    theirs = golden["outputs/pred_m"].reshape(-1)
    assert np.abs(prediction - theirs).max() > 1e-3 * np.abs(theirs).max()
