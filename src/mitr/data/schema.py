"""What `dataset.json` says of a store: small documented dataclasses, checked as they are read."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from mitr.data.scale import Scale
from mitr.errors import MitrError

SCHEMA_VERSION = 1
MODALITIES = ("text", "audio", "vision")
SPLITS = ("train", "valid", "test")
Kind = Literal["features", "embeddings", "ids", "raw"]


@dataclass
class Modality:
    """One modality of a store.

    Args:
        kind: `features` (audio, vision), or for text `embeddings`, token `ids`, or `raw` (only `raw_text` is
            kept and it is tokenised when it is used).
        dim: columns of a feature or embedding row; None for `ids` and `raw`.
        padded_length: steps that the source padded to. Published masks depend on it, since their random
            stream runs over the padding; None where the source had no padding (then the longest sample
            counts).
        special_tokens: text only: the first step is [CLS] and the last one [SEP].
        tokenizer: text ids only: the vocabulary, as a Hugging Face name such as `bert-base-uncased`.
        extractor: how the features were made of clips (`mitr.media.registry.FeatureRecipe`); None where the source had
            the features.
    """

    kind: Kind
    dim: int | None = None
    padded_length: int | None = None
    special_tokens: bool = False
    tokenizer: str | None = None
    extractor: dict[str, object] | None = None

    def __post_init__(self) -> None:
        if self.kind in ("features", "embeddings") and not (isinstance(self.dim, int) and self.dim > 0):
            raise MitrError(f"a modality of kind {self.kind!r} needs a positive dim, not {self.dim!r}")


@dataclass
class Cleaning:
    """What the import changed or noticed in one modality, over the whole set.

    Args:
        nonfinite_values: values that were NaN or infinite and became 0.
        nonfinite_samples: samples with at least one of them.
        absent_samples: samples without this modality (no entry, length 0, or nothing but zeros).
        zeroed_samples: those of them that had a length but held nothing but zeros (or unknown tokens).
        missing_steps: zero rows (or unknown tokens) inside the true length of present samples.
        steps: steps inside the true length of present samples.
        constant_features: columns with one value over all available steps.
        extreme_features: column -> [lowest, highest], for columns whose extremes lie more than 20 standard
            deviations (robust: 1.4826 x median absolute deviation) from the median or beyond 1e4 in size.
    """

    nonfinite_values: int = 0
    nonfinite_samples: int = 0
    absent_samples: int = 0
    zeroed_samples: int = 0
    missing_steps: int = 0
    steps: int = 0
    constant_features: list[int] = field(default_factory=list)
    extreme_features: dict[str, list[float]] = field(default_factory=dict)


@dataclass
class Source:
    """Where a store came from: the file's name (no folder), its format and SHA-256 (64 hex digits)."""

    name: str
    format: str
    sha256: str | None = None


@dataclass
class DatasetInfo:
    """The content of `dataset.json`.

    Args:
        name: a short name for tables and titles.
        label_range: lowest and highest label that the scale allows, e.g. (-3, 3) for CMU-MOSI; (0, C - 1) for classes.
        modalities: name -> Modality, for every modality that any sample has.
        source: where the data came from.
        cleaning: name -> Cleaning.
        modality_labels: modalities that have labels of their own (CH-SIMS).
        classes: names of the C classes, where a label is the index of one; None where labels lie on a scale.
        synthetic: true for made data; every report says so.
        notes: sentences to show with the data (warnings of the import).
        content_sha256: of the store's samples and features, set when they are written; runs record it.
    """

    name: str
    label_range: tuple[float, float]
    modalities: dict[str, Modality]
    source: Source
    cleaning: dict[str, Cleaning] = field(default_factory=dict)
    modality_labels: list[str] = field(default_factory=list)
    classes: tuple[str, ...] | None = None
    synthetic: bool = False
    notes: list[str] = field(default_factory=list)
    content_sha256: str | None = None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        self.classes = None if self.classes is None else tuple(self.classes)  # JSON has lists

    @property
    def scale(self) -> Scale:
        """The scale of the labels, with the family of metrics that it is usually measured with."""
        return Scale.of(self.label_range, self.classes)

    def to_json(self) -> dict[str, object]:
        """A plain dictionary for `dataset.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any, where: str = "dataset.json") -> "DatasetInfo":
        """Rebuild from `dataset.json`.

        Raises:
            MitrError: a wrong schema version, or a field that is missing, unknown or of the wrong form.
        """
        version = value.get("schema_version") if isinstance(value, dict) else None
        if version != SCHEMA_VERSION:
            raise MitrError(f"{where}: schema version {version!r} is not {SCHEMA_VERSION}; import the source again")
        try:
            fields = dict(value)
            low, high = fields.pop("label_range")
            modalities = {name: Modality(**m) for name, m in fields.pop("modalities").items()}
            cleaning = {name: Cleaning(**c) for name, c in fields.pop("cleaning").items()}
            source = Source(**fields.pop("source"))
            return cls(
                label_range=(float(low), float(high)),
                modalities=modalities,
                cleaning=cleaning,
                source=source,
                **fields,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MitrError(f"{where}: not a data set description of this version: {error}") from None
