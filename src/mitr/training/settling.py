"""Options that depend on the data: what `auto` stands for, and what does not go together."""

from dataclasses import replace

from mitr.config import RunConfig
from mitr.data.schema import DatasetInfo
from mitr.errors import MitrError
from mitr.models.registry import model_class


def settle(config: RunConfig, info: DatasetInfo) -> RunConfig:
    """The options as they are used on a data set.

    Raises:
        MitrError: an option is not for labels of this kind, or the model cannot do what it asks for.
    """
    select, model = config.train.select, config.model.name
    if select == "auto":
        select = "mae" if info.classes is None else "f1"
    if info.classes is None and select == "f1":
        raise MitrError(f"--train.select f1 is for classes, but {info.name} has a scale: use mae, corr or loss")
    if info.classes is not None:
        about = f"but the labels of {info.name} are classes"
        if select in ("mae", "corr"):
            raise MitrError(f"--train.select {select} is for labels on a scale, {about}: use f1 or loss")
        if config.imbalance.loss == "balanced-mse":
            raise MitrError(f"--imbalance.loss balanced-mse is for a scale, {about}: use --imbalance.weighting lds")
        if not model_class(model).learns_classes:
            raise MitrError(f"the model {model} is for labels on a scale, {about}: choose another model")
        if config.train.calibration_share:
            raise MitrError(f"--train.calibration_share is for prediction intervals on a scale, {about}: leave it out")
    if config.loss.unimodal and not info.modality_labels:
        raise MitrError(f"--loss.unimodal needs labels of single modalities, which {info.name} does not have")
    if config.loss.unimodal and not model_class(model).learns_unimodal:
        raise MitrError(f"--loss.unimodal: the model {model} cannot learn from labels of single modalities")
    return replace(config, train=replace(config.train, select=select))
