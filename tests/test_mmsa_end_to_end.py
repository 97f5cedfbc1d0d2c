"""An MMSA-style pickle with token ids, all the way to a report: the case that most users bring."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from made import options
from mitr.api import train
from mitr.bench.evaluate import evaluate
from mitr.data.importing import import_dataset
from mitr.errors import MitrError
from mitr.text.encoder import TextEncoder

TEXTS = ["a really wonderful film", "it was awful and far too long", "well", "I loved every minute of it", "so boring"]


def mmsa_pickle(path: Path, minilm: TextEncoder, tokens: int = 12) -> Path:
    """Three splits in MMSA's layout: ids (N, 3, L), audio with NaN and a lost sample, vision with zero rows."""
    generator = np.random.default_rng(0)

    def split(name: str, samples: int) -> dict[str, object]:
        texts = [TEXTS[i % len(TEXTS)] for i in range(samples)]
        ids, _ = minilm.tokenise(texts)
        bert = np.zeros((samples, 3, tokens), np.float32)  # MMSA stores ids as floats
        for i, row in enumerate(ids):
            bert[i, 0, : len(row)] = row
            bert[i, 1, : len(row)] = 1
        audio = generator.normal(size=(samples, 9, 5))
        audio[0] = 0
        audio[1, 2, 3] = np.nan
        vision = generator.normal(size=(samples, 7, 4)).astype(np.float32)
        vision[:, 5:] = 0
        vision[2, 1] = 0
        return {
            "text_bert": bert,
            "audio": audio,
            "audio_lengths": [9] * samples,
            "vision": vision,
            "vision_lengths": [5] * samples,
            "regression_labels": generator.uniform(-3, 3, samples),
            "raw_text": np.array(texts, dtype=object),
            "id": [f"{name}$_${i}" for i in range(samples)],
        }

    path.write_bytes(pickle.dumps({"train": split("a", 20), "valid": split("b", 10), "test": split("c", 10)}))
    return path


def test_from_pickle_to_report(tmp_path: Path, minilm: TextEncoder) -> None:
    data = import_dataset(mmsa_pickle(tmp_path / "mosi.pkl", minilm), tmp_path / "data", label_range=(-3, 3))
    text = data.info.modalities["text"]
    assert (text.kind, text.padded_length, text.special_tokens) == ("ids", 12, True)
    assert data.info.cleaning["audio"].absent_samples == 3
    assert data.info.cleaning["audio"].nonfinite_values == 3
    assert data.info.cleaning["vision"].missing_steps == 3
    run = train(data, tmp_path / "run", options(1), quiet=True)
    result = evaluate(run, data, out=tmp_path / "report", protocol="auilc", resamples=10, quiet=True)
    first = result.predictions[result.predictions["rate"] == 0.0].iloc[0]
    assert first["observed_audio"] == 0.0
    assert first["observed_text"] == 1.0
    assert not first["all_missing"]
    last = result.predictions[result.predictions["rate"] == 1.0]
    assert last["all_missing"].all()


def test_chinese_ids_are_not_read_by_an_english_encoder(tmp_path: Path, minilm: TextEncoder) -> None:
    path = mmsa_pickle(tmp_path / "sims.pkl", minilm)
    data = import_dataset(path, tmp_path / "data", label_range=(-3, 3), tokenizer="bert-base-chinese")
    with pytest.raises(MitrError, match=r"token ids are of bert-base-chinese \(21128 tokens\)"):
        train(data, tmp_path / "run", options(1), quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_evaluated_on_ids_of_another_vocabulary(tmp_path: Path, minilm: TextEncoder) -> None:
    path = mmsa_pickle(tmp_path / "mosi.pkl", minilm)
    run = train(import_dataset(path, tmp_path / "a", label_range=(-3, 3)), tmp_path / "run", options(1), quiet=True)
    other = import_dataset(path, tmp_path / "b", label_range=(-3, 3), tokenizer="bert-base-chinese")
    with pytest.raises(MitrError, match=r"token ids are of bert-base-chinese"):
        evaluate(run, other, quiet=True)
