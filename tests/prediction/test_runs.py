"""Runs of every kind answer, or say why they cannot: other features, classes, no calibration, an export."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from made import options
from made_talks import WORDS
from mitr.__main__ import main
from mitr.api import train
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.evaluation import calibrating
from mitr.evaluation.curves import Curves
from mitr.evaluation.predicting import predict_under
from mitr.evaluation.shapley import COMPLETE
from mitr.media.cache import Cache
from mitr.media.reading import read_clip
from mitr.media.words.captions import Transcript
from mitr.missing.masks import Mask
from mitr.missing.protocols import Condition
from mitr.prediction.answer import Prediction
from mitr.prediction.predictor import Predictor
from mitr.runs.run import Run


def test_a_run_without_text_says_that_words_change_nothing(clips: Path, talks_cache: Path, tmp_path: Path) -> None:
    from mitr.media.dataset.extracting import extract
    from mitr.media.options import FeatureConfig, MediaConfig

    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "Raw").symlink_to(clips / "Raw")
    table = pd.read_csv(clips / "label.csv").assign(text="")
    table.to_csv(tmp_path / "clips" / "label.csv", index=False)
    config = MediaConfig(features=FeatureConfig(vision="none"))
    data = extract(tmp_path / "clips", tmp_path / "data", config, jobs=1, cache=talks_cache, quiet=True).dataset
    silent = Predictor(train(data, tmp_path / "run", options(1), quiet=True), cache=Cache(talks_cache))
    file = clips / "Raw" / "video0" / "0.mp4"
    plain, told = silent.predict(file), silent.predict(file, text=WORDS)
    assert told.sentiment == plain.sentiment
    assert any("this run reads no text" in note for note in told.notes)
    assert not any("reads no text" in note for note in plain.notes)
    assert "text" not in told.missing
    with pytest.raises(MitrError, match="words alone cannot be answered: name a file"):
        silent.predict(None, text=WORDS)


def test_a_run_on_features_that_no_clip_can_give(small: Dataset, clip: Path, tmp_path: Path) -> None:
    run = train(small, tmp_path / "run", options(1), quiet=True)
    with pytest.raises(MitrError) as refused:
        Predictor(run)
    said = str(refused.value)
    for part in ("text (embeddings of width", "audio (features of width", "vision (features", "mitr extract CLIPS"):
        assert part in said
    assert "mitr evaluate" in said
    assert "--missing" not in said  # nothing would be left


def test_a_run_on_words_and_foreign_sound_answers_by_words(small_text: Dataset, clip: Path, tmp_path: Path) -> None:
    run = train(small_text, tmp_path / "run", options(1), quiet=True)
    with pytest.raises(MitrError, match=r"or leave them out with --missing audio,vision"):
        Predictor(run)
    answer = Predictor(run, missing=["audio", "vision"], cache=Cache(tmp_path / "cache")).predict(clip, text=WORDS)
    assert answer.observed["text"] == 1.0


def test_no_calibration_is_said(talks_run: Run, clip: Path, tmp_path: Path) -> None:
    shutil.copytree(talks_run.folder, tmp_path / "run")
    (tmp_path / "run" / "conformal.json").unlink()
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    about["data"]["folder"] = str(tmp_path / "gone")
    (tmp_path / "run" / "run.json").write_text(json.dumps(about))
    answer = Predictor(tmp_path / "run", cache=Cache(tmp_path / "cache")).predict(clip, text=WORDS)
    assert (answer.low, answer.high, answer.level) == (None, None, None)
    assert any("carries no calibration" in note for note in answer.notes)


def test_a_run_that_may_only_be_read_is_calibrated_each_time(
    talks_run: Run, clip: Path, whole: Prediction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(talks_run.folder, tmp_path / "run")
    (tmp_path / "run" / "conformal.json").unlink()

    def refused(path: Path, value: object) -> None:
        raise PermissionError(f"{path} may only be read")

    monkeypatch.setattr(calibrating, "write_json", refused)
    answer = Predictor(tmp_path / "run", cache=Cache(tmp_path / "cache")).predict(clip, text=WORDS)
    assert (answer.low, answer.high) == (whole.low, whole.high)
    assert not (tmp_path / "run" / "conformal.json").exists()


@pytest.mark.parametrize("damage", [{"level": "high"}, {"level": None}, {"intervals": {}}])
def test_damaged_intervals_are_named(talks_run: Run, tmp_path: Path, damage: dict[str, object]) -> None:
    shutil.copytree(talks_run.folder, tmp_path / "run")
    path = tmp_path / "run" / "conformal.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(MitrError, match=r"conformal\.json"):
        Predictor(tmp_path / "run")


def test_what_is_not_installed_is_said_before_the_first_clip(
    talks_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MITR_ASSETS", str(tmp_path))
    predictor = Predictor(talks_run, cache=Cache(tmp_path / "cache"))
    with pytest.raises(MitrError, match="mitr assets fetch"):
        predictor.ready()
    with pytest.raises(MitrError, match="mitr assets fetch"):
        predictor.predict(tmp_path / "any.mp4")
    assert predictor.predict(None, text=WORDS).observed["text"] == 1.0  # which takes none of it
    Predictor(talks_run, missing=["vision"]).ready()
    assert main(["predict", str(talks_run.folder), "a.mp4", "b.mp4"]) == 2
    assert capsys.readouterr().err.count("mitr assets fetch") == 1


def test_classes_have_probabilities(clips: Path, talks_cache: Path, assets: None, tmp_path: Path) -> None:
    from mitr.media.dataset.extracting import extract

    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "Raw").symlink_to(clips / "Raw")
    table = pd.read_csv(clips / "label.csv")
    table["label"] = np.where(table["label"] > 0, "glad", "sad")
    table.to_csv(tmp_path / "clips" / "label.csv", index=False)
    data = extract(tmp_path / "clips", tmp_path / "data", jobs=1, cache=talks_cache, quiet=True).dataset
    run = train(data, tmp_path / "run", options(1), quiet=True)
    answer = Predictor(run, cache=Cache(talks_cache)).predict(clips / "Raw" / "video0" / "0.mp4", explain=True)
    assert set(answer.probabilities) == {"glad", "sad"}
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.category == max(answer.probabilities, key=lambda name: answer.probabilities[name])
    assert answer.sentiment is None
    assert answer.low is None
    assert f" to the probability of {answer.category} (from the prior 0." in str(answer)
    file = clips / "Raw" / "video0" / "0.mp4"
    words = Transcript(answer.text, (), (), "x")
    part = Predictor(run, cache=Cache(talks_cache))
    reading = read_clip(file, part.recipes, cache=part.cache, transcript=words)
    first = next(m for m in answer.moments if m.start is not None)
    steps = {
        m: np.array([i for i in range(len(t.values)) if first.start <= (i + 0.5) / t.rate < first.stop])  # type: ignore
        for m, t in reading.tracks.items()
    }
    examples = part._examples([reading])
    masks = {m: np.ones((1, extent.steps), bool) for m, extent in examples.extents().items()}
    for m, own in steps.items():
        masks[m][0, own] = False
    hidden = Condition(
        "hidden",
        "x",
        None,
        lambda extents: {m: Mask(masks[m], np.zeros(1, bool)) for m in extents},
    )
    table = predict_under(part.network, examples, [COMPLETE, hidden])
    shares = table[f"probability_{answer.category}"]
    assert first.change == pytest.approx(shares[0] - shares[1], abs=1e-5)


def test_a_run_carries_on_without_its_data(talks_run: Run, clip: Path, whole: Prediction, tmp_path: Path) -> None:
    """Moved, with its data gone: the folder has all that an answer takes."""
    moved = tmp_path / "moved"
    shutil.copytree(talks_run.folder, moved)
    about = json.loads((moved / "run.json").read_text())
    about["data"]["folder"] = str(tmp_path / "gone")
    (moved / "run.json").write_text(json.dumps(about))
    answer = Predictor(moved, cache=Cache(tmp_path / "cache")).predict(clip, text=WORDS)
    assert (answer.sentiment, answer.low, answer.high) == (whole.sentiment, whole.low, whole.high)


def test_onnxruntime_answers_alike(
    talks_run: Run, clip: Path, whole: Prediction, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    shutil.copytree(talks_run.folder, tmp_path / "run")
    assert main(["export", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    words = ["predict", str(tmp_path / "run"), str(clip), "--text", WORDS, "--engine", "onnx", "--explain", "--json"]
    assert main([*words, "--cache", str(tmp_path / "cache")]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["sentiment"] == pytest.approx(whole.sentiment, abs=1e-4)
    assert (answer["low"], answer["high"]) == pytest.approx((whole.low, whole.high), abs=1e-4)
    assert answer["shapley"] == pytest.approx(whole.shapley, abs=1e-4)
    assert answer["moments"]


def test_the_intervals_of_an_older_version_answer(talks_run: Run, clip: Path, tmp_path: Path) -> None:
    shutil.copytree(talks_run.folder, tmp_path / "run")
    path = tmp_path / "run" / "conformal.json"
    older = Path(__file__).parents[1] / "evaluation" / "older" / "conformal_format1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"intervals": json.loads(older.read_text())}))
    before = path.read_bytes()
    predictor = Predictor(tmp_path / "run", missing=["vision", "audio"], cache=Cache(tmp_path / "cache"))
    answer = predictor.predict(None, text=WORDS)
    assert answer.sentiment is not None
    assert answer.high is not None
    assert answer.level == 0.9
    # the file has no group for text alone: `any`, with the observed shares of 1 and 0
    width = Curves.from_json(json.loads(older.read_text())).half_width(
        {"observed_text": np.ones(1), "observed_audio": np.zeros(1)}
    )
    assert answer.high == pytest.approx(min(answer.sentiment + width.item(), answer.label_range[1]), abs=1e-6)
    assert path.read_bytes() == before
