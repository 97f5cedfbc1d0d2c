"""Commands that make, read and describe data sets and masks."""

from pathlib import Path
from typing import Literal

from mitr.config import TextConfig


def data_import(
    source: str,
    *,
    out: str,
    splits: str | None = None,
    name: str | None = None,
    label_range: tuple[float, float] | None = None,
    text: Literal["auto", "ids", "embeddings", "raw"] = "auto",
    tokenizer: str | None = None,
    task: Literal["auto", "regression", "classification"] = "auto",
    reader: str | None = None,
    overwrite: bool = False,
) -> None:
    """Turn an MMSA-style pickle, or a label.csv with features, into a data set.

    Args:
        source: a .pkl file, a folder with label.csv, or that file; or what the reader of an installed package knows.
        out: the folder to make.
        splits: a CSV with the columns id,mode that puts each sample in train, valid or test, or leaves it out: unused.
        name: a short name for tables and titles.
        label_range: lowest and highest label of the scale, written as [-3,3]; otherwise inferred.
        text: which representation of text to keep.
        tokenizer: the vocabulary of the token ids, e.g. bert-base-chinese; otherwise inferred.
        task: what the labels are, numbers on a scale or classes; auto takes names in a label.csv as classes.
        reader: the reader of the format: mmsa, label_csv, that of an installed package, or module:NAME of one's own;
            otherwise the one that knows the source.
        overwrite: replace the folder if it exists.
    """
    from mitr.data.importing import import_dataset
    from mitr.data.inspecting import inspect, print_inspection

    import_dataset(
        Path(source),
        Path(out),
        splits=Path(splits) if splits else None,
        name=name,
        label_range=label_range,
        text=text,
        tokenizer=tokenizer,
        task=task,
        reader=reader,
        overwrite=overwrite,
    )
    print_inspection(inspect(Path(out)))


def data_inspect(source: str, *, reader: str | None = None) -> None:
    """Print splits, widths, lengths, labels, what is missing, what was cleaned, and warnings.

    Args:
        source: a data set's folder, or anything that `mitr data import` reads.
        reader: the reader of the format, as for `mitr data import`.
    """
    from mitr.data.inspecting import inspect, print_inspection

    print_inspection(inspect(Path(source), reader))


def data_verify(file: str) -> None:
    """Compare a file's SHA-256 with those of the published MOSI, MOSEI and SIMS pickles.

    Args:
        file: the pickle.
    """
    from mitr.data.verifying import verify

    print(verify(Path(file)))


def data_synth(
    *,
    out: str,
    seed: int = 0,
    train: int = 600,
    valid: int = 150,
    test: int = 300,
    text: Literal["embeddings", "raw"] = "embeddings",
    task: Literal["regression", "classification"] = "regression",
    own_labels: bool = False,
    overwrite: bool = False,
) -> None:
    """Make a synthetic data set whose three modalities carry shared and private evidence of the label.

    Args:
        out: the folder to make.
        seed: the same seed gives the same bytes.
        train: samples of the train split.
        valid: samples of the valid split.
        test: samples of the test split.
        text: text as embeddings, or as short English sentences for a text encoder.
        task: sentiment from -3 to 3, or four classes of unequal frequency.
        own_labels: each modality also has a label from its evidence alone.
        overwrite: replace the folder if it exists.
    """
    from mitr.data.synth import synthesise

    data = synthesise(
        Path(out),
        seed=seed,
        train=train,
        valid=valid,
        test=test,
        text=text,
        task=task,
        own_labels=own_labels,
        overwrite=overwrite,
    )
    print(f"{out}: {len(data)} synthetic samples")


def masks_export(
    data: str,
    *,
    protocol: str,
    out: str,
    split: Literal["train", "valid", "test"] = "test",
    text: TextConfig = TextConfig(),  # noqa: B008 (jsonargparse reads the defaults; nothing changes them)
    overwrite: bool = False,
) -> None:
    """Write the masks of a split under a protocol as an .npz that numpy alone can read.

    Args:
        data: the data set's folder.
        protocol: how test data are made incomplete: complete, auilc, mean, modality-rate, combinations, blocks
            (docs/protocols.md), that of an installed package, or module:NAME.
        out: the file to make.
        split: the split.
        text: the text encoder, for whose tokens the masks of text are made.
        overwrite: replace the file if it exists.
    """
    from mitr.evaluation.mask_files import export_masks

    saved = export_masks(data, protocol, split, Path(out), text, overwrite)
    print(f"{out}: masks of {len(saved.ids)} samples in {len(saved.conditions)} conditions")
