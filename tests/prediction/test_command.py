"""The command `mitr predict`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from mitr.__main__ import main
from mitr.runs.run import Run


def test_options_between_files_and_letters_that_an_output_lacks(talks_run: Run, clip: Path, tmp_path: Path) -> None:
    odd = tmp_path / "你好 é.mp4"
    shutil.copy(clip, odd)
    command = [sys.executable, "-m", "mitr", "predict", str(talks_run.folder), "--json", str(odd), "--text", "très"]
    command += ["--cache", str(tmp_path / "cache")]
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, env=ascii_only, timeout=600)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.decode("ascii"))
    assert (answer["file"], answer["text"]) == (str(odd), "très")
    done = subprocess.run([w for w in command if w != "--json"], capture_output=True, env=ascii_only, timeout=600)
    assert done.returncode == 0, done.stderr
    assert b"sentiment" in done.stdout


def test_a_timeline_that_cannot_be_written_is_that_clips_fault(
    talks_run: Run, long: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lines" / "long.csv").mkdir(parents=True)
    shutil.copytree(long.parent, tmp_path / "other")
    (tmp_path / "other" / "long.mp4").rename(tmp_path / "other" / "b.mp4")
    words = ["predict", str(talks_run.folder), str(long), str(tmp_path / "other" / "b.mp4"), "--segments", "windows"]
    words += ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "lines"), "--json"]
    assert main(words) == 2
    said = capsys.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert "IsADirectoryError" in lines[0]["error"]
    assert lines[1]["sentiment"] is not None
    assert "1 of 2 clips could not be answered" in said.err


def test_the_command_goes_on_past_a_bad_file(
    talks_run: Run, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.mp4").write_text("no media")
    files = [str(clip), str(tmp_path / "bad.mp4"), str(tmp_path / "none.mp4"), str(clip)]
    words = ["predict", str(talks_run.folder), *files]
    words += ["--cache", str(tmp_path / "cache")]
    assert main([*words, "--json"]) == 2
    said = capsys.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [line["file"] for line in lines] == files
    assert lines[0]["sentiment"] == lines[3]["sentiment"]
    assert "bad.mp4" in lines[1]["error"]
    assert "2 of 4 clips could not be answered" in said.err
    assert main(words[:3] + words[6:]) == 0
    assert capsys.readouterr().out.startswith(f"{clip}  2.0 s\n  sentiment  ")


def test_the_command_writes_timelines(talks_run: Run, long: Path, tmp_path: Path) -> None:
    words = ["predict", str(talks_run.folder), str(long), "--segments", "subtitles", "--cache", str(tmp_path / "cache")]
    assert main([*words, "--out", str(tmp_path / "lines")]) == 0
    assert sorted(path.name for path in (tmp_path / "lines").iterdir()) == ["long.csv", "long.json", "long.png"]
    table = pd.read_csv(tmp_path / "lines" / "long.csv")
    assert table["start"].tolist() == [0.2, 3.7]
    assert table["stop"].tolist() == [2.3, 5.9]
    assert "vision 4-5.9 (no face)" in table["missing"][1] or "vision 4.1-5.9 (no face)" in table["missing"][1]
    assert {"sentiment", "low", "high", "observed_vision", "shapley_text", "missing", "text"} <= set(table)
    assert json.loads((tmp_path / "lines" / "long.json").read_text())["segments"][1]["text"] == "but the end is bad"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RUN"], "name a file, or give --text"),
        (["RUN", "a.mp4", "b.mp4", "--text", "hi"], "--text is of one clip, but 2 are named"),
        (["RUN", "a.mp4", "--out", "x"], "--out is for timelines"),
        (["RUN", "a.mp4", "--window", "0"], "--window is 0; it must be a number of seconds above 0"),
        (["RUN", "a.mp4", "--engine", "onnx"], "has no ONNX export yet: make it with `mitr export"),
        (["nowhere", "a.mp4"], "nowhere is not a mitr run"),
    ],
)
def test_bad_words(
    words: list[str], message: str, talks_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(talks_run.folder) if word == "RUN" else word for word in words]
    assert main(["predict", *words, "--cache", str(tmp_path / "cache")]) == 2
    assert message in capsys.readouterr().err
