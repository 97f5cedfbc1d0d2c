"""The models by name, and how a whole network is put together from a configuration."""

from collections.abc import Callable

from mitr.config import LossConfig, ModelConfig
from mitr.errors import MitrError
from mitr.models.base import Model
from mitr.models.mitr_dnet import MitrDNet

MODELS: dict[str, Callable[[dict[str, int], ModelConfig, LossConfig], Model]] = {"mitr-dnet": MitrDNet}


def build_model(dims: dict[str, int], model: ModelConfig, loss: LossConfig) -> Model:
    """The model that `model.name` names, for modalities of these widths.

    Raises:
        MitrError: no model has this name.
    """
    if model.name not in MODELS:
        raise MitrError(f"there is no model {model.name!r}; the models are {', '.join(sorted(MODELS))}")
    return MODELS[model.name](dims, model, loss)
