"""EMT-DLFR against arrays that the authors' released code computed."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mitr.losses import masked
from mitr.models.emt_dlfr import EMTDLFR, EmtDlfrOptions
from models.released import (
    Golden,
    close,
    compare_gradients,
    differs,
    load_golden,
    load_weights,
    reconstruction_of_learning_targets,
    released_targets,
    released_views,
)

SIZES = {"width": 16, "audio_hidden": 8, "vision_hidden": 12, "audio_out": 6, "vision_out": 10, "head": 20}
SIZES |= {"predictor_fused": 24, "predictor_text": 12, "predictor_audio": 4, "predictor_vision": 6}
THEIRS = {"text": "text", "audio": "audio", "vision": "video"}
OURS = {theirs: ours for ours, theirs in THEIRS.items()} | {"gmc_tokens": "fused"}
BLOCK = "fusion.mpus.0.0.0.layers.0"
RENAMED = [
    (r"(audio|video)_model\.rnn\.(\w+)_l0", r"encoder.\1.recurrent.ahead.\2_l0"),
    (r"(audio|video)_model\.linear_1", r"encoder.\1.out"),
    (r"proj_(text|audio|video)", r"project.\1"),
    (r"recon_(text|audio|video)", r"restore.\1"),
    (rf"{BLOCK}\.0\.norm_context", "exchange.block.context_norm"),
    (rf"{BLOCK}\.0\.norm", "exchange.block.cross_norm"),
    (rf"{BLOCK}\.1\.norm", "exchange.block.self_norm"),
    (rf"{BLOCK}\.2\.norm", "exchange.block.feed_norm"),
    (rf"{BLOCK}\.0\.fn\.to_", "exchange.block.cross_attention."),
    (rf"{BLOCK}\.1\.fn\.to_", "exchange.block.self_attention."),
    (r"attention\.q\.", "attention.query."),
    (rf"{BLOCK}\.2\.fn\.net\.0", "exchange.block.feed_in"),
    (rf"{BLOCK}\.2\.fn\.net\.2", "exchange.block.feed_out"),
    (r"fusion\.attn_pools\.0\.attention", "exchange.pool"),
    (r"(\w+)_projector\.net\.0", r"simsiam.\1.project"),
    (r"(\w+)_projector\.net\.1", r"simsiam.\1.project_norm"),
    (r"(\w+)_predictor\.net\.0", r"simsiam.\1.predict_in"),
    (r"(\w+)_predictor\.net\.1", r"simsiam.\1.predict_norm"),
    (r"(\w+)_predictor\.net\.3", r"simsiam.\1.predict_out"),
    (r"post_fusion_layer_1", "head_in"),
    (r"post_fusion_layer_2", "head_inner"),
    (r"post_fusion_layer_3", "head_out"),
    (r"\.video\.", ".vision."),
    (r"\.gmc_tokens\.", ".fused."),
]


def our_name(theirs: str) -> str | list[str]:
    ours = theirs
    for pattern, replacement in RENAMED:
        ours = re.sub(pattern, replacement, ours)
    return [ours.replace(".kv.", ".key."), ours.replace(".kv.", ".value.")] if ".kv." in ours else ours


def load(golden: Golden) -> EMTDLFR:
    model = EMTDLFR({"text": 32, "audio": 5, "vision": 20}, EmtDlfrOptions(**SIZES))
    load_weights(model, golden, our_name, new="absence.")
    return model


@pytest.fixture(scope="module")
def golden(shared: Path) -> Golden:
    return load_golden(shared, "emt_dlfr")


@pytest.fixture(scope="module")
def model(golden: Golden) -> EMTDLFR:
    return load(golden)


@pytest.mark.parametrize(("which", "suffix"), [(0, ""), (1, "_m")], ids=["complete", "incomplete"])
def test_outputs_of_both_views(model: EMTDLFR, golden: Golden, which: int, suffix: str) -> None:
    view = released_views(golden)[which]
    states = model.states(view)
    close(states.prediction, golden[f"outputs/pred{suffix}"].reshape(-1))
    for theirs, ours in OURS.items():
        close(states.projected[ours], golden[f"outputs/z_{theirs}{suffix}"])
        close(states.predicted[ours], golden[f"outputs/p_{theirs}{suffix}"])
    for m in THEIRS:
        close(states.steps[m], golden[f"outputs/fusion_out_{m}{suffix}"])
        if which:
            close(model.restore[m](states.steps[m]), golden[f"outputs/{THEIRS[m]}_recon"])


@pytest.mark.parametrize(("which", "suffix"), [(0, ""), (1, "_m")], ids=["complete", "incomplete"])
def test_inner_tensors(model: EMTDLFR, golden: Golden, which: int, suffix: str) -> None:
    contexts: list[Tensor] = []
    arguments: list[tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]] = []
    pooled = model.exchange.pooled

    def watch(*inputs: Tensor) -> Tensor:
        contexts.append(pooled(*inputs))
        return contexts[-1]

    view = released_views(golden)[which]
    hook = model.exchange.register_forward_pre_hook(lambda _, inputs: arguments.append(inputs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.exchange, "pooled", watch)
        model(view)
    hook.remove()
    context, local, valid = arguments[0]
    close(context, golden[f"outputs/gmc_in{suffix}"])
    for m in THEIRS:
        close(local[m], golden[f"outputs/fusion_in_{m}{suffix}"])
        assert valid[m].tolist() == golden[f"outputs/fusion_mask_{m}{suffix}"].astype(bool).tolist()
    for layer in range(3):
        close(contexts[layer].flatten(1), golden[f"outputs/gmc_after_layer{layer}{suffix}"])
    close(contexts[-1], golden[f"outputs/gmc_out{suffix}"])
    for m in ("audio", "vision"):
        whole, steps = model.read(m, view[m])
        close(whole, golden[f"outputs/lstm_{m}_utt{suffix}"])
        close(steps, golden[f"outputs/lstm_{m}_local{suffix}"])


def released_term(name: str) -> str:
    for ours, theirs in {"simsiam": "attraction", "reconstruction": "recon", "vision": "video"}.items():
        name = name.replace(ours, theirs)
    return {"task_student": "pred_missing", "task_teacher": "pred_complete"}.get(
        name, name.replace("fused", "gmc_tokens")
    )


def test_every_loss_term_and_the_total(model: EMTDLFR, golden: Golden) -> None:
    complete, incomplete, _ = released_views(golden)
    _, terms = model.losses(complete, incomplete, released_targets(golden))
    theirs = {name.removeprefix("losses/"): float(golden[name]) for name in golden if name.startswith("losses/")}
    ours = {released_term(name): term.item() for name, term in terms.items()}
    assert ours.keys() == theirs.keys() - {"total", "attraction", "reconstruction"}
    for name, value in ours.items():
        assert value == pytest.approx(theirs[name], rel=1e-4), name
    total = sum(model.weight_of(name) * term.item() for name, term in terms.items())
    assert total == pytest.approx(theirs["total"], rel=1e-4)


def test_gradient_norms_show_the_same_stop_gradients(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    def reconstruction(restored: Tensor, target: Tensor, dropped: Tensor) -> Tensor:
        text = target.shape[2] == 32  # its target is a constant in the release too
        return reconstruction_of_learning_targets(restored, target.detach() if text else target, dropped)

    monkeypatch.setattr(masked, "reconstruction", reconstruction)
    model = load(golden)
    complete, incomplete, leaves = released_views(golden)
    _, terms = model.losses(complete, incomplete, released_targets(golden))
    torch.stack([model.weight_of(name) * term for name, term in terms.items()]).sum().backward()
    assert compare_gradients(model, golden, our_name, leaves) == 83


def test_positions_matter(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mitr.models.emt_dlfr.interleaved_sinusoids", lambda steps, dim, _: torch.zeros(steps, dim))
    prediction = load(golden)(released_views(golden)[1])
    assert differs(prediction, golden["outputs/pred_m"].reshape(-1))
