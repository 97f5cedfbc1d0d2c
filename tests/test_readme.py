"""The README's commands run, and its table of commands is the registry's."""

import os
import re
import shlex
from pathlib import Path

import pytest

from mitr.__main__ import COMMANDS, first_line, main
from mitr.data.store import Dataset

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCK = re.compile(r"<!-- tested -->\n```(bash|python)\n(.*?)```", flags=re.DOTALL)
TESTED = BLOCK.findall(README)
QUICK = {
    "train": ["--train.max_epochs", "1", "--train.threads", "1", "--quiet"],
    "robustness": ["--train.max_epochs", "1", "--train.threads", "1", "--rates", "[0.0,1.0]", "--quiet"],
    "bench": ["--train.max_epochs", "1", "--train.threads", "1", "--jobs", "1", "--quiet"],
    "evaluate": ["--resamples", "20", "--quiet"],
    "extract": ["--quiet"],
}


def run_commands(block: str, shared: Path | None = None) -> int:
    """Run a block's lines as they stand, but for as short a time as possible; how many there were."""
    lines = block.strip().splitlines()
    for line in lines:
        words = shlex.split(line.replace("$MITR_SHARED", str(shared)), comments=True)
        assert words[0] == "mitr"
        assert main([*words[1:], *QUICK.get(words[1], [])]) == 0, line
    return len(lines)


def test_first_steps_and_the_python_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [language for language, _ in TESTED] == ["bash", "python", "bash", "bash", "bash"]
    assert run_commands(TESTED[0][1]) == 4
    assert (tmp_path / "reports" / "first" / "report.html").is_file()
    exec(TESTED[1][1], {})
    assert run_commands(TESTED[2][1]) == 2
    assert (tmp_path / "runs" / "bench" / "report.html").is_file()
    assert (tmp_path / "reports" / "sure" / "shapley.csv").is_file()


def test_own_clips(
    assets: None,
    clips: Path,
    talks_data: Dataset,
    talks_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MITR_CACHE", str(tmp_path))
    (tmp_path / "features").symlink_to(talks_cache)  # where the made clips were read already
    (tmp_path / "clips").symlink_to(clips)
    (tmp_path / "new.mp4").symlink_to(clips / "Raw" / "video0" / "0.mp4")
    assert run_commands(TESTED[3][1]) == 4
    said = capsys.readouterr().out
    assert "new.mp4  1.2 s\n  sentiment  " in said


def test_real_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_commands(TESTED[4][1], shared.resolve()) == 5
    assert (tmp_path / "reports" / "mmmo" / "report.html").is_file()
    assert (tmp_path / "runs" / "mosi-robustness" / "report.html").is_file()


def test_the_page_on_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[1] / "docs" / "targets.md").read_text()
    assert [run_commands(block) for _, block in BLOCK.findall(page)] == [4, 3, 1]
    assert (tmp_path / "reports" / "emotions" / "report.html").is_file()
    assert "train_unimodal_audio" in (tmp_path / "runs" / "unimodal" / "history.csv").read_text()


def test_the_table_of_commands_is_the_registry() -> None:
    rows = dict(re.findall(r"^\| `mitr ([^`]+)` \| (.*) \|$", README, flags=re.MULTILINE))
    assert rows == {name: first_line(function) for name, function in COMMANDS.items()}


def test_links_and_pictures_exist() -> None:
    root = Path(__file__).parents[1]
    for page in (root / "README.md", *sorted((root / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not target.startswith("https://"):
                assert os.path.exists(page.parent / target), f"{page.name}: {target}"
