"""Runs: what training leaves behind, and that stopping it anywhere costs nothing but time."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

import mitr
from made import options, run_files
from mitr.api import resume, train
from mitr.config import MissingConfig
from mitr.data.store import Dataset
from mitr.data.synth import synthesise
from mitr.errors import MitrError
from mitr.models.network import Network
from mitr.runs import checkpoint
from mitr.runs.config import ModelConfig, RunConfig
from mitr.runs.info import write_run_info
from mitr.runs.run import Run
from mitr.training.loop import Trainer
from waiting import LONGEST


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(folder / "model.safetensors")[0]


def assert_same_run(one: Path, other: Path) -> None:
    first, second = (pd.read_csv(folder / "history.csv").drop(columns="seconds") for folder in (one, other))
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    ours, theirs = weights_of(one), weights_of(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_run_records_what_it_was(small: Dataset, tmp_path: Path) -> None:
    run = train(small, tmp_path / "run", options(2), quiet=True, command="mitr train x")
    assert run.finished
    files = {"run.json", "model.safetensors", "normalizer.safetensors", "history.csv", "conformal.json"}
    assert run_files(run.folder) == files
    about = json.loads((run.folder / "run.json").read_text())
    assert RunConfig.from_json(about["config"]) == options(2, select="mae")
    assert about["data"]["sha256"] == small.info.content_sha256
    assert about["data"]["synthetic"] is True
    assert "test split was not used" in about["selection"]
    assert about["versions"]["torch"] == torch.__version__
    assert about["command"] == "mitr train x"
    assert len(pd.read_csv(run.folder / "history.csv")) == 2
    assert any((run.folder / "tensorboard").iterdir())


def test_training_learns_and_the_best_epoch_is_kept(small: Dataset, tmp_path: Path) -> None:
    run = train(small, tmp_path / "run", options(6, lr=3e-3), quiet=True)
    history = pd.read_csv(run.folder / "history.csv")
    assert history["train_task_student"].iloc[-1] < 0.9 * history["train_task_student"].iloc[0]
    best = int(history["valid_mae"].idxmin())
    assert run.info.outcome.best_epoch == best
    assert run.info.outcome.best == pytest.approx(history["valid_mae"].min())
    _, about = checkpoint.load(run.folder / "model.safetensors")
    assert about["epoch"] == best


@pytest.mark.parametrize("keep", [True, False])
def test_the_option_says_whether_memory_is_kept(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("mitr.training.train.keep_memory", asked.append)
    train(small, tmp_path / "run", options(1, keep_memory=keep), quiet=True)
    assert asked == [keep]


def test_networks_of_earlier_runs_are_not_kept(small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    networks: list[weakref.ref] = []
    original = Trainer.__init__

    def record(self: Trainer, network: Network, *others: object, **options: object) -> None:
        networks.append(weakref.ref(network))
        assert [known() is None for known in networks] == [*[True] * (len(networks) - 1), False]
        original(self, network, *others, **options)

    monkeypatch.setattr(Trainer, "__init__", record)
    gc.disable()
    try:
        for name in ("a", "b"):
            train(small, tmp_path / name, options(1), quiet=True, calibrate=False)
    finally:
        gc.enable()
    assert len(networks) == 2


def test_same_seed_same_numbers_other_seed_others(small: Dataset, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(small, tmp_path / name, options(2, seed=seed), quiet=True)
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert not torch.equal(
        weights_of(tmp_path / "a")["model.head_in.weight"], weights_of(tmp_path / "c")["model.head_in.weight"]
    )


@pytest.mark.parametrize("raw_text", [False, True], ids=["embeddings", "frozen encoder"])
def test_resumed_after_an_exception_gives_the_same_numbers(
    small: Dataset, small_text: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw_text: bool
) -> None:
    data = small_text if raw_text else small
    config = options(3, accumulate=2)
    train(data, tmp_path / "whole", config, quiet=True)
    epoch, original = [0], Trainer._train_epoch

    def stop_in_the_third(self: Trainer, tick: object) -> dict[str, float]:
        epoch[0] += 1
        if epoch[0] == 3:
            raise KeyboardInterrupt
        return original(self, tick)

    monkeypatch.setattr(Trainer, "_train_epoch", stop_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "cut", config, quiet=True)
    assert "state.safetensors" in run_files(tmp_path / "cut")
    assert not Run(tmp_path / "cut").finished
    monkeypatch.undo()
    assert resume(tmp_path / "cut", quiet=True).finished
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_a_killed_process_resumes_to_the_same_numbers(small: Dataset, tmp_path: Path) -> None:
    cut, epochs = tmp_path / "cut", 12
    words = ["train", str(small.folder), "--out", str(cut), "--quiet", "--train.max_epochs", str(epochs)]
    words += ["--train.batch_size", "16", "--train.threads", "1", "--train.patience", "40", "--train.device", "cpu"]
    words += ["--missing.validation_rates", "[0.0,0.5]"]
    process = subprocess.Popen([sys.executable, "-m", "mitr", *words])
    deadline = time.monotonic() + LONGEST
    while not (cut / "history.csv").exists() or len((cut / "history.csv").read_text().splitlines()) < 4:
        assert process.poll() is None, "training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(LONGEST)
    assert not Run(cut).finished
    resume(cut, quiet=True)
    train(small, tmp_path / "whole", options(epochs, patience=40), quiet=True)
    assert_same_run(tmp_path / "whole", cut)
    assert not [name for name in os.listdir(cut) if name.endswith(".partial")]


def test_early_stopping_waits_for_its_patience(small: Dataset, tmp_path: Path) -> None:
    run = train(small, tmp_path / "run", options(30, patience=2, lr=0.03), quiet=True)
    assert run.info.outcome.epochs == run.info.outcome.best_epoch + 3


@pytest.mark.parametrize(
    "missing",
    [
        MissingConfig("none"),
        MissingConfig("fixed", 0.3),
        MissingConfig("fresh", rate_text=0.9, rate_audio=0.0),
        MissingConfig("random-rate", complete_share=0.5, modality_rate=0.4, block_share=0.5),
        MissingConfig("fixed", 1.0),
    ],
    ids=["none", "fixed", "fresh", "random-rate", "all hidden"],
)
def test_every_schedule_trains(small: Dataset, tmp_path: Path, missing: MissingConfig) -> None:
    run = train(small, tmp_path / "run", options(1, missing=missing), quiet=True)
    assert 0 < run.info.outcome.best < 3


def test_selection_by_loss_and_corr(small: Dataset, tmp_path: Path) -> None:
    by_loss = train(small, tmp_path / "loss", options(3, select="loss"), quiet=True)
    history = pd.read_csv(by_loss.folder / "history.csv")
    assert by_loss.info.outcome.best_epoch == history["valid_loss"].idxmin()
    assert history["valid_loss"].min() > history["valid_mae"].min()  # more terms than the task alone
    by_corr = train(small, tmp_path / "corr", options(3, select="corr"), quiet=True)
    assert by_corr.info.outcome.best_epoch == pd.read_csv(by_corr.folder / "history.csv")["valid_corr"].idxmax()


def test_a_separate_teacher_is_trained_first_and_stays_frozen(small: Dataset, tmp_path: Path) -> None:
    config = options(2)
    config.model = ModelConfig.of(teacher="separate")
    run = train(small, tmp_path / "run", config, quiet=True)
    teacher = Run(tmp_path / "run" / "teacher")
    assert teacher.finished
    assert teacher.config.missing.schedule == "none"
    history = pd.read_csv(run.folder / "history.csv")
    assert "train_task_teacher" not in history
    assert "train_distill_fused_text" in history
    assert not any(name.startswith("teacher") or "_teacher" in name for name in weights_of(run.folder))


def test_a_frozen_encoder_is_not_stored_a_tuned_one_is(small_text: Dataset, tmp_path: Path) -> None:
    frozen = train(small_text, tmp_path / "frozen", options(1), quiet=True)
    tuned = train(small_text, tmp_path / "tuned", options(1, finetune=True), quiet=True)
    assert not any(name.startswith("text.") for name in weights_of(frozen.folder))
    assert any(name.startswith("text.model.encoder") for name in weights_of(tuned.folder))
    assert frozen.info.network.text.sha256 == tuned.info.network.text.sha256
    network = mitr.load(tuned.folder).load_network()
    stored = weights_of(tuned.folder)["text.model.embeddings.word_embeddings.weight"]
    assert torch.equal(network.text.model.embeddings.word_embeddings.weight, stored)


def test_switching_losses_off_by_their_weights(small: Dataset, tmp_path: Path) -> None:
    config = options(1)
    off = ("simsiam", "reconstruction", "distill_fused", "distill_unimodal", "invariance")
    config.model = ModelConfig.of(**{f"loss_{term}": 0.0 for term in off})
    run = train(small, tmp_path / "run", config, quiet=True)
    row = pd.read_csv(run.folder / "history.csv").iloc[0]
    assert "valid_loss" not in row
    assert row["train_total"] == pytest.approx(row["train_task_student"] + row["train_task_teacher"], rel=1e-5)


def test_a_taken_folder_is_refused(small: Dataset, tmp_path: Path) -> None:
    train(small, tmp_path / "run", options(1), quiet=True)
    before = weights_of(tmp_path / "run")
    with pytest.raises(MitrError, match=r"holds a run already.*--resume"):
        train(small, tmp_path / "run", options(1), quiet=True)
    assert weights_of(tmp_path / "run").keys() == before.keys()


def test_resuming_with_other_data_is_refused(small: Dataset, small_text: Dataset, tmp_path: Path) -> None:
    run = train(small, tmp_path / "run", options(1), quiet=True)
    write_run_info(run.folder, replace(run.info, outcome=None))
    with pytest.raises(MitrError, match=r"not the data set that .* was trained on"):
        resume(run.folder, small_text, quiet=True)


def test_diverging_training_says_what_to_do(small: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MitrError, match=r"became .* lower --train.lr"):
        train(small, tmp_path / "run", options(3, lr=1e30, clip_norm=0.0), quiet=True)


def test_no_labels_to_train_on(tmp_path: Path, small: Dataset) -> None:
    data = synthesise(tmp_path / "data", train=8, valid=4, test=4)
    data.labels[:] = float("nan")
    with pytest.raises(MitrError, match="train split has no labels"):
        train(data, tmp_path / "run", options(1), quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_run_stopped_while_its_teacher_trains_is_resumed(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = options(2)
    config.model = ModelConfig.of(teacher="separate")
    train(small, tmp_path / "whole", config, quiet=True)
    original = Trainer._train_epoch

    def stop_in_the_second(self: Trainer, tick: object) -> dict[str, float]:
        if self.epoch == 1:
            raise KeyboardInterrupt
        return original(self, tick)

    monkeypatch.setattr(Trainer, "_train_epoch", stop_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        train(small, tmp_path / "cut", config, quiet=True)
    monkeypatch.undo()
    assert not Run(tmp_path / "cut" / "teacher").finished
    resume(tmp_path / "cut", quiet=True)
    assert_same_run(tmp_path / "whole" / "teacher", tmp_path / "cut" / "teacher")
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_a_folder_with_other_things_is_no_place_for_a_run(small: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MitrError, match="not an empty folder"):
        train(small, small.folder, options(1), quiet=True)
    assert not (small.folder / "run.json").exists()


def test_formats_may_differ_between_runs_of_a_process(small: Dataset, tmp_path: Path) -> None:
    full = train(small, tmp_path / "full", options(3, precision="no"), quiet=True)
    half = train(small, tmp_path / "half", options(3, precision="bf16"), quiet=True)
    again = train(small, tmp_path / "again", options(3, precision="no"), quiet=True)
    assert half.info.outcome.best == pytest.approx(full.info.outcome.best, rel=0.05)
    assert half.info.outcome.best != full.info.outcome.best
    assert_same_run(full.folder, again.folder)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_said(small: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MitrError, match="PyTorch sees no GPU here"):
        train(small, tmp_path / "run", options(1, device="cuda"), quiet=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu(small: Dataset, tmp_path: Path) -> None:
    run = train(small, tmp_path / "run", options(2, device="cuda", precision="bf16"), quiet=True)
    assert mitr.evaluate(run, small, resamples=10, quiet=True).metrics["mae"] < 3


def test_a_modality_absent_from_training_is_warned_of(small: Dataset, tmp_path: Path) -> None:
    data = Dataset(small.folder)
    data.lengths = dict(data.lengths)
    data.lengths["audio"] = data.lengths["audio"].copy()
    data.lengths["audio"][data.indices("train")] = 0
    with pytest.warns(UserWarning, match="audio is absent from the whole train split"):
        train(data, tmp_path / "run", options(1), quiet=True)


def test_the_selection_rule_names_the_rates_of_each_modality(small: Dataset, tmp_path: Path) -> None:
    missing = MissingConfig("fixed", 0.1, rate_text=0.9, seeds=(1, 2, 3))
    run = train(small, tmp_path / "run", options(1, missing=missing), quiet=True)
    assert "{'text': 0.9, 'audio': 0.1, 'vision': 0.1} (masks of seeds 1, 2, 3)" in run.info.selection
