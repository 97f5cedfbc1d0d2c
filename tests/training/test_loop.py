"""The training loop: what reaches the model, which view validation scores, what is selected and when it stops."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from made import options
from mitr.api import resume, train
from mitr.batches.hiding import hide
from mitr.batches.sampler import LengthSortedBatches
from mitr.batches.views import Targets, View
from mitr.config import ImbalanceConfig, MissingConfig
from mitr.data.scale import Scale
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.evaluation.metrics import compute
from mitr.losses.imbalance import rarity
from mitr.missing import schedules
from mitr.models.mitr_dnet import MitrDNet
from mitr.runs import checkpoint
from mitr.runs.config import ModelConfig, RunConfig
from mitr.runs.run import Run
from mitr.training.loop import Trainer
from training.made import Counter, Recorder, counted, dims_of, trainer
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


class TestViews:
    """The student learns from the incomplete view of its epoch, and validation scores incomplete views."""

    @staticmethod
    def assert_hidden(seen: View, complete: View, incomplete: View) -> None:
        assert any(not torch.equal(incomplete[m].available, complete[m].available) for m in complete)
        for m in complete:
            for part, expected in zip(seen[m][:4], incomplete[m][:4], strict=True):
                assert torch.equal(part, expected)

    def test_training_shows_both_views(self, small: Dataset, tmp_path: Path) -> None:
        made = trainer(
            small, tmp_path, options(2, missing=MissingConfig("fresh", 0.5), seed=7), Recorder(dims_of(small))
        )
        train_set, model = made.train_set, made.network.model
        for epoch in range(2):
            made.epoch = epoch
            model.taught.clear()
            made._train_epoch(lambda: None)
            drawn = schedules.for_epoch(made.config.missing, train_set.extents(), 7, epoch)
            positions = [p for _, _, targets in model.taught for p in targets.positions.tolist()]
            assert sorted(positions) == list(range(64))
            for complete, incomplete, targets in model.taught:
                whole = train_set.collate([train_set[p] for p in targets.positions.tolist()])
                assert torch.equal(targets.labels, whole.labels)
                for m, steps in whole.view.items():
                    assert all(torch.equal(a, b) for a, b in zip(complete[m][:4], steps[:4], strict=True))
                self.assert_hidden(incomplete, complete, hide(whole.view, drawn, targets.positions, 0))

    @pytest.mark.parametrize("select", ["mae", "loss"])
    def test_validation_scores_the_incomplete_views(self, small: Dataset, tmp_path: Path, select: str) -> None:
        missing = MissingConfig(validation_rates=(0.0, 0.3, 0.9))
        made = trainer(small, tmp_path, options(1, missing=missing, select=select), Counter(dims_of(small)))
        valid = made.valid_set
        shown = [schedules.at_rate(valid.extents(), rate) for rate in (0.0, 0.3, 0.9)]
        predicted = [counted(valid, masks) for masks in shown]
        assert predicted[0].mean() > 1.3 * predicted[1].mean() > 4 * predicted[2].mean()
        known = np.isfinite(valid.labels)
        scores = [compute(Scale.of((-3, 3)), p[known], valid.labels[known]) for p in predicted]
        expected = {name: np.mean([score[name] for score in scores]) for name in ("mae", "corr")}
        found = made.validate()
        assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)
        if select == "loss":
            assert found["loss"] == pytest.approx(expected["mae"], rel=1e-5)  # all are labelled, and of one term

    def test_the_loss_of_validation_compares_both_views(self, small: Dataset, tmp_path: Path) -> None:
        missing = MissingConfig("fixed", 0.5)
        made = trainer(small, tmp_path, options(1, missing=missing, select="loss"))
        made.validate()
        (masks,) = made.valid_masks.values()
        batches = list(LengthSortedBatches(made.valid_set.costs(), 2 * 16))
        for positions, (complete, incomplete, targets) in zip(batches, made.network.model.taught, strict=True):
            whole = made.valid_set.collate([made.valid_set[p] for p in positions])
            assert torch.equal(targets.labels, whole.labels)
            assert torch.equal(targets.weights, torch.ones(len(positions)))
            assert torch.equal(complete["audio"].available, whole.view["audio"].available)
            self.assert_hidden(incomplete, complete, hide(whole.view, masks, whole.positions, 0))

    def test_training_and_validation_set_the_mode(self, small: Dataset, tmp_path: Path) -> None:
        model = Recorder(dims_of(small))
        trainer(small, tmp_path, options(2, patience=9, missing=MissingConfig("fixed", 0.5)), model).fit()
        epoch = [*["losses in training", "step"] * 4, "answer in evaluation"]
        assert model.calls == ["begin with 64", "epoch 0", *epoch, "epoch 1", *epoch]


class TestRandomness:
    def test_order_and_draws_are_those_of_the_seed_and_the_epoch(self, small: Dataset, tmp_path: Path) -> None:
        class Drawing(Recorder):
            def weight_of(self, term: str) -> float:
                drawn.append(float(torch.rand(())))
                return 1.0

        drawn: list[float] = []

        def epoch_of(seed: int, epoch: int) -> tuple[list[list[int]], list[float]]:
            model = Drawing(dims_of(small))
            made = trainer(small, tmp_path, options(1, seed=seed), model)
            made.epoch = epoch
            drawn.clear()
            torch.manual_seed(len(seen))  # whatever the state was before
            made._train_epoch(lambda: None)
            return [targets.positions.tolist() for _, _, targets in model.taught], drawn.copy()

        seen: list[tuple[list[list[int]], list[float]]] = []
        for seed, epoch in ((1, 0), (1, 1), (2, 0), (1, 0)):
            seen.append(epoch_of(seed, epoch))
        assert seen[3] == seen[0]
        for one, other in ((0, 1), (0, 2), (1, 2)):
            assert seen[one][0] != seen[other][0]
            assert not set(seen[one][1]) & set(seen[other][1])


class TestHistory:
    def test_terms_are_means_over_samples(self, small: Dataset, tmp_path: Path) -> None:
        made = trainer(small, tmp_path, options(1, batch_size=24, lr=0.0), Counter(dims_of(small), weight=3.0))
        found = made._train_epoch(lambda: None)  # batches of 24, 24 and 16
        drawn = schedules.for_epoch(made.config.missing, made.train_set.extents(), 111, 0)
        error = np.abs(counted(made.train_set, drawn) - made.train_set.labels).mean()
        assert found == pytest.approx({"total": 3 * error, "task_student": error}, rel=1e-5)


class TestSelection:
    """Validation values are scripted; the weights of an epoch are told apart by its number in the checkpoint."""

    @staticmethod
    def fitted(
        data: Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch, values: list[float], select: str, patience: int
    ) -> Trainer:
        made = trainer(data, folder, options(len(values), select=select, patience=patience))
        scripted = iter(values)
        monkeypatch.setattr(made, "validate", lambda: {select: next(scripted)})
        made.fit()
        return made

    @pytest.mark.parametrize(
        ("select", "values", "patience", "best_epoch", "epochs"),
        [
            ("mae", [0.9, 0.9, 0.9, 0.9], 9, 0, 4),  # a tie is no improvement
            ("corr", [0.9, 0.9, 0.9, 0.9], 9, 0, 4),
            ("mae", [0.9, 0.9, 0.9, 0.1], 2, 0, 3),  # and patience goes on through it
            ("mae", [0.9, 0.8, 0.85, 0.7, 0.71], 9, 3, 5),
            ("corr", [0.1, 0.3, 0.2, 0.4, 0.39], 9, 3, 5),
            ("loss", [0.9, 0.8, 0.85, 0.7, 0.71], 9, 3, 5),
            ("mae", [0.9, 0.8, 0.85, 0.84, 0.83, 0.1], 3, 1, 5),
            ("mae", [0.9, 0.8, 0.85, 0.84, 0.79, 0.9], 3, 4, 6),
            ("mae", [0.9, float("nan"), 0.8, float("inf")], 9, 2, 4),
            ("corr", [0.1, float("nan"), 0.2, float("inf")], 9, 2, 4),
            ("mae", [float("nan"), 0.9], 9, 1, 2),
        ],
    )
    def test_the_best_epoch_and_the_last(
        self,
        small: Dataset,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        select: str,
        values: list[float],
        patience: int,
        best_epoch: int,
        epochs: int,
    ) -> None:
        made = self.fitted(small, tmp_path, monkeypatch, values, select, patience)
        assert (made.best_epoch, made.best, made.epoch) == (best_epoch, values[best_epoch], epochs)
        _, kept = checkpoint.load(tmp_path / "model.safetensors")
        assert kept["epoch"] == best_epoch
        assert kept["validation"] == {f"valid_{select}": values[best_epoch]}
        marked = [values[epoch] for epoch, row in enumerate(made.rows) if row["best"]]
        assert marked == sorted(set(marked), reverse=select != "corr")
        assert marked[-1] == values[best_epoch]

    def test_classes_are_selected_by_the_highest_f1(
        self, emotions: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = trainer(emotions, tmp_path, options(3, select="f1", patience=9))
        scripted = iter([0.5, 0.6, 0.6])
        monkeypatch.setattr(made, "_train_epoch", lambda tick: {"total": 0.0})
        monkeypatch.setattr(made, "validate", lambda: {"f1": next(scripted)})
        made.fit()
        assert made.best_epoch == 1


def test_a_loss_that_is_no_number_names_its_epoch_and_keeps_the_best(small: Dataset, tmp_path: Path) -> None:
    class Broken(Recorder):
        def weight_of(self, term: str) -> float:
            return float("nan") if self.calls.count("losses in training") == 6 else 1.0  # one batch of the second epoch

    with pytest.raises(MitrError, match=r"^the training loss became nan in epoch 1: lower --train.lr, .*inspect"):
        trainer(small, tmp_path, options(3, patience=9), Broken(dims_of(small))).fit()
    assert checkpoint.load(tmp_path / "model.safetensors")[1]["epoch"] == 0
    assert checkpoint.load(tmp_path / "state.safetensors")[1]["epoch"] == 1
    assert len(pd.read_csv(tmp_path / "history.csv")) == 1
