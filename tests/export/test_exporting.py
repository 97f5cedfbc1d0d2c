"""What an export writes, refuses and reports."""

import json
import re
import shutil
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest

from made import options
from mitr.__main__ import main, parser, spelled_out
from mitr.api import train
from mitr.commands.exporting import told
from mitr.data.store import Dataset, Sample
from mitr.errors import MitrError
from mitr.evaluation.predicting import predict_under
from mitr.evaluation.shapley import COMPLETE
from mitr.export.describing import example
from mitr.export.engine import OnnxEngine
from mitr.export.exporting import data_of, export_onnx
from mitr.export.graphs import ModelGraph, TextGraph, write_graph
from mitr.export.network import OnnxNetwork
from mitr.files import sha256
from mitr.models.mult import MultOptions
from mitr.runs.config import ModelConfig
from mitr.runs.run import Run

WITH_TEXT = {
    "README.md",
    "conformal.json",
    "model.onnx",
    "normalization.npz",
    "onnx.json",
    "text.onnx",
    "tokenizer.json",
}


def test_the_folder_has_all_that_an_answer_takes(words_run: Run, classes_run: Run) -> None:
    folder = words_run.folder / "onnx"
    assert {path.name for path in folder.iterdir()} == WITH_TEXT
    assert {path.name for path in (classes_run.folder / "onnx").iterdir()} == {
        "README.md",
        "model.onnx",
        "normalization.npz",
        "onnx.json",
    }
    about = json.loads((folder / "onnx.json").read_text())
    assert about["weights_sha256"] == sha256(words_run.folder / "model.safetensors")
    assert about["modalities"]["text"] == {"kind": "raw", "dim": 32}
    assert about["text"]["name"] == "tiny"  # not the folder of this machine
    assert about["text"]["hidden"] == "skip"
    assert about["text"]["max_tokens"] == 30
    assert about["prior"] == words_run.info.network.prior
    assert about["int8"] is None
    assert 0 <= about["parity"]["max_difference"] < 1e-4
    assert (folder / "conformal.json").read_bytes() == (words_run.folder / "conformal.json").read_bytes()
    with np.load(folder / "normalization.npz") as scaling:
        assert scaling.keys() == {
            f"{m}.{part}" for m in ("audio", "vision") for part in ("mean", "scale", "low", "high")
        }


def test_batch_and_lengths_are_open(words_run: Run) -> None:
    graph = onnx.load(words_run.folder / "onnx" / "model.onnx").graph
    shapes = {i.name: [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim] for i in graph.input}
    assert shapes == {
        f"{m}_{part}": ["batch", f"{m}_steps", *([width] if part == "values" else [])]
        for m, width in (("text", 32), ("audio", 12), ("vision", 16))
        for part in ("values", "valid", "available")
    }
    assert [output.name for output in graph.output] == ["prediction", "all_missing"]


class Reduced(NamedTuple):
    """An export with an int8 text encoder, and what the command said."""

    folder: Path
    out: str
    err: str


