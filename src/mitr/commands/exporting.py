"""The command that exports runs."""

from pathlib import Path
from typing import Any, Literal


def export(
    run: str,
    *,
    out: str | None = None,
    format: Literal["onnx"] = "onnx",
    int8_text: bool = False,
    data: str | None = None,
    overwrite: bool = False,
) -> None:
    """Export a run as graphs that answer without PyTorch, and for `mitr predict --engine onnx`.

    Args:
        run: the run folder.
        out: the folder to make; otherwise onnx in the run's folder, where `mitr predict --engine onnx` looks for it.
        format: the file format of the graphs.
        int8_text: keep the weights of the text encoder as 8-bit integers; the loss of accuracy is measured on the
            validation split, if the data are at hand.
        data: the data set, if it is no longer where the run was trained.
        overwrite: replace an earlier export.
    """
    from mitr.export.exporting import export_onnx
    from mitr.export.network import FOLDER

    description = export_onnx(run, out, int8_text=int8_text, data=data, overwrite=overwrite)
    folder = Path(out) if out is not None else Path(run) / FOLDER
    print(f"{folder}: predictions differ by at most {description['parity']['max_difference']:.1e} from PyTorch's")
    if description["int8"]:
        print(f"int8 text encoder: {told(description['int8'])}")


def told(cost: dict[str, Any]) -> str:
    """A sentence with the errors of the float32 and the int8 text encoder, and the change of predictions."""
    if "unknown" in cost:
        return str(cost["unknown"])
    name = "mae" if "mae_float32" in cost else "accuracy"
    numbers = "predictions" if name == "mae" else "probabilities"
    changes = f"{numbers} change by {cost['mean_difference']:.3f} in the mean, {cost['max_difference']:.3f} at most"
    if name == "accuracy":
        changes += f", and {cost['changed']:.1%} of the answers"
    if f"{name}_change" not in cost:
        return f"{changes} on {cost['samples']} validation samples, none of which has a label"
    before, after, change = (cost[f"{name}_{column}"] for column in ("float32", "int8", "change"))
    measure = {"mae": "MAE", "accuracy": "accuracy"}[name]
    return f"{measure} {before:.4f} -> {after:.4f} ({change:+.4f}) on {cost['labelled']} validation samples; {changes}"
