"""The models by name, and how a whole network is put together from a configuration."""

from collections.abc import Callable
from importlib import import_module

from mitr.config import LossConfig, ModelConfig
from mitr.errors import MitrError
from mitr.losses.task import Task
from mitr.models.base import Model

MODELS: dict[str, str] = {  # name -> module and class, imported when a model is asked for
    "mitr-dnet": "mitr.models.mitr_dnet:MitrDNet",
    "mitr-dnet-plus": "mitr.models.mitr_dnet_plus:MitrDNetPlus",
    "emt-dlfr": "mitr.models.emt_dlfr:EMTDLFR",
    "mult": "mitr.models.mult:MulT",
    "tfr-net": "mitr.models.tfr_net:TFRNet",
    "tfn": "mitr.models.tfn:TFN",
    "lmf": "mitr.models.lmf:LMF",
    "misa": "mitr.models.misa:MISA",
    "self-mm": "mitr.models.self_mm:SelfMM",
    "mean": "mitr.models.yardsticks:MeanLabel",
    "ridge": "mitr.models.yardsticks:Ridge",
}


def model_class(name: str) -> type[Model]:
    """The class that a model's name stands for.

    Raises:
        MitrError: no model has this name.
    """
    if name not in MODELS:
        raise MitrError(f"there is no model {name!r}; the models are {', '.join(sorted(MODELS))}")
    module, _, kind = MODELS[name].partition(":")
    found: type[Model] = getattr(import_module(module), kind)
    return found


def build_model(dims: dict[str, int], model: ModelConfig, loss: LossConfig, task: Task | None = None) -> Model:
    """The model that `model.name` names, for modalities of these widths.

    Raises:
        MitrError: no model has this name, or it lacks one of the options.
    """
    make: Callable[[dict[str, int], ModelConfig, LossConfig, Task], Model] = model_class(model.name)
    return make(dims, model, loss, task or Task())
