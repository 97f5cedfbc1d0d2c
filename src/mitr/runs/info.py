"""What `run.json` and the header of a checkpoint say of a run: dataclasses that are read and checked here alone."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from mitr.data.schema import Modality
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.files import read_json, write_json
from mitr.runs.config import RunConfig
from mitr.runs.history import EpochRow

RUN_JSON = "run.json"
Value = TypeVar("Value")


@dataclass(frozen=True)
class TextEncoderInfo:
    """The text encoder of a run.

    Attributes:
        name: folder or hub id.
        vocabulary_size: tokens that it knows.
        dim: D of its states.
        sha256: of its weights before training; None where they are in no file that could be hashed.
    """

    name: str
    vocabulary_size: int
    dim: int
    sha256: str | None = None


@dataclass(frozen=True)
class NetworkInfo:
    """What a network is built from, besides the options.

    Attributes:
        model: name of the model.
        modalities: those that the data set had, with kind, width and extractor of their features.
        special_tokens: text embeddings begin with [CLS] and end with [SEP].
        prior: the answer where nothing was observed: median label, or log shares of the classes.
        label_range: lowest and highest label of the scale.
        classes: names of the classes; None where labels lie on a scale.
        text: the text encoder; None where text is embeddings or absent.
    """

    model: str
    modalities: dict[str, Modality]
    special_tokens: bool
    prior: float | list[float]
    label_range: tuple[float, float]
    classes: tuple[str, ...] | None = None
    text: TextEncoderInfo | None = None

    def to_json(self) -> dict[str, object]:
        """A plain dictionary, for `run.json` and for checkpoints."""
        return {
            "model": self.model,
            "modalities": self.modalities_json(),
            "special_tokens": self.special_tokens,
            "prior": self.prior,
            "label_range": list(self.label_range),
            "classes": None if self.classes is None else list(self.classes),
            "text": None if self.text is None else asdict(self.text),
        }

    def modalities_json(self) -> dict[str, dict[str, object]]:
        """Modality -> `kind`, `dim` and, of features made from clips, `extractor`."""
        return {
            m: {"kind": one.kind, "dim": one.dim} | ({"extractor": one.extractor} if one.extractor else {})
            for m, one in self.modalities.items()
        }

    @classmethod
    def from_json(cls, value: object, where: str) -> "NetworkInfo":
        """Rebuild from `to_json`; other entries are passed over.

        Raises:
            MitrError: an entry is missing or of the wrong form.
        """
        entries = _Entries(value, where)
        classes, text = entries.optional("classes", list), entries.optional("text", dict)
        return cls(
            entries.get("model", str),
            entries.checked("modalities", dict, _modalities),
            entries.get("special_tokens", bool),
            entries.checked("prior", object, _prior),
            entries.checked("label_range", list, _ends),
            None if classes is None else tuple(classes),
            None if text is None else entries.checked("text", dict, lambda about: TextEncoderInfo(**about)),
        )


@dataclass(frozen=True)
class DataInfo:
    """The data set that a run was trained on.

    Attributes:
        folder: where it was.
        name: its short name.
        sha256: of its samples and features.
        source: name of the file that it was made of.
        source_sha256: of that file.
        synthetic: the data are made up.
    """

    folder: str
    name: str
    sha256: str | None
    source: str
    source_sha256: str | None
    synthetic: bool

    @classmethod
    def of(cls, data: Dataset) -> "DataInfo":
        """Of a store."""
        info = data.info
        return cls(
            str(data.folder.resolve()),
            info.name,
            info.content_sha256,
            info.source.name,
            info.source.sha256,
            info.synthetic,
        )


@dataclass(frozen=True)
class GitState:
    """The commit of the source tree that trained a run, and whether the tree had other changes."""

    commit: str
    modified: bool


@dataclass(frozen=True)
class Outcome:
    """How training ended.

    Attributes:
        epochs: how many were trained.
        best_epoch: number of the one that was kept, from 0.
        best: its validation value, by the metric `config.train.select`.
    """

    epochs: int
    best_epoch: int
    best: float


@dataclass(frozen=True)
class RunInfo:
    """The content of `run.json`.

    Attributes:
        config: all options.
        network: what the network is built from.
        data: the data set that it was trained on.
        selection: the rule by which the best epoch is chosen, in words.
        parameters: how many are trained.
        versions: package -> version.
        git: the source tree; None for an installed package.
        command: the command line, if a run was started from one.
        outcome: how training ended; None before its end.
    """

    config: RunConfig
    network: NetworkInfo
    data: DataInfo
    selection: str
    parameters: int
    versions: dict[str, str]
    git: GitState | None = None
    command: str | None = None
    outcome: Outcome | None = None

    @property
    def finished(self) -> bool:
        """Training ended by its own rule."""
        return self.outcome is not None

    def ended(self, outcome: Outcome) -> "RunInfo":
        """The same run, trained to its end."""
        return replace(self, outcome=outcome)

    def to_json(self) -> dict[str, object]:
        """A plain dictionary for `run.json`."""
        return {
            "config": self.config.to_json(),
            "network": self.network.to_json(),
            "data": asdict(self.data),
            "selection": self.selection,
            "parameters": self.parameters,
            "versions": self.versions,
            "git": None if self.git is None else asdict(self.git),
            "command": self.command,
            "finished": self.finished,
            **({} if self.outcome is None else asdict(self.outcome)),
        }

    @classmethod
    def from_json(cls, value: object, where: str = RUN_JSON) -> "RunInfo":
        """Rebuild from `to_json`.

        Raises:
            MitrError: an entry is missing or of the wrong form.
        """
        entries = _Entries(value, where)
        git = entries.optional("git", dict)
        return cls(
            RunConfig.from_json(entries.get("config", dict), where, recorded=True),
            NetworkInfo.from_json(entries.get("network", dict), f"{where}, network"),
            entries.checked("data", dict, lambda about: DataInfo(**about)),
            entries.get("selection", str),
            entries.get("parameters", int),
            dict(entries.get("versions", dict)),
            None if git is None else entries.checked("git", dict, lambda about: GitState(**about)),
            entries.optional("command", str),
            _outcome(entries) if entries.optional("finished", bool) else None,
        )


@dataclass(frozen=True)
class TrainingProgress:
    """What the header of `state.safetensors` says: how far training has come.

    Attributes:
        epoch: the next one, from 0.
        best: the best validation value; None before there is a finite one.
        best_epoch: its epoch; -1 before there is one.
        rows: those of `history.csv`.
    """

    epoch: int
    best: float | None
    best_epoch: int
    rows: list[EpochRow]

    @classmethod
    def from_json(cls, value: object, where: str) -> "TrainingProgress":
        """Rebuild from `dataclasses.asdict`.

        Raises:
            MitrError: an entry is missing or of the wrong form.
        """
        entries = _Entries(value, where)
        best = entries.optional("best", (int, float))
        return cls(entries.get("epoch", int), best, entries.get("best_epoch", int), entries.get("rows", list))


def read_run_info(folder: Path) -> RunInfo:
    """What the `run.json` of a folder says.

    Raises:
        MitrError: there is none, or it does not describe a run of this version.
    """
    path = folder / RUN_JSON
    if not path.is_file():
        raise MitrError(f"{folder} is not a mitr run (it has no run.json): train one with `mitr train DATA --out RUN`")
    return RunInfo.from_json(read_json(path), str(path))


def write_run_info(folder: Path, info: RunInfo) -> None:
    """Write `run.json`, replacing it at once."""
    write_json(folder / RUN_JSON, info.to_json())


class _Entries:
    """The entries of a JSON object, checked as they are asked for."""

    def __init__(self, value: object, where: str):
        self.where = where
        if not isinstance(value, dict):
            raise self.fault("it is no JSON object")
        self.entries: dict[str, object] = value

    def fault(self, reason: str) -> MitrError:
        return MitrError(f"{self.where} does not describe a run of this version: {reason}")

    def get(self, name: str, kind: type[Value] | tuple[type[Value], ...]) -> Value:
        if name not in self.entries:
            raise self.fault(f"it has no entry {name!r}")
        value = self.entries[name]
        if not isinstance(value, kind):
            raise self.fault(f"its entry {name!r} is {str(value)[:80]!r}")
        return value

    def optional(self, name: str, kind: type[Value] | tuple[type[Value], ...]) -> Value | None:
        return None if self.entries.get(name) is None else self.get(name, kind)

    def checked(self, name: str, kind: type[Value], made: Callable[..., "Made"]) -> "Made":
        value = self.get(name, kind)
        try:
            return made(value)
        except (KeyError, TypeError, ValueError, AttributeError, MitrError) as error:
            raise self.fault(f"its entry {name!r} is not of the expected form ({error})") from None


Made = TypeVar("Made")


def _ends(value: list[float]) -> tuple[float, float]:
    low, high = value
    return float(low), float(high)


def _prior(value: object) -> float | list[float]:
    if isinstance(value, list):
        return [float(share) for share in value]
    if isinstance(value, int | float):
        return value
    raise ValueError(f"{value!r} is neither a number nor a list")


def _modalities(value: dict[str, dict[str, object]]) -> dict[str, Modality]:
    return {m: Modality(**about) for m, about in value.items()}  # type: ignore[arg-type]


def _outcome(entries: _Entries) -> Outcome:
    return Outcome(entries.get("epochs", int), entries.get("best_epoch", int), entries.get("best", (int, float)))
