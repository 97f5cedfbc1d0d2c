"""The published rows that come with the package: which there are, their names, and that a wheel has them."""

import os
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import pytest

from mitr.__main__ import main
from mitr.bench.catalogue import (
    experiment_file,
    experiments_markdown,
    experiments_named,
    list_experiments,
    published_tables,
)
from mitr.errors import MitrError

ROOT = Path(__file__).parents[2]
FILES = list_experiments()


def names_of(name: str) -> list[str]:
    return [experiment.name for experiment in experiments_named(name)]


def test_all_rows_are_there() -> None:
    names = {path.stem for path in FILES}
    rivals = ("tfn", "mult", "tfr-net", "emt-dlfr", "mitr-dnet")
    table1 = {f"wang2025_{m}_{d}_{p}" for m in rivals for d in ("mosi", "sims") for p in ("auilc", "complete")}
    table1 |= {"wang2025_misa_mosi_auilc", "wang2025_misa_sims_auilc"}
    mosei = {f"sun2023_{m}_mosei_auilc" for m in (*rivals[:4], "misa", "lmf", "self-mm")}
    mean = {f"zhang2024_{m}_{d}_mean" for m in ("misa", "self-mm", "tfr-net") for d in ("mosi", "mosei", "sims")}
    assert names == table1 | mosei | mean


@pytest.mark.parametrize(
    ("name", "key", "number"),
    [
        ("wang2025_mitr-dnet_mosi_auilc", "acc2_has0", 0.696),
        ("wang2025_mitr-dnet_mosi_auilc", "acc2_non0", 0.703),
        ("wang2025_tfn_mosi_complete", "acc2_has0", 0.7711),  # 77.11/78.56: has-zero first
        ("wang2025_emt-dlfr_sims_auilc", "acc3", 0.316),
        ("sun2023_emt-dlfr_mosei_auilc", "f1_non0", 0.759),  # 75.2/75.9
        ("zhang2024_misa_mosi_mean", "acc2_has0", 0.7033),  # 71.49 / 70.33: non-zero first
        ("zhang2024_self-mm_mosei_mean", "f1_non0", 0.6892),  # 68.92 / 72.31
        ("zhang2024_tfr-net_sims_mean", "mae", 0.661),
    ],
)
def test_numbers_stand_under_their_own_metric(name: str, key: str, number: float) -> None:
    (row,) = experiments_named(name)
    assert row.published[key] == number


def test_the_page_has_the_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    table = experiments_markdown()
    assert len(table.splitlines()) == len(FILES) + 2
    assert page.endswith(table + "\n"), "render the table again, as the comment above it says"


def test_a_row_is_named_by_its_file_or_its_name(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(FILES[0].read_text(encoding="utf-8"), encoding="utf-8")
    assert experiment_file(str(path)) == path
    assert names_of(str(path)) == ["own"]
    for name in ("own", "own.yaml"):
        assert experiment_file(name, tmp_path) == path
        assert experiment_file(name) is None
    assert names_of("wang2025_tfn_mosi_auilc") == ["wang2025_tfn_mosi_auilc"]


@pytest.mark.parametrize(
    ("table", "count", "row"),
    [
        ("wang2025", 22, "wang2025_tfn_sims_complete"),
        ("wang2025_mosi", 11, "wang2025_misa_mosi_auilc"),
        ("wang2025_mosi_auilc", 6, "wang2025_misa_mosi_auilc"),
        ("wang2025_misa", 2, "wang2025_misa_sims_auilc"),
        ("wang2025_complete", 10, "wang2025_tfn_sims_complete"),
        ("sun2023", 7, "sun2023_lmf_mosei_auilc"),
        ("sun2023_lmf", 1, "sun2023_lmf_mosei_auilc"),
        ("zhang2024_mean", 9, "zhang2024_misa_mosi_mean"),
    ],
)
def test_a_table_is_named_by_its_paper_and_more(table: str, count: int, row: str) -> None:
    names = names_of(table)
    assert len(names) == count
    assert row in names
    words = table.split("_")
    assert all(set(words) <= set(name.split("_")) for name in names)


def test_no_table_has_the_name_of_a_row() -> None:
    assert not {path.stem for path in FILES} & set(published_tables())


@pytest.mark.parametrize(
    ("wrong", "closest"),
    [
        ("wang2025_mitrdnet_mosi_auilc", "wang2025_mitr-dnet_mosi_auilc"),
        ("wang2024", "wang2025"),
        ("sun2023_selfmm_mosei", "sun2023_self-mm_mosei"),
        ("wang2025_mosi_misa_auilc", "wang2025_misa_mosi_auilc"),
    ],
)
def test_a_wrong_name_gets_the_closest(wrong: str, closest: str) -> None:
    with pytest.raises(MitrError, match="`mitr reproduce --list` prints all rows") as caught:
        experiments_named(wrong)
    assert f"\n  {closest}" in str(caught.value)


def test_a_name_that_is_close_to_none() -> None:
    with pytest.raises(MitrError, match=r"file 'nowhere.json': `mitr reproduce --list` prints all rows\.$"):
        experiments_named("nowhere.json")


def test_the_list_holds_every_row_within_80_columns(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "--list"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert "…" not in said
    lines = said.splitlines()
    for path in FILES:
        start = next(i for i, line in enumerate(lines) if line.split()[:1] == [path.stem])
        words = " ".join(lines[start : lines.index(" " * len(lines[0]), start)]).split()
        (row,) = experiments_named(path.stem)
        assert set(words) >= {row.name, f"{row.model},", row.data.name, f"{row.protocol},", row.training}
        numbers = dict(word.split("=") for word in words if "=" in word)
        assert {key: float(number) for key, number in numbers.items()} == row.published
        assert set(words) >= set(row.source.split())


def test_the_list_of_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--list", "zhang2024_sims"]) == 0
    said = capsys.readouterr().out
    assert said.count("_sims_mean") == 3
    assert "mosi" not in said.split("Whole tables")[0]


def test_a_wheel_has_the_rows(tmp_path: Path) -> None:
    if int(version("setuptools").split(".")[0]) < 77:
        pytest.skip("pyproject.toml needs a newer setuptools to build")
    source, elsewhere = tmp_path / "source", tmp_path / "elsewhere"
    copytree(ROOT / "src", source / "src", ignore=ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", str(source), "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--quiet", "--wheel-dir", str(tmp_path)], check=True, timeout=600)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    elsewhere.mkdir()
    found = subprocess.run(
        [sys.executable, "-c", "import mitr.__main__ as m; print(m.__file__); m.main(['reproduce', '--list'])"],
        cwd=elsewhere,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "installed"), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=600,
    )
    place, *lines = found.stdout.splitlines()
    assert Path(place).is_relative_to(tmp_path / "installed")
    names = {path.stem for path in FILES}
    assert {line.split()[0] for line in lines if line.split()} >= names
