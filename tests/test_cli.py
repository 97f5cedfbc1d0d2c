"""The command line as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mitr.__main__ import COMMANDS, main, parser, places_first, spelled_out
from mitr.commands.model_options import named_model
from mitr.data.store import Dataset
from waiting import LONGEST

WRITE_NOTHING = ("data inspect", "data verify", "assets fetch", "assets add", "features")
TRAIN = ["train", "d", "--out", "x"]
QUICK = ["--train.batch_size", "16", "--train.threads", "1", "--missing.validation_rates", "[0.0,0.5]", "--quiet"]


def test_from_nothing_to_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, run, report = (str(tmp_path / name) for name in ("data", "run", "report"))
    assert main(["data", "synth", "--out", data, "--train", "32", "--valid", "12", "--test", "12"]) == 0
    assert main(["data", "inspect", data]) == 0
    assert "synthetic" in capsys.readouterr().out.lower()
    assert main(["train", data, "--out", run, "--train.max_epochs", "1", *QUICK]) == 0
    assert "validation mae" in capsys.readouterr().out
    assert main(["evaluate", run, "--data", data, "--protocol", "auilc", "--out", report, "--resamples", "20"]) == 0
    assert "MAE" in capsys.readouterr().out
    assert (tmp_path / "report" / "report.html").is_file()
    words = [
        "robustness",
        data,
        "--out",
        str(tmp_path / "robust"),
        "--per-rate",
        "--seeds",
        "[1]",
        "--rates",
        "[0.0,0.5]",
    ]
    assert main([*words, "--train.max_epochs", "1", *QUICK]) == 0
    assert (tmp_path / "robust" / "runs" / "rate-0.5-seed-1" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    "words",
    [
        "predict RUN a.mp4 b.mp4 --json --text hi",
        "predict RUN --json a.mp4 --text hi b.mp4",
        "predict --json RUN --text hi a.mp4 b.mp4",
        "predict --text hi RUN a.mp4 --json true b.mp4",
        "predict --text=hi RUN a.mp4 b.mp4 --json",
    ],
)
def test_files_may_stand_between_options(words: str) -> None:
    found = parser(words := places_first(spelled_out(words.split()))).parse_args(words).predict
    assert (found.run, found.files, found.json, found.text) == ("RUN", ["a.mp4", "b.mp4"], True, "hi")


def test_other_words_are_left_where_they_are() -> None:
    for words in (
        ["train", "--quiet", "d"],
        ["predict", "--help"],
        ["predict", "RUN", "--print_config"],
        ["predict", "RUN", "--json", "--", "-a.mp4"],
        [],
    ):
        assert places_first(words) == words
    assert places_first(["bench", "--seeds", "1", "a", "b"]) == ["bench", "a", "b", "--seeds", "1"]


def test_a_config_file_and_options_over_it(small: Dataset, tmp_path: Path) -> None:
    config = tmp_path / "options.yaml"
    config.write_text("train: {max_epochs: 1, seed: 5, batch_size: 16}\nmissing: {schedule: fixed, rate: 0.3}\n")
    words = ["train", str(small.folder), "--out", str(tmp_path / "run"), "--config", str(config), "--quiet"]
    assert main([*words, "--train.seed", "6"]) == 0
    stored = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert stored["train"]["seed"] == 6
    assert stored["train"]["batch_size"] == 16
    assert stored["missing"]["schedule"] == "fixed"
    assert stored["missing"]["rate"] == 0.3


def test_options_of_the_model_that_is_named(small: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "options.yaml"
    config.write_text("model: {name: lmf, rank: 2}\nloss: {task_student: 0.5}\n")
    words = ["train", str(small.folder), "--out", str(tmp_path / "run"), "--train.max_epochs", "1", *QUICK]
    assert main([*words, "--config", str(config), "--model.text-hidden", "8"]) == 0
    stored = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert (stored["model"]["name"], stored["model"]["rank"], stored["model"]["text_hidden"]) == ("lmf", 2, 8)
    assert stored["loss"] == {"task_student": 0.5}
    config.write_text("model: {name: lmf, reversal: channel}\n")
    assert main(["train", str(small.folder), "--out", str(tmp_path / "other"), "--config", str(config)]) == 2
    assert "the model lmf has no option model.reversal" in capsys.readouterr().err
    for text, message in (("model: mult\n", "the section model is 'mult'"), ("loss: 3\n", "the section loss is 3")):
        config.write_text(text)
        assert main(["train", str(small.folder), "--out", str(tmp_path / "other"), "--config", str(config)]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_the_last_name_of_a_model_counts(tmp_path: Path) -> None:
    config = tmp_path / "options.yaml"
    config.write_text("model: {name: mult}\n")
    assert named_model(["train", "--model.name", "lmf", "--config", str(config)]) == "mult"
    assert named_model(["train", f"--config={config}", "--model.name=lmf"]) == "lmf"
    assert named_model(["train"]) == "mitr-dnet"


def test_yes_no_options_of_the_named_model_need_no_value() -> None:
    words = spelled_out(["train", "d", "--model.name", "mult", "--model.released", "--model.width", "4"])
    assert words[4:] == ["--model.released=true", "--model.width", "4"]
    assert "--model.causal=true" in spelled_out(["train", "--model.causal", "d"])
    assert "--model.causal" in spelled_out(["train", "--model.name=nope", "--model.causal", "d"])


def test_help_lists_the_options_of_the_model_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help", "--model.name", "tfr-net"])
    said = capsys.readouterr().out
    assert "--model.recurrent_layers" in said
    assert "--loss.reconstruction_audio" in said
    assert "--model.reversal" not in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "nowhere", "--out", "x"], "nowhere is not a mitr data set"),
        (["train", "d", "--out", "x", "--train.device", "cuda"], "d is not a mitr data set"),
        (["train"], "name a data set and a run folder"),
        (["train", "--resume", "nowhere"], "nowhere is not a mitr run"),
        (["train", "d", "--out", "x", "--missing.rate", "1.5"], "missing.rate is 1.5; it must lie in [0, 1]"),
        (
            ["train", "d", "--out", "x", "--model.name", "mult", "--model.reversal", "channel"],
            "no option model.reversal",
        ),
        ([*TRAIN, "--model.name=mult", "--loss.simsiam", "7"], "no option loss.simsiam"),
        (
            ["train", "d", "--out", "x", "--model.name", "mult", "--model.teacher", "separate"],
            "no option model.teacher",
        ),
        (
            ["train", "d", "--out", "x", "--model.name", "mult", "--model.drop-head", "0"],
            "it has is model.dropout_head",
        ),
        ([*TRAIN, "--model.name", "mutl"], "no model 'mutl' (did you mean mult?)"),
        ([*TRAIN, "--model.name", "os:system"], "must be a subclass of mitr.models.base.Model"),
        ([*TRAIN, "--model.name", "no_such_module:X"], "cannot be imported"),
        (["bench", "d", "--out", "x", "--models", "mult", "--model.width", "20"], "the option of a single model"),
        (["evaluate", "nowhere", "--out", "x"], "nowhere is not a mitr run"),
        (["data", "import", "nowhere.pkl", "--out", "x"], "nowhere.pkl"),
        (["data", "inspect", "nowhere"], "nowhere"),
        (["data", "verify", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_gets_one_message_and_status_two(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.err.startswith("mitr: error: ")
    assert message in said.err
    assert "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == []


def test_no_command_shows_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 0
    assert "robustness" in capsys.readouterr().out


def test_impossible_places_get_a_message(small: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["data", "synth", "--out", str(tmp_path / "file" / "x"), "--train", "8"]) == 2
    assert main(["train", str(small.folder), "--out", str(tmp_path / "file" / "x"), *QUICK]) == 2
    said = capsys.readouterr().err
    assert said.count("mitr: error: ") == 2
    assert "Traceback" not in said


def test_a_resumed_run_takes_no_other_options(
    small: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    assert main(["train", str(small.folder), "--out", run, "--train.max_epochs", "1", *QUICK]) == 0
    assert main(["train", "--resume", run, "--train.max_epochs", "5"]) == 2
    assert "keeps the options that it began with" in capsys.readouterr().err
    assert main(["train", "--resume", run]) == 0
    assert "had finished already" in capsys.readouterr().out


def test_unknown_options_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "d", "--out", "x", "--train.epochs", "3"])
    assert stop.value.code == 2
    assert "train.epochs" in capsys.readouterr().err


def test_dashes_and_bare_switches() -> None:
    assert spelled_out(["--per-rate", "--seeds", "[1]"]) == ["--per_rate=true", "--seeds", "[1]"]
    assert spelled_out(["--overwrite", "false"]) == ["--overwrite", "false"]
    assert spelled_out(["--label-range", "[-3,3]", "a-b"]) == ["--label_range", "[-3,3]", "a-b"]
    assert spelled_out(["--out=a-b"]) == ["--out=a-b"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert "--out" in said or command in WRITE_NOTHING


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from mitr.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'transformers', 'pandas', 'matplotlib', 'numpy') if m in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=LONGEST
    ).stdout
    assert said.splitlines()[-1] == "[]"


def test_ctrl_c_says_how_to_go_on(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mitr.training.loop import Trainer

    def interrupted(self: Trainer, tick: object) -> dict[str, float]:
        raise KeyboardInterrupt

    run = str(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_train_epoch", interrupted)
        assert main(["train", str(small.folder), "--out", run, "--train.max_epochs", "1", *QUICK]) == 2
    assert f"mitr train --resume {run}" in capsys.readouterr().err
    assert main(["train", "--resume", run, "--quiet"]) == 0
    assert (tmp_path / "run" / "model.safetensors").is_file()
