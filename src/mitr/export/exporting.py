"""Turn a run into a folder of ONNX graphs, with all that an answer takes."""

import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.evaluation.calibrating import FILE as INTERVALS
from mitr.evaluation.calibrating import carried
from mitr.export.checking import cost_of_int8, largest_difference
from mitr.export.describing import description, readme
from mitr.export.engine import ABOUT, MODEL, SCALING, TEXT, TOKENIZER, OnnxEngine, onnxruntime
from mitr.export.graphs import ModelGraph, TextGraph, dims_of, quietly, write_graph
from mitr.export.network import FOLDER, OnnxNetwork
from mitr.files import new_folder, sha256, write_json
from mitr.runs.run import Run
from mitr.text.encoder import TextEncoder

UNKNOWN = "its cost was not measured, since the data set of the run is not where it was; --data names its folder"


def export_onnx(
    run: Run | str | Path,
    out: str | Path | None = None,
    *,
    int8_text: bool = False,
    data: Dataset | str | Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Export a run as ONNX.

    Args:
        run: a trained run, or its folder.
        out: the folder to make; None: `onnx` in the run's folder, where `mitr predict --engine onnx` looks for it.
        int8_text: keep the weights of the text encoder as 8-bit integers.
        data: the data set that the run was trained on, on whose validation split the cost of that is measured; None: at
            the place that the run remembers, if it is still there.
        overwrite: replace an export that is there.

    Returns:
        The content of `onnx.json`: among it `parity`, the largest difference to PyTorch, and `int8`, what that costs.

    Raises:
        MitrError: the packages of the extra `onnx` lack, the model cannot become a graph or answers otherwise than the
            run, its answers depend on padding, there is no text encoder to reduce, `data` are not those of the run, or
            `out` is taken.
    """
    run = run if isinstance(run, Run) else Run(run)
    network = run.load_network()
    if int8_text and network.text is None:
        raise MitrError(f"--int8-text is for runs that read words with a text encoder, and {run.folder} has none")
    if getattr(getattr(network.model, "options", None), "released", None):
        raise MitrError(
            f"{run.folder} cannot be exported: under model.released padding counts like real steps, so its "
            "answers depend on how a batch is padded, which a graph of open lengths does not know; train without it"
        )
    onnxruntime()  # said before the work, if it lacks
    known = data_of(run, data) if int8_text else None
    dims = dims_of(network, run.info.network.modalities)
    weights = sha256(run.weights)
    with new_folder(Path(out) if out is not None else run.folder / FOLDER, ABOUT, overwrite) as folder:
        write_graph(ModelGraph(network, dims), folder / MODEL, run.info.network.model)
        if network.text is not None:
            what = f"the text encoder {network.text.identity['name']!r}"
            write_graph(TextGraph(network.text), folder / TEXT, what, folded=int8_text)
            _write_tokenizer(network.text, folder / TOKENIZER)
        np.savez(folder / SCALING, **run.normalizer().to_tensors())  # type: ignore[arg-type]
        if carried(run) is not None:
            shutil.copyfile(run.folder / INTERVALS, folder / INTERVALS)
        about = description(run, network, dims, weights, 0.0, None)
        write_json(folder / ABOUT, about)  # which the engine reads
        whole = OnnxNetwork(OnnxEngine(folder))
        about["parity"]["max_difference"] = largest_difference(network, whole, dims)
        if int8_text:
            _reduce(folder / TEXT)
            reduced = OnnxNetwork(OnnxEngine(folder))
            about["int8"] = cost_of_int8(run, known, whole, reduced) if known else {"unknown": UNKNOWN}
        write_json(folder / ABOUT, about)
        (folder / "README.md").write_text(readme(about), encoding="utf-8")
    return about


def _write_tokenizer(text: TextEncoder, path: Path) -> None:
    if not text.tokenizer.is_fast:
        raise MitrError(
            f"the text encoder {text.identity['name']!r} has a tokenizer that only transformers can run, so its export "
            "would need transformers; train with an encoder that has a fast tokenizer"
        )
    from tokenizers import Tokenizer

    own = Tokenizer.from_str(text.tokenizer.backend_tokenizer.to_str())  # a copy: others use the original
    own.no_truncation()
    own.no_padding()
    own.save(str(path))


def _reduce(path: Path) -> None:
    """Make the weights of a graph's matrix products 8-bit integers, all in its own file."""
    tools = import_module("onnxruntime.quantization")
    whole = path.with_name(f"float32-{path.name}")
    path.rename(whole)  # what it keeps in a file beside it, it finds as before
    weights = {"weight_type": tools.QuantType.QInt8, "per_channel": True}
    weights["reduce_range"] = True  # seven bits of eight: without VNNI instructions sums of eight would overflow
    with quietly():
        tools.quantize_dynamic(whole, path, ["MatMul"], **weights)
    whole.unlink()
    path.with_name(f"{path.name}.data").unlink(missing_ok=True)  # of the weights in float32


def data_of(run: Run, data: Dataset | str | Path | None) -> Dataset | None:
    """The data set of a run; None where none was named and it is not where it was."""
    try:
        found = data if isinstance(data, Dataset) else run.data(data)
        if not run.trained_on(found):
            raise MitrError(f"{found.folder} is not the data set that {run.folder} was trained on (its hash differs)")
    except MitrError:
        if data is not None:
            raise
        return None
    return found
