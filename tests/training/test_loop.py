"""What reaches the model: weights, draws, classes and labels of single modalities."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from made import options
from mitr.api import resume, train
from mitr.batches.views import Targets
from mitr.config import ImbalanceConfig
from mitr.data.store import Dataset
from mitr.losses.imbalance import rarity
from mitr.models.mitr_dnet import MitrDNet
from mitr.runs.config import ModelConfig, RunConfig
from mitr.runs.run import Run
from mitr.training.loop import Trainer
from training.test_train import assert_same_run

BALANCED = ImbalanceConfig(weighting="lds", sampling="balanced", bins=6)


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> list[Targets]:
    """The targets that MITR-DNet's losses get, in order."""
    seen: list[Targets] = []
    original = MitrDNet.losses

    def record(self: MitrDNet, complete: object, incomplete: object, targets: Targets, teacher: object = None) -> tuple:
        seen.append(targets)
        return original(self, complete, incomplete, targets, teacher)  # type: ignore[arg-type]

    monkeypatch.setattr(MitrDNet, "losses", record)
    return seen


def with_imbalance(imbalance: ImbalanceConfig, epochs: int = 1, **train_options: object) -> RunConfig:
    return replace(options(epochs, **train_options), imbalance=imbalance)


def test_weights_reach_the_losses(small: Dataset, tmp_path: Path, taught: list[Targets]) -> None:
    train(small, tmp_path / "plain", options(1), quiet=True)
    assert all((targets.weights == 1).all() for targets in taught)
    taught.clear()
    weighted = ImbalanceConfig(weighting="lds", bins=6)
    train(small, tmp_path / "weighted", with_imbalance(weighted), quiet=True)
    expected = rarity(small.labels[small.indices("train")], (-3, 3), weighted, smooth=True)
    assert expected.max() > 1.5
    for targets in taught:
        assert targets.weights.numpy() == pytest.approx(expected[targets.positions.numpy()], rel=1e-6)
    assert sorted(p for targets in taught for p in targets.positions.tolist()) == list(range(64))
    rows = [pd.read_csv(tmp_path / name / "history.csv").iloc[0] for name in ("plain", "weighted")]
    assert rows[0]["train_task_student"] != rows[1]["train_task_student"]


def test_balanced_epochs_show_rare_labels_more_often(small: Dataset, tmp_path: Path, taught: list[Targets]) -> None:
    train(small, tmp_path / "run", with_imbalance(ImbalanceConfig(sampling="balanced", bins=6), 6), quiet=True)
    labels = small.labels[small.indices("train")]
    drawn = torch.cat([targets.labels for targets in taught]).numpy()
    assert len(drawn) == 6 * len(labels)
    assert drawn.std() > 1.15 * labels.std()  # the ends of the scale are rare
    assert all((targets.weights == 1).all() for targets in taught)


def test_balanced_mse_is_another_loss(small: Dataset, tmp_path: Path) -> None:
    for name, imbalance in (("l1", ImbalanceConfig()), ("balanced", ImbalanceConfig(loss="balanced-mse", noise=0.5))):
        train(small, tmp_path / name, with_imbalance(imbalance, 2), quiet=True)
    rows = [pd.read_csv(tmp_path / name / "history.csv") for name in ("l1", "balanced")]
    assert rows[0]["train_task_student"][0] != rows[1]["train_task_student"][0]
    assert rows[1]["train_task_student"][1] < rows[1]["train_task_student"][0]
    assert rows[1]["valid_mae"].notna().all()


@pytest.mark.parametrize("classes", [False, True], ids=["scale", "classes"])
def test_resumed_with_balanced_draws_gives_the_same_numbers(
    small: Dataset, emotions: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: bool
) -> None:
    data, config = emotions if classes else small, with_imbalance(BALANCED, 3)
    if classes:
        config.model = ModelConfig.of(loss_unimodal=0.5)
    train(data, tmp_path / "whole", config, quiet=True)
    original = Trainer._train_epoch

    def stop_in_the_third(self: Trainer, tick: object) -> dict[str, float]:
        if self.epoch == 2:
            raise KeyboardInterrupt
        return original(self, tick)

    monkeypatch.setattr(Trainer, "_train_epoch", stop_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "cut", config, quiet=True)
    monkeypatch.undo()
    resume(tmp_path / "cut", quiet=True)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_labels_of_single_modalities_reach_the_losses(emotions: Dataset, tmp_path: Path, taught: list[Targets]) -> None:
    config = replace(options(1, select="loss"), model=ModelConfig.of(loss_unimodal=0.5))
    run = train(emotions, tmp_path / "run", config, quiet=True)
    own = emotions.modality_labels["vision"][emotions.indices("train")]
    assert all(targets.unimodal.keys() == {"text", "audio", "vision"} for targets in taught)
    in_training = [targets for targets in taught if len(targets.labels) == 16][:4]
    for targets in in_training:
        np.testing.assert_array_equal(targets.unimodal["vision"].numpy(), own[targets.positions.numpy()])
    row = pd.read_csv(run.folder / "history.csv").iloc[0]
    assert {f"train_unimodal_{m}" for m in ("text", "audio", "vision")} <= set(row.index)
    plain = train(emotions, tmp_path / "plain", options(1), quiet=True)
    assert not any(name.startswith("train_unimodal") for name in pd.read_csv(plain.folder / "history.csv"))


def test_classes_are_learned_and_selected_by_f1(emotions: Dataset, tmp_path: Path) -> None:
    run = train(emotions, tmp_path / "run", options(5, lr=3e-3), quiet=True)
    history = pd.read_csv(run.folder / "history.csv")
    assert history["train_task_student"].iloc[-1] < 0.9 * history["train_task_student"].iloc[0]
    assert run.info.outcome.best_epoch == history["valid_f1"].idxmax()
    assert {"valid_f1", "valid_ua"} == {name for name in history if name.startswith("valid_")}
    assert run.info.selection.startswith("best f1 on the validation split")
    assert run.config.train.select == "f1"
    assert run.info.network.classes == ("angry", "calm", "happy", "sad")
    labels = emotions.labels[emotions.indices("train")].astype(int)
    shares = (np.bincount(labels, minlength=4) + 1) / (len(labels) + 4)
    assert run.load_network().prior.tolist() == pytest.approx(np.log(shares))


def test_a_separate_teacher_of_classes(emotions: Dataset, tmp_path: Path) -> None:
    config = options(1)
    config.model = ModelConfig.of(teacher="separate")
    run = train(emotions, tmp_path / "run", config, quiet=True)
    assert Run(run.folder / "teacher").config.train.select == "f1"
    assert run.load_network().prior.shape == (4,)
