"""Every published row is a sound file; a faulty one is refused with all of its faults."""

import json
import re
from pathlib import Path

import pytest

from mitr.bench.experiments import (
    LARGEST,
    PUBLISHED,
    experiments_table,
    find_experiment,
    list_experiments,
    read_experiment,
)
from mitr.data.scale import Scale
from mitr.data.verifying import KNOWN_SHA256
from mitr.errors import MitrError
from mitr.evaluation.metrics import metric_keys
from mitr.models.registry import MODELS, build_model

ROOT = Path(__file__).parents[2]
FILES = list_experiments(ROOT / PUBLISHED)
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
    build_model({"text": 16, "audio": 8, "vision": 8}, row.config.model, row.config.loss)


def test_all_rows_are_there() -> None:
    names = {path.stem for path in FILES}
    rivals = ("tfn", "mult", "tfr-net", "emt-dlfr", "mitr-dnet")
    table1 = {f"wang2025_{m}_{d}_{p}" for m in rivals for d in ("mosi", "sims") for p in ("auilc", "complete")}
    table1 |= {"wang2025_misa_mosi_auilc", "wang2025_misa_sims_auilc"}
    mosei = {f"sun2023_{m}_mosei_auilc" for m in (*rivals[:4], "misa", "lmf", "self-mm")}
    mean = {f"zhang2024_{m}_{d}_mean" for m in ("misa", "self-mm", "tfr-net") for d in ("mosi", "mosei", "sims")}
    assert names == table1 | mosei | mean


def test_table_one_agrees_with_the_results_page() -> None:
    known = json.loads((ROOT / "docs" / "results" / "published.json").read_text())["auilc"]
    row = read_experiment(find_experiment("wang2025_mitr-dnet_mosi_auilc", ROOT / PUBLISHED))
    assert {key: row.published[key] for key in known} == known


@pytest.mark.parametrize(
    ("name", "key", "number"),
    [
        ("wang2025_tfn_mosi_complete", "acc2_has0", 0.7711),  # 77.11/78.56: has-zero first
        ("wang2025_emt-dlfr_sims_auilc", "acc3", 0.316),
        ("sun2023_emt-dlfr_mosei_auilc", "f1_non0", 0.759),  # 75.2/75.9
        ("zhang2024_misa_mosi_mean", "acc2_has0", 0.7033),  # 71.49 / 70.33: non-zero first
        ("zhang2024_self-mm_mosei_mean", "f1_non0", 0.6892),  # 68.92 / 72.31
        ("zhang2024_tfr-net_sims_mean", "mae", 0.661),
    ],
)
def test_numbers_stand_under_their_own_metric(name: str, key: str, number: float) -> None:
    assert read_experiment(find_experiment(name, ROOT / PUBLISHED)).published[key] == number


def test_the_page_has_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    monkeypatch.chdir(ROOT)
    table = experiments_table()
    assert len(table.splitlines()) == len(FILES) + 2
    assert page.endswith(table + "\n"), "render the table again, as the comment above it says"


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
        ("a: [1\n", "is not YAML"),
        ("[" * 5000, "is not YAML"),
        ("title: " + "9" * 5000, "is not YAML"),
        ("title: 2024-99-99", "is not YAML"),
        ("title: &a [x, x]\nsource: *a", "aliases"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
        ("# " + "x" * LARGEST, "is larger than 64 KiB"),
    ],
)
def test_what_is_no_experiment(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(MitrError, match=message):
        read_experiment(written(tmp_path, text))


def test_found_by_path_or_bare_name(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    assert find_experiment(str(path)) == path
    for name in ("row", "row.yaml"):
        assert find_experiment(name, tmp_path) == path
    with pytest.raises(MitrError, match=r"there is no experiment 'column'(.|\n)*  row$"):
        find_experiment("column", tmp_path)
    with pytest.raises(MitrError, match=r"nothing$"):
        find_experiment("column", tmp_path / "elsewhere")
    with pytest.raises(MitrError, match="does not exist"):
        read_experiment(tmp_path / "column.yaml")
