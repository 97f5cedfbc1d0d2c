"""Options that depend on the data."""

from dataclasses import replace

import pytest

from mitr.config import ImbalanceConfig, TrainConfig
from mitr.data.schema import DatasetInfo, Source
from mitr.errors import MitrError
from mitr.runs.config import ModelConfig, RunConfig
from mitr.training.settling import settle

SCALE = DatasetInfo("scale", (-3, 3), {}, Source("x", "test"))
CLASSES = DatasetInfo("moods", (0, 1), {}, Source("x", "test"), classes=("good", "bad"))


def config(**sections: object) -> RunConfig:
    return replace(RunConfig(), **sections)


@pytest.mark.parametrize(
    ("info", "asked", "settled"),
    [
        (SCALE, "auto", "mae"),
        (SCALE, "corr", "corr"),
        (SCALE, "loss", "loss"),
        (CLASSES, "auto", "f1"),
        (CLASSES, "f1", "f1"),
        (CLASSES, "loss", "loss"),
    ],
)
def test_what_selects(info: DatasetInfo, asked: str, settled: str) -> None:
    given = config(train=TrainConfig(select=asked, seed=5))
    assert settle(given, info) == config(train=TrainConfig(select=settled, seed=5))
    assert given.train.select == asked


@pytest.mark.parametrize(
    ("info", "sections", "message"),
    [
        (SCALE, {"train": TrainConfig(select="f1")}, "--train.select f1 is for classes, but scale has a scale"),
        (
            CLASSES,
            {"train": TrainConfig(select="mae")},
            "select mae .* the labels of moods are classes: use f1 or loss",
        ),
        (CLASSES, {"imbalance": ImbalanceConfig(loss="balanced-mse")}, "balanced-mse .* use --imbalance.weighting lds"),
        (
            CLASSES,
            {"train": TrainConfig(calibration_share=0.3)},
            "calibration_share .* intervals on a scale, but the labels of moods are classes",
        ),
        (CLASSES, {"model": ModelConfig(name="ridge")}, "the model ridge is for labels on a scale"),
        (SCALE, {"model": ModelConfig.of(loss_unimodal=0.1)}, "--loss.unimodal needs .* scale does not have"),
    ],
)
def test_what_does_not_go_together(info: DatasetInfo, sections: dict, message: str) -> None:
    with pytest.raises(MitrError, match=message):
        settle(config(**sections), info)


def test_models_that_learn_from_labels_of_single_modalities() -> None:
    given = config(model=ModelConfig.of(loss_unimodal=0.1), train=TrainConfig(select="mae"))
    assert settle(given, replace(SCALE, modality_labels=["text"])) == given
