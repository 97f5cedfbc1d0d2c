"""An exported folder answers as the run does: through mitr, by the engine alone, and without mitr at all."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mitr.batches.examples import Examples
from mitr.data.held import HeldDataset
from mitr.data.schema import DatasetInfo, Modality, Source
from mitr.data.store import Dataset, Sample
from mitr.errors import MitrError
from mitr.evaluation.predicting import predict_at_rates, predict_under
from mitr.evaluation.shapley import COMPLETE, shapley
from mitr.export import engine as engines
from mitr.export.engine import OnnxEngine, session
from mitr.export.network import OnnxNetwork, onnx_network
from mitr.media.reading import Reading, Track
from mitr.media.words.captions import Transcript
from mitr.prediction.moments import moments_of, parts_of
from mitr.runs.run import Run

ODD = ["", "  ", "Grüße, it's GREAT!!", "你好 world", "a" * 300, "[SEP] well [UNK] ☃", "word " * 40, "tab\tand\nline"]


@pytest.fixture(scope="module")
def exported(words_run: Run) -> OnnxNetwork:
    return onnx_network(words_run, threads=1)


def samples_of(data: Dataset, split: str) -> list[Sample]:
    """A split as samples with all that extraction would give."""
    found = []
    for row in data.indices(split).tolist():
        features = {m: np.array(data.features(m, row)) for m, about in data.info.modalities.items() if about.dim}
        there = {m: np.array(data.available(m, row)) for m in features}
        found.append(Sample(data.ids[row], split, None, data.raw_text[row], features, there))
    return found


def as_the_run(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Two tables of predictions agree."""
    pd.testing.assert_frame_equal(ours, theirs, rtol=0, atol=1e-4)


def test_predictions_at_all_rates(words_run: Run, exported: OnnxNetwork, small_text: Dataset) -> None:
    network = words_run.load_network()
    tables = [
        predict_at_rates(net, words_run.examples(small_text, "test", net), (0.0, 0.4, 1.0), batch_size=5)
        for net in (exported, network)
    ]
    as_the_run(*tables)
    nothing = tables[0][tables[0]["rate"] == 1.0]
    assert nothing["all_missing"].all()
    assert nothing["prediction"].tolist() == [network.prior.item()] * len(nothing)
    assert tables[0]["prediction"].std() > 0.01


def test_explanations(words_run: Run, exported: OnnxNetwork, small_text: Dataset) -> None:
    network = words_run.load_network()
    as_the_run(*(shapley(net, words_run.examples(small_text, "test", net)) for net in (exported, network)))


def test_moments_of_a_clip(words_run: Run, exported: OnnxNetwork) -> None:
    values = np.random.default_rng(0).standard_normal((20, 12)).astype(np.float32)
    tracks = {"audio": Track(values, np.ones(20, bool), 10.0, (), ())}
    words = Transcript("what a wonderful film", (), (), "given")
    reading = Reading(Path("clip.mp4"), "", 2.0, tracks, {"vision": "no video stream"}, words)
    sample = Sample("clip", "test", None, reading.text, {"audio": tracks["audio"].values})
    facts = words_run.info.network.modalities
    about = {m: Modality("raw") if m == "text" else Modality("features", facts[m].dim) for m in facts}
    data = HeldDataset([sample], DatasetInfo("clip", (-3, 3), about, Source("clip", "clip")))
    found = []
    for net in (exported, words_run.load_network()):
        parts = parts_of(net, reading)
        conditions = [COMPLETE, *(part.condition() for part in parts)]
        whole, *rest = predict_under(net, words_run.examples(data, "test", net), conditions)["prediction"]
        found.append({moment[:3]: moment.change for moment in moments_of(parts, whole, rest, shown=9)})
    assert len(found[0]) > 2
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_words_become_the_same_tokens(words_run: Run, exported: OnnxNetwork) -> None:
    theirs = words_run.load_network().text
    assert exported.text is not None
    assert theirs is not None
    ours, cut = exported.text.tokenise(ODD)
    expected, expected_cut = theirs.tokenise(ODD)
    assert [ids.tolist() for ids in ours] == [ids.tolist() for ids in expected]
    assert {ids.dtype for ids in ours} == {np.dtype(np.int32)}
    assert cut == expected_cut == 1
    for text in ODD[2:]:
        assert exported.text.spans(text) == theirs.spans(text)
    for name in ("dim", "unknown", "cls", "sep", "max_tokens", "vocabulary_size"):
        assert getattr(exported.text, name) == getattr(theirs, name)


