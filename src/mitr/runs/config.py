"""All options of a run: the model with its own options, and the sections that every model shares.

The command line, YAML files and the `config` of `run.json` have the same sections; a model's weights of loss terms are
the section `loss`, its other options stand beside its name in the section `model`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mitr.config import ImbalanceConfig, MissingConfig, NormalizeConfig, TextConfig, TrainConfig
from mitr.errors import MitrError
from mitr.models.base import Model
from mitr.models.options import LOSS, ModelOptions, TeacherOptions, hints
from mitr.models.registry import model_class

DEFAULT_MODEL = "mitr-dnet"
SECTIONS: dict[str, type[Any]] = {
    "text": TextConfig,
    "missing": MissingConfig,
    "normalize": NormalizeConfig,
    "train": TrainConfig,
    "imbalance": ImbalanceConfig,
}


@dataclass(frozen=True)
class ModelConfig:
    """A model and its options.

    Args:
        name: a model of the registry, of an installed plugin, or `module:Class`.
        options: an instance of the model's `options_class`; None: its defaults.

    Raises:
        MitrError: no model has this name, or the options are those of another model.
    """

    name: str = DEFAULT_MODEL
    options: ModelOptions = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        kind = self.kind.options_class
        if self.options is None:
            object.__setattr__(self, "options", kind())
        elif type(self.options) is not kind:
            raise MitrError(f"the model {self.name} takes {kind.__name__}, not {type(self.options).__name__}")

    @classmethod
    def of(cls, name: str = DEFAULT_MODEL, **options: Any) -> "ModelConfig":
        """A model with some options changed, by the names of its dataclass's fields.

        Raises:
            MitrError: the model has no such option, or a value is not allowed.
        """
        return cls(name, model_class(name).options_class.read(options, name))

    @property
    def kind(self) -> type[Model[Any]]:
        """The model's class."""
        return model_class(self.name)

    @property
    def has_separate_teacher(self) -> bool:
        """A teacher is trained first, on the complete views."""
        return isinstance(self.options, TeacherOptions) and self.options.teacher == "separate"

    def of_teacher(self) -> "ModelConfig":
        """The teacher's model: the same, and its own teacher."""
        if not isinstance(self.options, TeacherOptions):
            raise MitrError(f"the model {self.name} takes no separate teacher")
        return replace(self, options=replace(self.options, teacher="shared"))

    def to_json(self) -> dict[str, dict[str, object]]:
        """The sections `model` and `loss`."""
        values = asdict(self.options)
        losses = {name.removeprefix(LOSS): value for name, value in values.items() if name.startswith(LOSS)}
        others = {name: value for name, value in values.items() if not name.startswith(LOSS)}
        return {"model": {"name": self.name, **others}, "loss": losses}

    @classmethod
    def from_json(
        cls, model: Mapping[str, object], loss: Mapping[str, object], recorded: bool = False
    ) -> "ModelConfig":
        """Rebuild from the sections `model` and `loss`.

        Args:
            model: the model's name, and its options but the weights of loss terms.
            loss: weights of loss terms.
            recorded: mitr wrote the sections, perhaps an earlier version in the former layout.

        Raises:
            MitrError: an option that the model does not have, or a value that is not allowed.
        """
        name = model.get("name", DEFAULT_MODEL)
        if not isinstance(name, str):
            raise MitrError(f"model.name is {name!r}; it must be a name")
        kind = model_class(name).options_class
        if "options" in model and recorded:
            return cls(name, kind.read(_of_former_layout(name, kind, model, loss), name))
        if "options" in model:
            raise MitrError("model.options is no option; write a model's options beside its name")
        values = {option: value for option, value in model.items() if option != "name"}
        if misplaced := [option for option in values if option.startswith(LOSS)]:
            raise MitrError(f"model.{misplaced[0]}: weights of loss terms belong to the section loss")
        return cls(name, kind.read(values | {f"{LOSS}{term}": value for term, value in loss.items()}, name))


def _of_former_layout(
    name: str, kind: type[ModelOptions], model: Mapping[str, object], loss: Mapping[str, object]
) -> dict[str, object]:
    """A model's options as earlier versions wrote them.

    There the sections `model` and `loss` were MITR-DNet's, whatever the model; the options of all others were the
    mapping `options` in `model`.
    """
    options = model["options"]
    if not isinstance(options, Mapping):
        raise MitrError(f"model.options is {options!r}; it must be a mapping of options")
    values = {kind.former.get(option, option): value for option, value in options.items()}
    if name == DEFAULT_MODEL:
        values |= {option: value for option, value in model.items() if option not in ("name", "options")}
    elif issubclass(kind, TeacherOptions) and "teacher" in model:
        values["teacher"] = model["teacher"]
    known = {option for option in hints(kind) if option.startswith(LOSS)}
    return values | {f"{LOSS}{term}": weight for term, weight in loss.items() if f"{LOSS}{term}" in known}


@dataclass
class RunConfig:
    """All sections of a training run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    text: TextConfig = field(default_factory=TextConfig)
    missing: MissingConfig = field(default_factory=MissingConfig)
    normalize: NormalizeConfig = field(default_factory=NormalizeConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    imbalance: ImbalanceConfig = field(default_factory=ImbalanceConfig)

    def to_json(self) -> dict[str, dict[str, object]]:
        """A plain dictionary, section by section."""
        return self.model.to_json() | {name: asdict(getattr(self, name)) for name in SECTIONS}

    @classmethod
    def from_json(
        cls, value: Mapping[str, Mapping[str, object]], where: str = "config.json", recorded: bool = False
    ) -> "RunConfig":
        """Rebuild from `to_json`; sections and options that are left out keep their defaults.

        Args:
            value: section -> option -> value.
            where: what messages call it.
            recorded: mitr wrote it, perhaps an earlier version.

        Raises:
            MitrError: an unknown section or option, or a value out of range.
        """
        sections = {name: options for name, options in value.items() if name not in ("model", "loss")}
        if unknown := sorted(sections.keys() - SECTIONS.keys()):
            there_are = ", ".join(("model", "loss", *SECTIONS))
            raise MitrError(f"{where}: there is no section {unknown[0]}; there are {there_are}")
        try:
            given = {name: SECTIONS[name](**options) for name, options in sections.items()}
            model = ModelConfig.from_json(value.get("model", {}), value.get("loss", {}), recorded)
        except (TypeError, AttributeError) as error:
            raise MitrError(f"{where}: not a run configuration of this version: {error}") from None
        except MitrError as error:
            raise MitrError(f"{where}: {error}") from None
        return cls(model, **given)
