"""Every published row is a sound file; a faulty one is refused with all of its faults."""

import re
from pathlib import Path

import pytest

from mitr.bench.catalogue import list_experiments
from mitr.bench.experiments import read_experiment
from mitr.data.scale import Scale
from mitr.data.verifying import KNOWN_SHA256
from mitr.errors import MitrError
from mitr.evaluation.metrics import metric_keys
from mitr.models.registry import MODELS, build_model
from mitr.plain_yaml import LARGEST

ROOT = Path(__file__).parents[2]
FILES = list_experiments()
NAMES = {"tfn", "lmf", "mult", "misa", "self-mm", "tfr-net", "emt-dlfr", "mitr-dnet", "mitr-dnet-plus", "mean", "ridge"}
SETS = {"CMU-MOSI": ("MOSI", (-3, 3)), "CMU-MOSEI": ("MOSEI", (-3, 3)), "CH-SIMS": ("SIMS", (-1, 1))}
GOOD = """
title: A model on a set
source: Someone, Table 1
url: https://example.org/paper
data: {name: A set, file: a.pkl, sha256: null}
protocol: mean
training: one-model
model: mitr-dnet
seeds: [1, 2]
config:
  text: {encoder: bert-base-uncased}
  train: {lr: 5.0e-5, patience: 3}
published: {mae: 1, corr: 0.5}
tolerance: {mae: 0.1, corr: 0}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "row.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_published_row_is_sound(path: Path) -> None:
    row = read_experiment(path)
    short, ends = SETS[row.data.name]
    paper, model, data, protocol = row.name.split("_")
    assert (model, data, protocol) == (row.model, short.lower(), row.protocol)
    assert row.model in NAMES
    assert row.config.model.name == row.model
    assert KNOWN_SHA256[str(row.data.sha256)] == f"{short} {row.data.file.removesuffix('.pkl')}"
    assert row.config.text.encoder == f"bert-base-{'chinese' if short == 'SIMS' else 'uncased'}"
    assert not row.config.text.allow_download
    family = "sims" if short == "SIMS" else "mosi"
    assert set(row.published) <= set(metric_keys(Scale.of(ends, family=family)))
    width = 0.5 if row.protocol == "auilc" and short == "SIMS" else 1.0
    for key, number in row.published.items():
        low, high = {"mae": (0.15, 1.5), "corr": (0.1, 0.9)}.get(key, (0.2, 0.95))
        assert low * (1 if key == "mae" else width) <= number <= high * width, key
        assert 0 < row.tolerance[key] < 0.45, key
    assert {"auilc": "per-rate", "mean": "one-model", "complete": "one-model"}[row.protocol] == row.training
    assert row.config.missing.schedule == {"auilc": "fixed", "mean": "random-rate", "complete": "none"}[row.protocol]
    year = {"wang2025": "2501.05474", "sun2023": "2208.07589", "zhang2024": "2409.20012"}[paper]
    assert row.url == f"https://arxiv.org/abs/{year}"
    text = path.read_text(encoding="utf-8")
    assert re.search(r"^tolerance:\n +# \w", text, flags=re.MULTILINE), "a comment says where the tolerance comes from"


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_the_options_of_a_published_row_are_its_models(path: Path) -> None:
    row = read_experiment(path)
    if row.model not in MODELS:
        pytest.skip(f"{row.model} is not in the registry")
    build_model(row.model, {"text": 16, "audio": 8, "vision": 8}, row.config.model.options)


def test_the_page_shows_a_file_that_can_be_read(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    assert read_experiment(written(tmp_path, shown)).published["acc5"] == 0.344


def test_a_good_file(tmp_path: Path) -> None:
    row = read_experiment(written(tmp_path, GOOD))
    assert (row.name, row.model, row.seeds, row.data.sha256) == ("row", "mitr-dnet", (1, 2), None)
    assert (row.config.train.lr, row.config.train.patience) == (5e-5, 3)
    assert row.published == {"mae": 1.0, "corr": 0.5}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title: A model on a set", "title: ''", "title: a line of text is needed"),
        ("https://example.org", "ftp://example.org", "url: an address that begins with https://"),
        ("protocol: mean", "protocol: median", "protocol: one of auilc, mean, complete is needed, not 'median'"),
        ("seeds: [1, 2]", "seeds: [1, 1]", "seeds: [1, 1] repeats a seed"),
        ("seeds: [1, 2]", "seeds: [1, true]", "seeds: a list of whole numbers"),
        ("seeds: [1, 2]", "seeds: []", "seeds: a list of whole numbers"),
        ("sha256: null", "sha256: 12ab", "data: sha256: 64 small hexadecimal digits or null"),
        ("sha256: null", "sha512: null", "data: the keys name, file, sha256 are needed"),
        ("mae: 1, corr", "mae: 1, cor", "no metric is called 'cor'"),
        ("mae: 1, ", "mae: .nan, ", "published: mae: a number of at least -1 is needed"),
        ("mae: 0.1, ", "mae: -0.1, ", "tolerance: mae: a number of at least 0 is needed"),
        ("mae: 0.1, corr: 0}", "mae: 0.1}", "tolerance: needs exactly the metrics of published"),
        ("patience: 3", "patienc: 3", "config: "),
        ("patience: 3", "precision: no", "config: "),  # which is false in YAML
        ("patience: 3", "batch_size: 0", "config: train.batch_size is 0"),
        ("{lr: 5.0e-5, patience: 3}", "other.yaml", "config: options are needed in train"),
        ("patience: 3", "patience: null", "config: "),
        ("  train:", "  training:", "config: there is no section training"),
        ("  train:", "  model: {name: misa}\n  train:", "config: model.name: the key `model` names the model"),
        ("model: mitr-dnet\n", "", "model: missing"),
        ("title:", "titel: x\ntitle:", "titel: there is no such key"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(MitrError) as caught:
        read_experiment(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    text = (
        GOOD.replace("seeds: [1, 2]", "seeds: 1")
        .replace("protocol: mean", "protocol: 3")
        .replace("lr: 5.0e-5", "lr: -1")
    )
    with pytest.raises(MitrError) as caught:
        read_experiment(written(tmp_path, text))
    lines = [line.strip() for line in str(caught.value).splitlines()[1:]]
    assert [line.split(":")[0] for line in lines] == ["protocol", "seeds", "config"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no keys"),
        ("- a\n- b\n", "holds no keys"),
        ("a: [1\n", "cannot be read as YAML"),
        ("[" * 5000, "cannot be read as YAML"),
        ("title: " + "9" * 5000, "cannot be read as YAML"),
        ("title: 2024-99-99", "cannot be read as YAML"),
        ("title: &a [x, x]\nsource: *a", "aliases"),
        ("!!python/object/apply:os.system ['true']", "cannot be read as YAML"),
        ("# " + "x" * LARGEST, "is larger than 64 KiB"),
    ],
)
def test_what_is_no_experiment(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(MitrError, match=message):
        read_experiment(written(tmp_path, text))


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(MitrError, match="does not exist"):
        read_experiment(tmp_path / "column.yaml")
