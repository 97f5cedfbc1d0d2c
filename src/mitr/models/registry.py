"""The models by name, and how one is built."""

from mitr.errors import MitrError
from mitr.losses.task import Task
from mitr.models.base import Model
from mitr.models.options import ModelOptions, hints
from mitr.plugins import Registry

MODELS = Registry(
    "model",
    "mitr.models",
    {
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
    },
)


def model_class(name: str) -> type[Model]:
    """The class that a model's name stands for.

    Args:
        name: one of `MODELS`, or `module:Class` of one's own.

    Raises:
        MitrError: no model has this name, or what has it is no model.
    """
    found = MODELS.find(name)
    if not (isinstance(found, type) and issubclass(found, Model)):
        raise MitrError(f"the model {name!r} must be a subclass of mitr.models.base.Model, not {found!r}")
    if not (isinstance(found.options_class, type) and issubclass(found.options_class, ModelOptions)):
        raise MitrError(f"the model {name!r}: its options_class must be a subclass of ModelOptions")
    if reserved := {"name", "options"} & hints(found.options_class).keys():
        raise MitrError(f"the model {name!r}: an option cannot be called {reserved.pop()}, a word of run.json")
    return found


def build_model(
    name: str, dims: dict[str, int], options: ModelOptions | None = None, task: Task | None = None
) -> Model:
    """A model for modalities of these widths.

    Args:
        name: the model's.
        dims: modality -> width of its features.
        options: the model's own; None: its defaults.
        task: what is predicted; None: one number, by its absolute error.

    Raises:
        MitrError: no model has this name.
    """
    return model_class(name)(dims, options, task)