@pytest.fixture(scope="module")
def int8(words_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Reduced:
    """Exported as if the encoder had too many weights for one file; the model is as in the other export."""
    folder = tmp_path_factory.mktemp("export") / "int8"
    out, err = StringIO(), StringIO()

    def written(graph: ModelGraph | TextGraph, path: Path, what: str, folded: bool = False) -> None:
        if isinstance(graph, ModelGraph):
            shutil.copyfile(words_run.folder / "onnx" / path.name, path)
        else:
            write_graph(graph, path, what, folded)
            assert path.with_name("text.onnx.data").is_file()

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr("mitr.export.graphs.LARGEST_FILE", 0)
        patch.setattr("mitr.export.exporting.write_graph", written)
        assert main(["export", str(words_run.folder), "--out", str(folder), "--int8-text"]) == 0
    return Reduced(folder, out.getvalue(), err.getvalue())


def test_int8_costs_what_the_export_says(words_run: Run, small_text: Dataset, int8: Reduced) -> None:
    cost = json.loads((int8.folder / "onnx.json").read_text())["int8"]
    exact, rough = (
        predict_under(network, words_run.examples(small_text, "valid", network), [COMPLETE])
        for network in (words_run.load_network(), OnnxNetwork(OnnxEngine(int8.folder, 1)))
    )
    apart = (exact["prediction"] - rough["prediction"]).abs()
    mae = [(table["prediction"] - table["label"]).abs().mean() for table in (exact, rough)]
    assert cost["samples"] == cost["labelled"] == len(exact)
    assert cost["max_difference"] == pytest.approx(apart.max(), abs=1e-4)
    assert cost["mean_difference"] == pytest.approx(apart.mean(), abs=1e-4)
    assert 1e-4 < cost["max_difference"] < 0.5
    assert cost["mae_float32"] == pytest.approx(mae[0], abs=1e-4)
    assert cost["mae_change"] == pytest.approx(mae[1] - mae[0], abs=1e-4)
    assert f"int8 text encoder: {told(cost)}" in int8.out
    assert [line for line in int8.err.splitlines() if "longer than 30 tokens" not in line] == []


def test_the_matrices_of_the_encoder_are_8_bit_integers(int8: Reduced) -> None:
    assert {path.name for path in int8.folder.iterdir()} == WITH_TEXT  # and no weights in float32 beside it
    arrays = onnx.load(int8.folder / "text.onnx").graph.initializer
    small = [list(array.dims) for array in arrays if array.data_type == onnx.TensorProto.INT8 and len(array.dims) == 2]
    assert sorted(small) == [[32, 32]] * 8 + [[32, 64]] * 2 + [[64, 32]] * 2


def test_a_cost_in_words() -> None:
    apart = {"mean_difference": 0.0123, "max_difference": 0.0456}
    cost = {"split": "valid", "samples": 10, "labelled": 8, "mae_float32": 0.5, "mae_int8": 0.51, "mae_change": 0.01}
    assert told(cost | apart) == (
        "MAE 0.5000 -> 0.5100 (+0.0100) on 8 validation samples; predictions change by 0.012 in the mean, 0.046 at most"
    )
    unlabelled = {"samples": 10, "labelled": 0, "mae_float32": None, "mae_int8": None}
    assert told(unlabelled | apart) == (
        "predictions change by 0.012 in the mean, 0.046 at most on 10 validation samples, none of which has a label"
    )
    shares = {"accuracy_float32": 0.5, "accuracy_int8": 0.75, "accuracy_change": 0.25, "changed": 0.125}
    assert told({"labelled": 8} | apart | shares) == (
        "accuracy 0.5000 -> 0.7500 (+0.2500) on 8 validation samples; "
        "probabilities change by 0.012 in the mean, 0.046 at most, and 12.5% of the answers"
    )
    assert told({"unknown": "its cost was not measured"}) == "its cost was not measured"


def test_int8_without_the_data(moved: Run, small_text: Dataset, small: Dataset, tmp_path: Path) -> None:
    about = moved.folder / "run.json"
    about.write_text(about.read_text().replace(str(small_text.folder), str(tmp_path / "gone")))
    run = Run(moved.folder)
    with pytest.raises(MitrError, match=r"is not the data set that .* was trained on"):
        export_onnx(run, tmp_path / "out", int8_text=True, data=small.folder)
    with pytest.raises(MitrError, match="gone is not a mitr data set"):
        export_onnx(run, tmp_path / "out", int8_text=True, data=tmp_path / "gone")
    assert not (tmp_path / "out").exists()
    assert data_of(run, None) is None
    assert data_of(run, small_text.folder) is not None


def test_an_export_is_not_replaced_unasked(words_run: Run) -> None:
    with pytest.raises(MitrError, match="exists already: choose another folder, or pass --overwrite"):
        export_onnx(words_run)


def test_int8_is_for_text_encoders(classes_run: Run, tmp_path: Path) -> None:
    with pytest.raises(MitrError, match="--int8-text is for runs that read words with a text encoder"):
        export_onnx(classes_run, tmp_path / "out", int8_text=True)


def test_answers_that_depend_on_padding_are_refused(small: Dataset, tmp_path: Path) -> None:
    config = options(1)
    config.model = ModelConfig("mult", MultOptions(released=True, layers=1, width=4, heads=1))
    run = train(small, tmp_path / "run", config, quiet=True, calibrate=False)
    with pytest.raises(MitrError, match=r"under model\.released padding counts like real steps"):
        export_onnx(run)


def test_an_export_that_answers_otherwise_is_not_written(
    classes_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(_graph: object, path: Path, _what: str) -> None:
        shutil.copyfile(classes_run.folder / "onnx" / path.name, path)

    monkeypatch.setattr("mitr.export.exporting.write_graph", written)  # the same graph in less time
    right = OnnxEngine.run

    def wrong(self: OnnxEngine, view: dict) -> tuple[np.ndarray, np.ndarray]:
        prediction, nothing = right(self, view)
        return prediction + np.float32(0.001), nothing

    monkeypatch.setattr(OnnxEngine, "run", wrong)
    with pytest.raises(MitrError, match=r"it does not answer as the run does: .* differ by 0\.001"):
        export_onnx(classes_run, tmp_path / "out")
    assert not list(tmp_path.iterdir())


PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")


def test_the_pages_example_is_that_of_the_folders() -> None:
    widths = {"text": 384, "audio": 33, "vision": 49}
    about = {"modalities": {m: {"dim": width} for m, width in widths.items()}, "text": {"unknown": 100}}
    assert f"```python\n{example(about)}```" in PAGE


def test_the_pages_lines_with_mitr(words_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    Path("runs", "clips").symlink_to(words_run.folder)
    (lines,) = re.findall(r"## In Python, with mitr\n\n```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {"samples": [Sample("x", "test", None, "what was said")]}
    exec(lines, names)
    assert names["answers"].prediction.shape == (1,)
    commands = re.findall(r"^mitr (export [^#\n]+)", PAGE, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        words = spelled_out(command.split())
        assert parser(words).parse_args(words).export.run == "runs/clips"


def test_the_pages_costs_are_those_of_the_file() -> None:
    costs = json.loads((Path(__file__).parents[2] / "docs" / "results" / "int8.json").read_text(encoding="utf-8"))
    for run, splits in costs["runs"].items():
        shown = [run.rpartition("-")[2]]
        for split in ("valid", "test"):
            cost = splits[split]
            shown += [f"{cost['mae_float32']:.3f} → {cost['mae_int8']:.3f}"]
            shown += [f"{cost['mean_difference']:.2f}", f"{cost['max_difference']:.2f}"]
        assert f"| {' | '.join(shown)} |" in PAGE
