"""A network from a run's options and what is known of its data, and whether data fit a network."""

from dataclasses import replace

import numpy as np

from mitr.config import TextConfig
from mitr.data.schema import Modality
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.losses.task import task_of
from mitr.models.base import Model
from mitr.models.network import Network
from mitr.models.registry import build_model
from mitr.models.yardsticks import Solved
from mitr.runs.config import RunConfig
from mitr.runs.info import NetworkInfo, TextEncoderInfo
from mitr.text.encoder import TextEncoder
from mitr.threads import use_threads


def network_info(data: Dataset, config: RunConfig) -> NetworkInfo:
    """What a network for a data set is built from; its text encoder is not known before it is loaded."""
    labels = data.labels[data.indices("train")]
    text = data.info.modalities.get("text")
    return NetworkInfo(
        model=config.model.name,
        modalities={m: Modality(one.kind, one.dim, extractor=one.extractor) for m, one in data.info.modalities.items()},
        special_tokens=bool(text and text.special_tokens),
        prior=_prior(labels[np.isfinite(labels)], data.info.classes),
        label_range=data.info.label_range,
        classes=data.info.classes,
    )


def with_text_encoder(info: NetworkInfo, network: Network) -> NetworkInfo:
    """The same, with the text encoder of the network that was built from it."""
    return replace(info, text=TextEncoderInfo(**network.text.identity) if network.text else None)


def build_network(config: RunConfig, info: NetworkInfo) -> Network:
    """A network with initial weights; sets the threads that its widths ask for.

    Raises:
        MitrError: there is no such model, or the text encoder is not at hand or is another one.
    """
    text_info = info.modalities.get("text")
    needs_encoder = text_info is not None and text_info.kind in ("ids", "raw")
    text = TextEncoder(text_options(config)) if needs_encoder else None
    if text is not None and info.text is not None and info.text.sha256 != text.identity["sha256"]:
        raise MitrError(
            f"the text encoder {config.text.encoder!r} at hand is not the one of the run (its weights differ); "
            "put the original one in its place"
        )
    dims = {m: text.dim if m == "text" and text else int(one.dim or 0) for m, one in info.modalities.items()}
    use_threads(config.train.threads, dims)
    return Network(model_of(config, info, dims), text, info.special_tokens, info.prior)


def model_of(config: RunConfig, info: NetworkInfo, dims: dict[str, int]) -> Model:
    """The model that the options name, for modalities of these widths (text: that of the encoder's states)."""
    return build_model(config.model.name, dims, config.model.options, task_of(config.imbalance, info.classes))


def text_options(config: RunConfig) -> TextConfig:
    """The options of the text encoder, with what the model's class adds to them."""
    kind = config.model.kind
    finetune = config.text.finetune and not issubclass(kind, Solved)
    hidden = kind.hidden_tokens if config.text.hidden == "auto" else config.text.hidden
    return replace(config.text, finetune=finetune, hidden=hidden)


def parameter_count(network: Network) -> int:
    """How many parameters are trained, or solved for."""
    if isinstance(network.model, Solved):
        return network.model.weight.numel() + 1
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def check_fit(info: NetworkInfo, data: Dataset, where: str) -> None:
    """Refuse data whose classes, modalities, widths or extractors are not those of a run.

    Raises:
        MitrError: with what differs.
    """
    if info.classes != data.info.classes:
        theirs, ours = (", ".join(classes or ["labels on a scale"]) for classes in (data.info.classes, info.classes))
        raise MitrError(f"{data.folder} has {theirs[:200]}, but {where} was trained on {ours[:200]}")
    for m, expected in info.modalities.items():
        given = data.info.modalities.get(m)
        if given is None:
            raise MitrError(f"{data.folder} has no {m}, which {where} was trained with; import the set with it")
        if given.dim != expected.dim:
            raise MitrError(
                f"{data.folder}: {m} is {given.kind} of width {given.dim}, but {where} was trained on "
                f"{expected.kind} of width {expected.dim}; evaluate on data that were made in the same way"
            )
        if given.extractor and expected.extractor and given.extractor != expected.extractor:
            made, wanted = (
                ", ".join(f"{name} {value}" for name, value in one.items())
                for one in (given.extractor, expected.extractor)
            )
            raise MitrError(
                f"{data.folder}: {m} was made by {made}, but {where} was trained on {wanted}; "
                "extract the clips again with the same options"
            )


def check_vocabulary(network: Network, data: Dataset) -> None:
    """Refuse token ids of another vocabulary than that of the network's text encoder.

    Raises:
        MitrError: the vocabularies differ.
    """
    text = data.info.modalities.get("text")
    if network.text is not None and text is not None and text.kind == "ids":
        network.text.check_vocabulary(text.tokenizer, str(data.folder))


def _prior(labels: np.ndarray, classes: tuple[str, ...] | None) -> float | list[float]:
    """The median; or log shares of the classes, each with one more sample than it has, so that none is impossible."""
    if classes is None:
        return float(np.median(labels))
    counts = np.bincount(labels.astype(np.int64), minlength=len(classes)) + 1
    shares: list[float] = np.log(counts / counts.sum()).tolist()
    return shares
