"""Pages hold the numbers of their inputs, stand alone, and let no text become markup."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from mitr.report.one_model import run_method, run_sections, seeds_method, seeds_sections, subtitle
from mitr.report.page import Report, write_page
from report.made import history, of_classes, over_seeds, predictions, subsets, summary, summary_of_classes

NASTY = "<script>alert('x')</script> & \"quoted\""


class Page(HTMLParser):
    """Tags with their attributes, the visible text, and whether all tags close."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data


def read(path: Path) -> Page:
    page = Page(path)
    assert not page.open
    names = [tag for tag, _ in page.tags]
    assert not {"script", "link", "iframe", "object", "b-evil"} & set(names)
    for _, attributes in page.tags:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            assert attributes.get(name, "data:").startswith("data:")
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"url\(|@import", path.read_text(encoding="utf-8"))
    return page


def write_run(
    folder: Path, value: dict, table: pd.DataFrame, title: str = "t", about: dict | None = None, **more
) -> Path:
    """The report of one run."""
    report = Report(
        title, subtitle(value), run_sections(value, table, **more), run_method(value), value["family"],
        list(value["by_rate"][0]["metrics"]), **(about or {}),
    )  # fmt: skip
    return write_page(folder, report)


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    about = {"facts": {"Data": NASTY, NASTY: "{{ 7 * 7 }}"}, "warnings": [NASTY, "second"], "synthetic": True}
    return write_run(folder, summary(), predictions(), f"Made {NASTY}", about, history=history())


def test_files(evaluation: Path) -> None:
    names = {path.name for path in evaluation.parent.iterdir()}
    assert names == {"report.html", "robustness.png", "observed.png", "predictions.png", "training.png"}
    page = read(evaluation)
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 4
    assert all(attributes["alt"] for attributes in pictures)
    inside = {base64.b64decode(attributes["src"].removeprefix("data:image/png;base64,")) for attributes in pictures}
    assert inside == {path.read_bytes() for path in evaluation.parent.glob("*.png")}


def test_texts_are_escaped(evaluation: Path) -> None:
    page = read(evaluation)
    assert page.text.count(NASTY) == 5  # page title, heading, fact, fact's name, warning
    assert "{{ 7 * 7 }}" in page.text


def test_synthetic_banner_and_warnings(evaluation: Path) -> None:
    page = read(evaluation)
    assert "SYNTHETIC DATA" in page.text
    assert page.text.index("SYNTHETIC DATA") < page.text.index("Made <script>", 200)
    assert "2 warnings" in page.text


def test_numbers_are_those_of_the_summary(evaluation: Path) -> None:
    page, value = read(evaluation), summary()
    for entry in value["by_rate"]:
        mae = entry["metrics"]["mae"]
        assert f"{mae['value']:.3f}" in page.text
        assert f"[{mae['low']:.3f}, {mae['high']:.3f}]" in page.text
        assert f"{100 * entry['metrics']['acc7']['value']:.2f}" in page.text
    area = value["auilc"]["acc2_non0"]
    assert f"{100 * area['value']:.2f}" in page.text
    assert f"[{100 * area['divided_low']:.1f}, {100 * area['divided_high']:.1f}]" in page.text
    assert f"{value['mean']['metrics']['mae']['value']:.3f}" in page.text
    assert "Mean over missing rates 0–0.5" in page.text
    assert "100 % at rate 1" in page.text  # answered with the prior
    assert "Corr is undefined at rate 1, where every answer is the same; here it counts as 0." in page.text
    assert "not divided by the range" in page.text


def test_a_modality_that_nobody_has_needs_no_column(evaluation: Path) -> None:
    assert "Observed % text / audio" in read(evaluation).text
    assert "text / audio / vision" not in read(evaluation).text


def test_one_rate_without_history(tmp_path: Path) -> None:
    table = predictions(rates=(0.0,))
    path = write_run(tmp_path / "new", summary(table), table)
    assert {path.name for path in path.parent.iterdir()} == {"report.html", "predictions.png"}
    page = read(path)
    assert "SYNTHETIC" not in page.text
    assert "AUILC" not in page.text
    assert "warning" not in page.text


def test_classes(tmp_path: Path) -> None:
    value, names = summary_of_classes(), (NASTY, "calm", "$x_1$")
    path = write_run(tmp_path, value, of_classes(), classes=names)
    page = read(path)
    assert f"0 {NASTY}, 1 calm, 2 $x_1$." in page.text
    assert "labelled with 3 classes" in page.text
    found = value["by_rate"][0]["metrics"]
    assert f"{100 * found['accuracy']['value']:.1f} % of the answers are right" in page.text
    assert f"{100 * found['ua']['value']:.1f} % on average over the classes" in page.text
    assert f"{100 * found['f1_macro']['value']:.2f}" in page.text
    for word in ("MAE", "Corr", "Acc-2", "Neutral", "label units", "dashed line the prediction"):
        assert word not in page.text


def test_nothing_defined_still_makes_a_page(tmp_path: Path) -> None:
    table = predictions(rates=(1.0,), n=1).assign(label=0.0)
    page = read(write_run(tmp_path, summary(table), table))
    assert "their correlation with the labels is undefined" in page.text
    assert "None" not in page.text
    assert "nan" not in page.text


@pytest.mark.parametrize("seeds", [(1,), (1, 2, 3)])
def test_robustness_report(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    value = over_seeds(seeds)
    keys = list(value["by_rate"][0]["metrics"])
    sections = seeds_sections(value)
    report = Report(NASTY, subtitle(value), sections, seeds_method(value), "mosi", keys, {"Data": "made"})
    path = write_page(tmp_path, report)
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "robustness.png", "observed.png"}
    page = read(path)
    mae = value["by_rate"][1]["metrics"]["mae"]
    assert f"{mae['mean']:.3f}" in page.text
    assert ("± " in page.text) == (len(seeds) > 1)
    assert ("One seed" in page.text) == (len(seeds) == 1)
    if len(seeds) > 1:
        assert f"± {mae['std']:.3f}" in page.text
    for index in range(len(seeds)):
        assert f"{value['mean']['metrics']['mae']['values'][index]:.3f}" in page.text
    assert "None" not in page.text


def test_conditions_without_a_rate_are_named(tmp_path: Path) -> None:
    table = subsets()
    value = summary(table)
    page = read(write_run(tmp_path, value, table))
    assert "protocol C2, combinations" in page.text
    for words in ("Every condition", "Under available=text,", "Averaged over 3 conditions", "available=text+audio"):
        assert words in page.text
    for words in ("AUILC", "issing rate", "None", "nan"):
        assert words not in page.text


def test_the_groups_of_the_intervals_are_named(tmp_path: Path) -> None:
    table = predictions()
    page = read(write_run(tmp_path, summary(table), table))
    assert "from 20 resamples of the 40 clips of the test samples." in page.text
    table["id"] = [f"v{int(name.removeprefix('clip')) % 12}$_${name}" for name in table["id"]]
    page = read(write_run(tmp_path, summary(table), table))
    assert "from 20 resamples of the 12 videos of the test samples: the clips of a video" in page.text
