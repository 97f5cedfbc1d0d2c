"""The report of a benchmark says what its tables hold, escapes what users called things, and marks the best."""

from pathlib import Path

import pandas as pd
import pytest

from mitr.bench.bins import by_label_bin
from mitr.bench.compare import compare
from mitr.data.scale import Scale
from mitr.evaluation.summary import OBSERVED, summarise
from mitr.evaluation.table import tidy
from mitr.report.plan import Findings, shown_keys, write_plan_report
from report.made import over_seeds

MOSI = Scale.of((-3, 3))
LABELS = [-3.0, -1.0, 0.0, 1.0, 2.0, 3.0]
SHIFT = {"mitr-dnet": 0.5, "my <b>model</b> $x_1": 0.25, "mean": 1.0}  # every prediction is off by this much


def predictions(model: str, seed: int) -> pd.DataFrame:
    off = SHIFT[model] + 0.1 * seed
    about = {"label": LABELS, "prediction": [label - off for label in LABELS], "all_missing": False}
    about |= dict.fromkeys(OBSERVED, 1.0)
    ids = [f"c{i}" for i in range(len(LABELS))]
    parts = [pd.DataFrame({"id": ids, "condition": f"rate-{r}", "axis": "rate", "rate": r} | about) for r in (0.0, 1.0)]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def found() -> Findings:
    tables = {model: {seed: predictions(model, seed) for seed in (0, 1)} for model in SHIFT}
    about = {"data": "d", "protocol": "auilc", "training": "one-model"}
    kinds = [(model, seed, table) for model, seeds in tables.items() for seed, table in seeds.items()]
    summaries = [(m, s, summarise(t, protocol="auilc", scale=MOSI, resamples=5)) for m, s, t in kinds]
    results = pd.concat([tidy(x, data="d", model=m, seed=s, run=f"{m}{s}") for m, s, x in summaries], ignore_index=True)
    bins = pd.concat([by_label_bin(t, MOSI).assign(model=m, seed=s, **about) for m, s, t in kinds], ignore_index=True)
    options = {"protocol": "auilc", "training": "one-model", "scale": MOSI, "reference": "mitr-dnet"}
    cost = {"parameters": 1234, "train_seconds": 2.0, "milliseconds_per_sample": 0.5, "peak_mb": 100.0}
    jobs = [{"key": f"{m}{s}", "model": m, "status": "ok"} | cost for m, s, _ in kinds]
    jobs.append({"key": "broken", "model": "wild", "status": "failed", "error": "the loss is <nan>"})
    coverage = pd.DataFrame({"condition": ["rate-0.0", "rate-1.0"], "coverage": [0.9, 0.85], "width": [2.0, 4.0]})
    coverage = coverage.assign(model="mean", protocol="auilc", training="one-model")
    shapley = pd.DataFrame({"model": "mean", "modality": ["text", "audio"], "mean_absolute": [0.3, 0.1]})
    shapley = shapley.assign(share=[0.75, 0.25])
    return Findings(results, jobs, compare(tables, results, **options), bins, coverage, shapley)


@pytest.fixture(scope="module")
def folder(found: Findings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("report")
    write_plan_report(place, found, title="A & B", facts={"Data": "d"}, warnings=["careful"], family="mosi")
    return place


def test_everything_is_written(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {"report.html", "tables.md", "tables.tex", "auilc-rate.png", "auilc-rate.svg"}
    assert (folder / "auilc-rate.svg").read_text().rstrip().endswith("</svg>")


def test_the_table_has_the_lowest_mae_first_and_in_bold(folder: Path) -> None:
    lines = (folder / "tables.md").read_text().splitlines()
    start = lines.index("## A auilc") + 4
    names = [line.split("|")[1].strip() for line in lines[start : start + 3]]
    assert names == [r"my \<b>model\</b> $x\_1", "mitr-dnet", "mean"]
    # off by .25 and by .35: the area over rates 0 to 1 is their mean .3, with a standard deviation of .0707
    assert lines[start].split("|")[2].strip().startswith("**0.300** ± 0.071 [")
    assert "– reference" in lines[start + 1]
    assert "−0.250" in lines[start]


def test_a_label_bin_says_how_far_off_which_way(folder: Path) -> None:
    text = (folder / "tables.md").read_text()
    part = text[text.index("## Error by label") :]
    assert "| −3 (n 1) | −1 (n 1) |" in part.replace("Model ", "")
    assert "| mean | 1.050 bias −1.05 |" in part


def test_the_page_escapes_names_and_names_failures(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert "my &lt;b&gt;model&lt;/b&gt; $x_1" in page
    assert "<b>model</b>" not in page
    assert "the loss is &lt;nan&gt;" in page
    for words in ("careful", "A &amp; B", "Prediction intervals", "What each modality is worth", "1,234", "lowest MAE"):
        assert words in page


def test_coverage_and_shapley_are_shares_in_per_cent(folder: Path) -> None:
    text = (folder / "tables.md").read_text()
    assert "| mean | A auilc | 87.5 | 85.0 rate-1.0 | 90.0 rate-0.0 | 2.00 rate-0.0 | 4.00 rate-1.0 |" in text
    assert "| mean | 0.300 75 % | 0.100 25 % |" in text


def test_mae_and_corr_come_first(found: Findings) -> None:
    assert shown_keys(found.results)[:2] == ["mae", "corr"]


def test_one_model_has_its_spread_and_its_curves(tmp_path: Path, found: Findings) -> None:
    one = {("auilc", "one-model"): over_seeds((1, 2))}
    jobs = [job for job in found.jobs if job["model"] == "mean"]
    path = write_plan_report(
        tmp_path, Findings(found.results, jobs, aggregates=one), title="t", facts={}, family="mosi", synthetic=True
    )
    assert {p.name for p in tmp_path.iterdir()} == {
        "report.html", "tables.md", "tables.tex", "robustness.png", "observed.png",
    }  # fmt: skip
    page = path.read_text()
    for words in ("SYNTHETIC DATA", "A auilc", "Each seed", "Over all missing rates", "What it costs"):
        assert words in page
    mae = over_seeds((1, 2))["mean"]["metrics"]["mae"]
    assert "| MAE ↓ | " in (tmp_path / "tables.md").read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert f"{mae['mean']:.3f} ± {mae['std']:.3f}" in (tmp_path / "tables.md").read_text()


def test_pictures_of_one_model_under_several_protocols_keep_apart(tmp_path: Path, found: Findings) -> None:
    both = {("auilc", "one-model"): over_seeds((1, 2)), ("auilc", "per-rate"): over_seeds((1, 2))}
    write_plan_report(
        tmp_path, Findings(found.results, found.jobs, aggregates=both), title="t", facts={}, family="mosi"
    )
    assert {"auilc-one-model-robustness.png", "auilc-per-rate-robustness.png"} <= {p.name for p in tmp_path.iterdir()}
    assert "A auilc, one model per rate" in (tmp_path / "report.html").read_text()
