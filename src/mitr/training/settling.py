"""Options that depend on the data: what `auto` stands for, and what a model or a data set cannot do."""

from dataclasses import replace

from mitr.data.schema import DatasetInfo
from mitr.errors import MitrError
from mitr.runs.config import RunConfig


def settle(config: RunConfig, info: DatasetInfo) -> RunConfig:
    """The options as they are used on a data set. This is the place where what a model can do is checked.

    Raises:
        MitrError: an option is not for labels of this kind, or the model cannot do what the data or options ask for.
    """
    select, name, kind = config.train.select, config.model.name, config.model.kind
    if select == "auto":
        select = "mae" if info.classes is None else "f1"
    if info.classes is None and select == "f1":
        raise MitrError(f"--train.select f1 is for classes, but {info.name} has a scale: use mae, corr or loss")
    if info.classes is not None:
        because = f"but the labels of {info.name} are classes"
        if select in ("mae", "corr"):
            raise MitrError(f"--train.select {select} is for labels on a scale, {because}: use f1 or loss")
        if config.imbalance.loss == "balanced-mse":
            raise MitrError(f"--imbalance.loss balanced-mse is for a scale, {because}: use --imbalance.weighting lds")
        if not kind.learns_classes:
            raise MitrError(f"the model {name} is for labels on a scale, {because}: choose another model")
        if config.train.calibration_share:
            raise MitrError(f"--train.calibration_share is for intervals on a scale, {because}: leave it out")
    if kind.defined_for is not None and (odd := set(info.modalities) - set(kind.defined_for)):
        known, unknown = ", ".join(kind.defined_for), ", ".join(sorted(odd))
        raise MitrError(f"the model {name} is defined for {known}, but {info.name} has {unknown}: choose another model")
    if getattr(config.model.options, "loss_unimodal", 0.0) and not info.modality_labels:
        raise MitrError(f"--loss.unimodal needs labels of single modalities, which {info.name} does not have")
    return replace(config, train=replace(config.train, select=select))
