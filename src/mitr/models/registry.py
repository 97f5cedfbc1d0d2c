"""The models by name, and how a whole network is put together from a configuration."""

from collections.abc import Callable
from importlib import import_module

from mitr.config import LossConfig, ModelConfig
from mitr.errors import MitrError
from mitr.losses.task import Task
from mitr.models.base import Model

MODELS: dict[str, str] = {  # name -> module and class, imported when a model is asked for
    "mitr-dnet": "mitr.models.mitr_dnet:MitrDNet",
}


def model_class(name: str) -> Callable[[dict[str, int], ModelConfig, LossConfig, Task], Model]:
    """The class that a model's name stands for.

    Raises:
        MitrError: no model has this name.
    """
    if name not in MODELS:
        raise MitrError(f"there is no model {name!r}; the models are {', '.join(sorted(MODELS))}")
    module, _, kind = MODELS[name].partition(":")
    found: Callable[[dict[str, int], ModelConfig, LossConfig, Task], Model] = getattr(import_module(module), kind)
    return found


def build_model(dims: dict[str, int], model: ModelConfig, loss: LossConfig, task: Task | None = None) -> Model:
    """The model that `model.name` names, for modalities of these widths.

    Raises:
        MitrError: no model has this name, or it lacks one of the options.
    """
    return model_class(model.name)(dims, model, loss, task or Task())
