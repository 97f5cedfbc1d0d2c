"""Files of masks of a data set: its samples are read, and its text tokenised, as an evaluation does it."""

from dataclasses import replace
from pathlib import Path

from mitr.batches.examples import Examples
from mitr.config import TextConfig
from mitr.data.normalize import Normalizer
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.missing.protocols import Protocol, protocol_named
from mitr.missing.saved import SavedMasks, read_masks, write_masks
from mitr.text.encoder import TextEncoder


def export_masks(
    data: Dataset | str | Path,
    protocol: Protocol | str,
    split: str,
    path: Path,
    text: TextConfig,
    overwrite: bool = False,
) -> SavedMasks:
    """Write the masks of a split under a protocol.

    Args:
        data: a store, or its folder.
        protocol: a protocol, or the name of a registered one.
        split: train, valid or test.
        path: the file to make.
        text: the encoder, whose tokens text masks are made for; not used where text is embeddings.
        overwrite: replace the file if it exists.

    Raises:
        MitrError: the data cannot serve the protocol, the encoder is not at hand, or the file exists.
    """
    if path.suffix != ".npz":
        raise MitrError(f"{path}: masks are written as .npz; call the file {path.name}.npz")
    if path.exists() and not overwrite:
        raise MitrError(f"{path} exists already: choose another file, or pass --overwrite to replace it")
    dataset = data if isinstance(data, Dataset) else Dataset(data)
    chosen = protocol if isinstance(protocol, Protocol) else protocol_named(protocol)
    if problems := chosen.problems(dataset, split):
        raise MitrError(f"{dataset.folder}: {'; '.join(problems)}")
    text_info = dataset.info.modalities.get("text")
    encoder = None
    if text_info is not None and text_info.kind in ("ids", "raw"):
        encoder = TextEncoder(replace(text, finetune=False))
        encoder.check_vocabulary(text_info.tokenizer, str(dataset.folder))
    examples = Examples(dataset, dataset.indices(split), Normalizer({}), encoder)
    header = {
        "protocol": chosen.name,
        "data": dataset.info.name,
        "split": split,
        "content_sha256": dataset.info.content_sha256,
        "text": encoder.identity["name"] if encoder else None,
    }
    conditions = chosen.conditions_of(dataset)
    write_masks(path, conditions, examples.ids, examples.extents(), header)
    return read_masks(path, examples.ids)
