"""The authors' release in golden arrays: its parameter names mapped to ours, and its inputs as views."""

import numpy as np
import torch

from mitr.batches.views import Steps
from mitr.models.mitr_dnet import MitrDNet, MitrDNetOptions

RELEASE_NAME = {"text": "text", "audio": "audio", "vision": "video"}
ENCODER = {"text": "l", "audio": "a", "vision": "v"}


def our_names() -> dict[str, str]:
    """Released parameter -> ours, for all but the in-projections, which the release keeps in one matrix."""
    names: dict[str, str] = {}

    def linear(theirs: str, ours: str) -> None:
        for part in ("weight", "bias"):
            names[f"{theirs}.{part}"] = f"{ours}.{part}"

    def batch_norm(theirs: str, ours: str) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            names[f"{theirs}.{part}"] = f"{ours}.{part}"

    for m, theirs in RELEASE_NAME.items():
        encoder, temporal = f"self_attentions_c_{ENCODER[m]}", f"TIMNET_{theirs}"
        linear(f"{encoder}.layers.0.self_attn.out_proj", f"encoder.{m}.attention.out")
        linear(f"{encoder}.layers.0.fc1", f"encoder.{m}.feed_in")
        linear(f"{encoder}.layers.0.fc2", f"encoder.{m}.feed_out")
        linear(f"{encoder}.layers.0.layer_norms.0", f"encoder.{m}.attention_norm")
        linear(f"{encoder}.layers.0.layer_norms.1", f"encoder.{m}.feed_norm")
        linear(f"{encoder}.layer_norm", f"encoder.{m}.norm")
        for side in ("forward", "backward"):
            linear(f"{temporal}.{side}_conv.conv1d", f"temporal.{m}.{side}_input.linear")
            batch_norm(f"{temporal}.{side}_conv.bn", f"temporal.{m}.{side}_input.norm")
        for level in range(4):
            block = f"{temporal}.temporal_blocks.{level}"
            for kind, ours in (("tanh", "content"), ("sigmoid", "gate")):
                linear(f"{block}.{kind}_conv.conv1d", f"temporal.{m}.blocks.{level}.{ours}.linear")
                batch_norm(f"{block}.{kind}_conv.bn", f"temporal.{m}.blocks.{level}.{ours}.norm")
            linear(f"{block}.skip_conv", f"temporal.{m}.blocks.{level}.skip")
        linear(f"{theirs}_projector.net.0", f"simsiam.{m}.project")
        batch_norm(f"{theirs}_projector.net.1", f"simsiam.{m}.project_norm")
        linear(f"{theirs}_predictor.net.0", f"simsiam.{m}.predict_in")
        batch_norm(f"{theirs}_predictor.net.1", f"simsiam.{m}.predict_norm")
        linear(f"{theirs}_predictor.net.3", f"simsiam.{m}.predict_out")
        linear(f"recon_{theirs}", f"restore.{m}")
    for m, number, letter in (("audio", "1", "a"), ("vision", "2", "b")):
        layer, branch = f"model_VL.MHSA{number}.transformer_inter.0", f"fusion.{m}"
        for kind, ours in (("k", "key"), ("v", "value"), ("q", "query")):
            linear(f"{layer}.self_attn.linear_{kind}", f"{branch}.self_attention.{ours}")
        linear(f"{layer}.self_attn.linear", f"{branch}.self_attention.out")
        linear(f"{layer}.feed_forward.w_1", f"{branch}.feed.down")
        linear(f"{layer}.feed_forward.w_2", f"{branch}.feed.up")
        linear(f"{layer}.feed_forward.layer_norm", f"{branch}.feed.norm")
        linear(f"model_VL.MLP_{letter.upper()}.fc1", f"{branch}.mlp.0")
        linear(f"model_VL.MLP_{letter.upper()}.fc2", f"{branch}.mlp.2")
        crossed = f"model_VL.xaa_{letter}"
        for adapter, ours in ((f"model_VL.tsa_{letter}", "adapter"), (f"{crossed}.xattn_adapter", "cross_adapter")):
            linear(f"{adapter}.adapter_layer_norm_before", f"{branch}.{ours}.norm")
            linear(f"{adapter}.down_proj", f"{branch}.{ours}.down")
            linear(f"{adapter}.up_proj", f"{branch}.{ours}.up")
        for kind in ("query", "key", "value"):
            linear(f"{crossed}.{kind}", f"{branch}.cross_attention.{kind}")
        linear(f"{crossed}.query_layernorm", f"{branch}.query_norm")
        linear(f"{crossed}.context_layernorm", f"{branch}.context_norm")
        names[f"{crossed}.xattn_adapter.scale"] = f"{branch}.scale"
    linear("proj1", "head_in")
    linear("proj2", "head_out")
    return names


def load_release(golden: dict[str, np.ndarray], options: MitrDNetOptions) -> MitrDNet:
    """Our model with the released weights, in evaluation mode."""
    model = MitrDNet({"text": 32, "audio": 5, "vision": 20}, options)
    ours = our_names()
    state = {}
    for name in golden:
        if name.startswith("weights/") and name.removeprefix("weights/") in ours:
            key = ours[name.removeprefix("weights/")]
            value = torch.from_numpy(golden[name])
            if value.ndim == 3:  # a convolution (out, in, taps) is a linear layer over its taps, the earlier one first
                value = value.transpose(1, 2).flatten(1)
            state[key] = value
    for m, letter in ENCODER.items():
        for part in ("weight", "bias"):
            joined = torch.from_numpy(golden[f"weights/self_attentions_c_{letter}.layers.0.self_attn.in_proj_{part}"])
            for kind, piece in zip(("query", "key", "value"), joined.chunk(3), strict=True):
                state[f"encoder.{m}.attention.{kind}.{part}"] = piece
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.startswith("absence.") or name.endswith("num_batches_tracked") for name in missing)
    return model.eval()


def released_views(golden: dict[str, np.ndarray]) -> tuple[dict[str, Steps], dict[str, Steps], dict[str, torch.Tensor]]:
    """The complete and the incomplete view, and the leaves whose gradient norms the release recorded."""
    leaves = {
        "text_hidden_complete": torch.from_numpy(golden["inputs/text_hidden_complete"]),
        "text_hidden_missing": torch.from_numpy(golden["inputs/text_hidden_missing"]),
        "audio_complete": torch.from_numpy(golden["inputs/audio"]),
        "vision_complete": torch.from_numpy(golden["inputs/vision"]),
        "audio_missing": torch.from_numpy(golden["inputs/audio"] * golden["inputs/keep_audio"][..., None]),
        "vision_missing": torch.from_numpy(golden["inputs/vision"] * golden["inputs/keep_vision"][..., None]),
    }
    for leaf in leaves.values():
        leaf.requires_grad_()
    keep = {m: torch.from_numpy(golden[f"inputs/keep_{m}"]).bool() for m in RELEASE_NAME}

    def steps(values: torch.Tensor, available: torch.Tensor) -> Steps:
        valid = torch.ones_like(available)  # the arrays have no padding
        return Steps(values, valid, available, valid)

    def view(which: str) -> dict[str, Steps]:
        shown = {m: k if which == "missing" else torch.ones_like(k) for m, k in keep.items()}
        return {
            "text": steps(leaves[f"text_hidden_{which}"][:, 1:], shown["text"][:, 1:]),  # without [CLS]
            "audio": steps(leaves[f"audio_{which}"], shown["audio"]),
            "vision": steps(leaves[f"vision_{which}"], shown["vision"]),
        }

    return view("complete"), view("missing"), leaves
