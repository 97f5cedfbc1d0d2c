"""Arrays that released code computed (golden/README.md): their inputs as views, and comparisons with them."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.batches.views import Steps, Targets, without_cls
from mitr.models.base import Model

Golden = dict[str, np.ndarray]
Views = tuple[dict[str, Steps], dict[str, Steps], dict[str, Tensor]]

ENCODER_NAMES = [  # inside MulT's encoder, which is TFR-Net's too
    (r"self_attn\.out_proj", "attention.out"),
    (r"self_attn\.in_proj_(\w+)", r"attention.QKV.\1"),
    (r"fc1", "feed_in"),
    (r"fc2", "feed_out"),
    (r"layer_norms\.0", "attention_norm"),
    (r"layer_norms\.1", "feed_norm"),
    (r"layer_norm\.", "norm."),
]


def load_golden(shared: Path, name: str) -> Golden:
    """All arrays of one model."""
    with np.load(shared / "golden" / f"{name}.npz") as arrays:
        return {key: arrays[key] for key in arrays.files}


def tensor(golden: Golden, name: str) -> Tensor:
    """One array."""
    return torch.from_numpy(golden[name])


def released_views(golden: Golden) -> Views:
    """The complete and the incomplete view, and the leaves whose gradients can be asked for, by the release's names."""
    names = ("text_hidden_complete", "text_hidden_missing", "audio", "audio_missing", "vision", "vision_missing")
    leaves = {name: tensor(golden, f"inputs/{name}").requires_grad_() for name in names}
    valid = {"text": tensor(golden, "inputs/text_attention_mask").bool()}
    valid |= {m: tensor(golden, f"inputs/mask_{m}").bool() for m in ("audio", "vision")}
    keep = {m: tensor(golden, f"inputs/keep_{m}").bool() for m in valid}
    place = torch.arange(valid["text"].shape[1])[None]
    words = (place > 0) & (place < valid["text"].sum(dim=1, keepdim=True) - 1)  # without [CLS] and [SEP]

    def view(text: str, audio: str, vision: str, available: Mapping[str, Tensor]) -> dict[str, Steps]:
        return {
            "text": without_cls(Steps(leaves[text], valid["text"], available["text"], words)),
            "audio": Steps(leaves[audio], valid["audio"], available["audio"], valid["audio"]),
            "vision": Steps(leaves[vision], valid["vision"], available["vision"], valid["vision"]),
        }

    complete = view("text_hidden_complete", "audio", "vision", valid)
    there = {m: valid[m] & (keep[m] | ~words if m == "text" else keep[m]) for m in valid}
    incomplete = view("text_hidden_missing", "audio_missing", "vision_missing", there)
    return complete, incomplete, leaves


def sequence(values: Tensor, lengths: Tensor) -> Steps:
    """A modality whose samples have these lengths, all of them observed."""
    valid = torch.arange(values.shape[1])[None] < lengths[:, None]
    return Steps(values, valid, valid, valid)


def padded(values: Tensor) -> Steps:
    """A modality whose padding counts as steps, as in releases that do not know lengths."""
    return sequence(values, torch.full((len(values),), values.shape[1]))


def text_states(golden: Golden, values: Tensor) -> Steps:
    """States of the text encoder, (B, T, D), with [CLS] as their summary."""
    tokens = sequence(values, tensor(golden, "inputs/text_attention_mask").sum(dim=1))
    inner = torch.cat([tokens.valid[:, 1:], torch.zeros_like(tokens.valid[:, :1])], dim=1)  # without [SEP]
    return without_cls(tokens._replace(content=inner))


def released_targets(golden: Golden) -> Targets:
    """The labels."""
    return Targets.plain(tensor(golden, "inputs/labels"))


def close(ours: Tensor, theirs: np.ndarray, tolerance: float = 1e-4) -> None:
    """The same, relative to the largest value."""
    found = ours.detach().numpy()
    assert found.shape == theirs.shape
    assert np.abs(found - theirs).max() <= tolerance * np.abs(theirs).max()


def differs(ours: Tensor, theirs: np.ndarray) -> bool:
    """Not the same, beyond any rounding."""
    return bool(np.abs(ours.detach().numpy() - theirs).max() > 1e-3 * np.abs(theirs).max())


def reconstruction_of_learning_targets(restored: Tensor, target: Tensor, dropped: Tensor) -> Tensor:
    """`masked.reconstruction` without its stop-gradient, to which no parameter but only the inputs are sensitive."""
    error = F.smooth_l1_loss(restored, target, reduction="none")
    return error[dropped].sum() / (dropped.sum() * target.shape[2])


def by_prefix(modules: Mapping[str, str]) -> Callable[[str], str]:
    """Released name -> ours, from beginnings of released names -> beginnings of ours."""

    def our_name(theirs: str) -> str:
        found = next(part for part in modules if theirs.startswith(part))
        return modules[found] + theirs.removeprefix(found)

    return our_name


def load_weights(model: Model, golden: Golden, our_name: Callable[[str], str | list[str]], new: str) -> Model:
    """The model with the released weights, in evaluation mode.

    Args:
        model: ours.
        golden: the release's arrays.
        our_name: a released name -> ours, or ours of its equal pieces along the first axis.
        new: prefix of the parameters that the release lacks.
    """
    state = {}
    for key in golden:
        if key.startswith("weights/"):
            names = our_name(key.removeprefix("weights/"))
            pieces = [names] if isinstance(names, str) else names
            state |= dict(zip(pieces, tensor(golden, key).chunk(len(pieces)), strict=True))
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.startswith(new) or name.endswith("num_batches_tracked") for name in missing)
    return model.eval()


def compare_gradients(
    model: nn.Module,
    golden: Golden,
    our_name: Callable[[str], str | list[str]],
    leaves: Mapping[str, Tensor],
    floor: float = 2e-5,
) -> int:
    """Compare gradient norms, after `backward`, with all that the release recorded, and count them.

    Norms are the same to within a thousandth or `floor`.
    """
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    checked = 0
    for key in golden:
        theirs = key.removeprefix("gradnorm/")
        if theirs == key:
            continue
        if theirs.startswith("inputs."):
            found = [leaves[theirs.removeprefix("inputs.")].grad]
        else:
            names = our_name(theirs)
            found = [gradients[name] for name in ([names] if isinstance(names, str) else names)]
        assert all(gradient is not None for gradient in found), theirs
        norm = torch.cat([gradient.flatten() for gradient in found]).norm().item()
        assert norm == pytest.approx(float(golden[key]), rel=1e-3, abs=floor), theirs
        checked += 1
    return checked


def our_encoder(theirs: str) -> str | list[str]:
    """A released name inside an encoder -> ours, the packed projection in three pieces."""
    ours = theirs
    for pattern, replacement in ENCODER_NAMES:
        ours = re.sub(pattern, replacement, ours)
    return [ours.replace("QKV", part) for part in ("query", "key", "value")] if "QKV" in ours else ours
