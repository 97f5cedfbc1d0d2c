"""What an exported folder says of itself: `onnx.json` and a README with an example that runs."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from mitr.data.schema import MODALITIES
from mitr.export.engine import FORMAT, TEXT, TOKENIZER
from mitr.models.network import Network
from mitr.runs.run import Run
from mitr.version import VERSION

EXAMPLE = """\
import os
import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import, or onnxruntime sends usage data
import onnxruntime
{imports}
scaling = np.load("normalization.npz")


def steps(m, values, available):  # (T, D) features as extracted; (T,) bool, False where a step was not observed
    if f"{{m}}.mean" in scaling:
        low, high, mean, scale = (scaling[f"{{m}}.{{part}}"] for part in ("low", "high", "mean", "scale"))
        values = (np.clip(values, low, high) - mean) / scale
    parts = {{"values": np.float32(values), "valid": np.ones(len(values), bool), "available": available}}
    return {{f"{{m}}_{{name}}": part[None] for name, part in parts.items()}}  # a batch of one


{inputs}
model = onnxruntime.InferenceSession("model.onnx")
prediction, all_missing = model.run(None, {{one.name: inputs[one.name] for one in model.get_inputs()}})
print(prediction, all_missing)
"""
WORDS = """\
ids = np.array([Tokenizer.from_file("tokenizer.json").encode("what was said").ids])  # (1, T) int64
inputs = {{"text_ids": ids, "text_valid": ids >= 0, "text_available": ids != {unknown}}}
inputs["text_values"] = onnxruntime.InferenceSession("text.onnx").run(None, inputs)[0]"""


def description(
    run: Run, network: Network, dims: Mapping[str, int], weights_sha256: str, parity: float, int8: Any
) -> dict[str, Any]:
    """The content of `onnx.json`.

    Args:
        run: the exported run.
        network: its network.
        dims: modality -> width of what the model reads.
        weights_sha256: of the run's weights.
        parity: the largest difference to PyTorch that was found.
        int8: what is known of the cost of an int8 text encoder; None where it is float32.
    """
    info = run.info.network
    known = run.info.network.modalities_json()
    modalities = {m: known[m] | {"dim": dims[m]} for m in MODALITIES if m in dims}
    packages = {name: import_module(name).__version__ for name in ("torch", "onnx", "onnxscript", "onnxruntime")}
    return {
        "format": FORMAT,
        "model": info.model,
        "weights_sha256": weights_sha256,
        "data": {"name": run.info.data.name, "sha256": run.info.data.sha256},
        "modalities": modalities,
        "text": None if network.text is None else _text(network),
        "special_tokens": network.special_tokens,
        "label_range": list(info.label_range),
        "classes": None if info.classes is None else list(info.classes),
        "prior": info.prior,
        "parity": {"max_difference": parity, "over": "random samples, float32"},
        "int8": int8,
        "versions": {"mitr": VERSION} | packages,
    }


def readme(about: Mapping[str, Any]) -> str:
    """The README of an exported folder.

    Args:
        about: the content of its `onnx.json`.
    """
    modalities, classes = about["modalities"], about["classes"]
    low, high = about["label_range"]
    answer = f"sentiment on a scale from {low:g} to {high:g} (not clipped)"
    prior = f"the prior, {about['prior']:.3g}" if classes is None else "the prior"
    if classes is not None:
        answer = f"logits of the classes {', '.join(classes)}; a softmax makes them probabilities"
    words = [f"# {about['model']}, as ONNX\n", f"Made by mitr {about['versions']['mitr']}. Answers: {answer}.\n"]
    words += ["| input | shape | |", "|---|---|---|"]
    for m, facts in modalities.items():
        words += [f"| `{m}_values` | (batch, steps, {facts['dim']}) float32 | {_meaning(m, facts, about)} |"]
        words += [f"| `{m}_valid` | (batch, steps) bool | true at the steps of a sample, false in the padding behind |"]
        words += [f"| `{m}_available` | (batch, steps) bool | true where a step was observed |"]
    words += ["", "A modality that a sample lacks has no valid step (and at least one step of padding, of zeros). The"]
    words += [f"outputs are `prediction` and `all_missing`: where nothing at all was observed, the answer is {prior}."]
    words += [
        "Features are computed as `onnx.json` says under `extractor`, and scaled with `normalization.npz`.\n",
        "With numpy, onnxruntime" + (" and tokenizers" if about["text"] else "") + " alone:\n",
        f"```python\n{example(about)}```\n",
        *_about_text(about["text"]),
        "`conformal.json`, where there is one, holds the prediction intervals; "
        "`mitr.evaluation.calibrating.read_intervals` reads it.",
    ]
    return "\n".join(words) + "\n"


def example(about: Mapping[str, Any]) -> str:
    """Python that answers with numpy, onnxruntime and tokenizers, to be run in the exported folder."""
    lines, imports = [], ""
    for m, facts in about["modalities"].items():
        if m == "text" and about["text"] is not None:
            imports = "from tokenizers import Tokenizer\n"
            lines.append(WORDS.format(unknown=about["text"]["unknown"]))
        else:
            made = f'steps("{m}", np.zeros((20, {facts["dim"]})), np.ones(20, bool))'
            lines.append(f"inputs {'|=' if lines else '='} {made}")
    return EXAMPLE.format(imports=imports, inputs="\n".join(lines))


def _text(network: Network) -> dict[str, Any]:
    text = network.text
    assert text is not None
    name = str(text.identity["name"])
    return {
        "name": Path(name).name if Path(name).is_dir() else name,  # a folder is of this machine
        "vocabulary_size": text.vocabulary_size,
        "dim": text.dim,
        "sha256": text.identity["sha256"],
        "max_tokens": text.max_tokens,
        "unknown": text.unknown,
        "cls": text.cls,
        "sep": text.sep,
        "hidden": "skip" if text.skip_hidden else "unknown",
    }


def _meaning(modality: str, facts: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    if modality == "text" and about["text"] is not None:
        return f"what `{TEXT}` gives"
    ends = "; the first step is [CLS], the last [SEP]" if modality == "text" and about["special_tokens"] else ""
    made = f", made by `{facts['extractor']['name']}`" if facts.get("extractor", {}).get("name") else ""
    return f"{facts['kind']}{made}{ends}"


def _about_text(text: Mapping[str, Any] | None) -> list[str]:
    if text is None:
        return []
    hidden = "left out" if text["hidden"] == "skip" else "shown as unknown"
    return [
        f"`{TEXT}` takes `text_ids` (batch, steps) int64 by `{TOKENIZER}`, at most {text['max_tokens']} with [CLS] and "
        f"[SEP],\nand the two masks of text; tokens that are not available are {hidden}. It gives `text_values`.\n"
    ]