def test_a_text_that_was_read_is_not_read_again(
    words_run: Run, small_text: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = onnx_network(words_run, threads=1)
    read: list[int] = []
    states = OnnxEngine.states

    def counted(self: OnnxEngine, text: engines.Part) -> np.ndarray:
        read.append(len(text.values))
        return states(self, text)

    monkeypatch.setattr(OnnxEngine, "states", counted)
    examples = words_run.examples(small_text, "test", network)
    first = predict_under(network, examples, [COMPLETE])
    texts = {ids.tobytes() for ids in examples.tokens or [] if len(ids)}
    assert sum(read) == len(texts)
    as_the_run(predict_under(network, examples, [COMPLETE], batch_size=3), first)
    assert sum(read) == len(texts)
    monkeypatch.setattr("mitr.export.network.KEPT_BYTES", 1)
    forgetful = onnx_network(words_run, threads=1)
    as_the_run(predict_under(forgetful, examples, [COMPLETE]), first)
    assert forgetful.text is not None
    assert not forgetful.text._kept


def test_the_engine_answers_about_samples(words_run: Run, small_text: Dataset) -> None:
    network = words_run.load_network()
    table = predict_under(network, words_run.examples(small_text, "test", network), [COMPLETE])
    engine = OnnxEngine(words_run.folder / "onnx", threads=1)
    samples = samples_of(small_text, "test")
    answers = engine.predict(samples, batch_size=5)
    np.testing.assert_allclose(answers.prediction, table["prediction"], rtol=0, atol=1e-4)
    assert answers.all_missing.tolist() == table["all_missing"].tolist()
    assert answers.probabilities is None
    nothing = engine.predict([Sample("nothing", "test", None)])
    assert nothing.all_missing.tolist() == [True]
    assert nothing.prediction.tolist() == [network.prior.item()]
    wrong = Sample("wrong", "test", None, "words", {"audio": np.zeros((4, 5), np.float32)})
    with pytest.raises(MitrError, match=r"sample 'wrong': audio has the shape \(4, 5\); .* takes \(steps, 12\)"):
        engine.predict([wrong])
    assert engine.predict([]).prediction.shape == (0,)


def test_the_engine_takes_token_ids_as_well(words_run: Run) -> None:
    engine = OnnxEngine(words_run.folder / "onnx", threads=1)
    texts = ["what a dull film", "word " * 40]
    assert engine.tokens is not None
    whole = [np.array([101, *[2773] * 40, 102], np.int32)]  # to be cut
    ids = [*engine.tokens.ids(texts[:1])[0], *whole]
    told = engine.predict([Sample(str(i), "test", None, text) for i, text in enumerate(texts)])
    given = engine.predict([Sample(str(i), "test", None, "", {"text": own}) for i, own in enumerate(ids)])
    assert told.prediction.tolist() == given.prediction.tolist()
    states = Sample("states", "test", None, "", {"text": np.zeros((3, 32), np.float32)})
    with pytest.raises(MitrError, match=r"sample 'states': text has the shape \(3, 32\); .* takes \(steps\)"):
        engine.predict([states])


def test_classes_have_probabilities(classes_run: Run, emotions: Dataset) -> None:
    network = classes_run.load_network()
    table = predict_under(network, classes_run.examples(emotions, "test", network), [COMPLETE])
    as_the_run(
        predict_under(onnx_network(classes_run), classes_run.examples(emotions, "test", network), [COMPLETE]), table
    )
    answers = OnnxEngine(classes_run.folder / "onnx").predict(samples_of(emotions, "test"), batch_size=7)
    columns = [f"probability_{name}" for name in classes_run.info.network.classes]
    assert answers.probabilities is not None
    np.testing.assert_allclose(answers.probabilities, table[columns], rtol=0, atol=1e-4)
    assert answers.prediction.tolist() == table["prediction"].tolist()
    none = OnnxEngine(classes_run.folder / "onnx").predict([]).probabilities
    assert none is not None
    assert none.shape == (0, len(columns))


def readme_example(folder: Path) -> str:
    found = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def run_alone(code: str, folder: Path) -> str:
    """Run Python in a folder where neither mitr nor PyTorch can be imported."""
    blocked = "import sys\nfor name in ('torch', 'transformers', 'mitr', 'onnx'): sys.modules[name] = None\n"
    done = subprocess.run(
        [sys.executable, "-c", blocked + code], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_answers_without_mitr(words_run: Run, tmp_path: Path) -> None:
    shutil.copytree(words_run.folder / "onnx", tmp_path / "server")
    code = readme_example(tmp_path / "server")
    assert len([line for line in code.splitlines() if line.strip()]) <= 22
    said = run_alone(code, tmp_path / "server")
    sample = Sample(
        "x",
        "test",
        None,
        "what was said",
        {m: np.zeros((20, d), np.float32) for m, d in (("audio", 12), ("vision", 16))},
    )
    wanted = OnnxEngine(words_run.folder / "onnx").predict([sample]).prediction[0]
    assert re.match(r"\[(-?[\d.]+)\] \[False\]", said)
    assert float(re.findall(r"-?[\d.]+", said)[0]) == pytest.approx(wanted, abs=1e-5)


def test_the_readme_of_classes_answers_too(classes_run: Run) -> None:
    said = run_alone(readme_example(classes_run.folder / "onnx"), classes_run.folder / "onnx")
    assert len(re.findall(r"-?\d\.\d+", said)) == 4
    assert "logits of the classes angry, calm, happy, sad" in (classes_run.folder / "onnx" / "README.md").read_text()


def test_loading_needs_no_transformers(words_run: Run) -> None:
    code = f"""
import sys
from mitr.export.engine import OnnxEngine
OnnxEngine({str(words_run.folder / "onnx")!r})
assert "torch" not in sys.modules
from mitr.export.network import onnx_network
onnx_network({str(words_run.folder)!r})
assert not [name for name in sys.modules if name.startswith("transformers.models.")]
import os
print(os.environ["ORT_DISABLE_TELEMETRY"])
"""
    own = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=own, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1"]


def test_a_run_without_an_export_says_how_to_make_one(small_text: Dataset, moved: Run) -> None:
    shutil.rmtree(moved.folder / "onnx")
    with pytest.raises(
        MitrError, match=rf"has no ONNX export yet: make it with `mitr export {re.escape(str(moved.folder))}`"
    ):
        onnx_network(moved)


def test_an_export_of_other_weights_is_refused(moved: Run) -> None:
    weights = moved.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(MitrError, match=r"exported from other weights .* --overwrite"):
        onnx_network(moved)


@pytest.mark.parametrize("name", ["model.onnx", "text.onnx", "tokenizer.json", "normalization.npz", "onnx.json"])
@pytest.mark.parametrize("how", ["gone", "cut"])
def test_a_damaged_export_is_named(moved: Run, name: str, how: str) -> None:
    path = moved.folder / "onnx" / name
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(MitrError, match=rf"{re.escape(name)}|has no ONNX export yet"):
        onnx_network(moved)


def test_another_version_of_the_folder_is_refused(moved: Run) -> None:
    path = moved.folder / "onnx" / "onnx.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(MitrError, match="is not of this version; export the run again"):
        OnnxEngine(moved.folder / "onnx")


def test_an_export_does_not_learn(exported: OnnxNetwork, words_run: Run, small_text: Dataset) -> None:
    examples: Examples = words_run.examples(small_text, "test", exported)
    view = examples.collate([examples[0]]).view
    with pytest.raises(MitrError, match="answers and does not learn"):
        exported(view, view)


def test_without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MitrError, match=r"needs the package onnxruntime: pip install 'mitr\[onnx\]'"):
        session(Path("model.onnx"))


def test_answers_do_not_depend_on_the_batch(words_run: Run, small_text: Dataset) -> None:
    engine = OnnxEngine(words_run.folder / "onnx", threads=1)
    samples = samples_of(small_text, "valid")
    alone = np.concatenate([engine.predict([sample]).prediction for sample in samples])
    np.testing.assert_allclose(engine.predict(samples).prediction, alone, rtol=0, atol=1e-5)
    assert torch.is_grad_enabled()
