"""The commands: thin functions whose signatures and docstrings are the help; what is heavy is imported inside."""

import sys
from pathlib import Path
from typing import Any, Literal

from mitr.config import (
    PUBLISHED_SEEDS,
    EncoderChoice,
    ImbalanceConfig,
    LossConfig,
    MissingConfig,
    ModelConfig,
    NormalizeConfig,
    RunConfig,
    TextConfig,
    TrainConfig,
)
from mitr.errors import MitrError


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
    overwrite: bool = False,
) -> None:
    """Turn an MMSA-style pickle, or a label.csv with features, into a data set.

    Args:
        source: a .pkl file, a folder with label.csv, or that file.
        out: the folder to make.
        splits: a CSV with the columns id,mode that puts each sample in train, valid or test, or leaves it out: unused.
        name: a short name for tables and titles.
        label_range: lowest and highest label of the scale, written as [-3,3]; otherwise inferred.
        text: which representation of text to keep.
        tokenizer: the vocabulary of the token ids, e.g. bert-base-chinese; otherwise inferred.
        task: what the labels are, numbers on a scale or classes; auto takes names in a label.csv as classes.
        overwrite: replace the folder if it exists.
    """
    from mitr.data.importing import import_dataset
    from mitr.data.inspecting import inspect, print_inspection

    place = Path(splits) if splits else None
    import_dataset(
        Path(source),
        Path(out),
        splits=place,
        name=name,
        label_range=label_range,
        text=text,
        tokenizer=tokenizer,
        task=task,
        overwrite=overwrite,
    )
    print_inspection(inspect(Path(out)))


def data_inspect(source: str) -> None:
    """Print splits, widths, lengths, labels, what is missing, what was cleaned, and warnings.

    Args:
        source: a data set's folder, or anything that `mitr data import` reads.
    """
    from mitr.data.inspecting import inspect, print_inspection

    print_inspection(inspect(Path(source)))


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
        text: text as embeddings, or as little English sentences for a text encoder.
        task: sentiment from -3 to 3, or four classes of unequal frequency.
        own_labels: each modality also has a label of its own.
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
    protocol: Literal["auilc", "mean", "modality-rate", "combinations", "blocks"],
    out: str,
    split: Literal["train", "valid", "test"] = "test",
    text: TextConfig = TextConfig(),  # noqa: B008 (jsonargparse reads the defaults; nothing changes them)
    overwrite: bool = False,
) -> None:
    """Write the masks of a split under a protocol as an .npz that numpy alone can read.

    Args:
        data: the data set's folder.
        protocol: how test data are made incomplete (docs/protocols.md).
        out: the file to make.
        split: the split.
        text: the text encoder, for whose tokens the masks of text are made.
        overwrite: replace the file if it exists.
    """
    from mitr.missing.exporting import export_masks

    saved = export_masks(data, protocol, split, Path(out), text, overwrite)
    print(f"{out}: masks of {len(saved.ids)} samples in {len(saved.conditions)} conditions")


def train_run(
    data: str | None = None,
    *,
    out: str | None = None,
    resume: str | None = None,
    model: ModelConfig = ModelConfig(),  # noqa: B008
    loss: LossConfig = LossConfig(),  # noqa: B008
    text: TextConfig = TextConfig(),  # noqa: B008
    missing: MissingConfig = MissingConfig(),  # noqa: B008
    normalize: NormalizeConfig = NormalizeConfig(),  # noqa: B008
    train: TrainConfig = TrainConfig(),  # noqa: B008
    imbalance: ImbalanceConfig = ImbalanceConfig(),  # noqa: B008
    quiet: bool = False,
) -> None:
    """Train a model on a data set, or go on with a run that was stopped.

    Args:
        data: the data set's folder; with --resume only if it has moved.
        out: the run folder to make.
        resume: the run folder to go on with; its own options are used.
        model: the network.
        loss: weights of the loss terms.
        text: the text encoder.
        missing: what the student does not see.
        normalize: scaling of features.
        train: the training loop.
        imbalance: how rare labels are made to count.
        quiet: show no progress bar.
    """
    from mitr.training import run as runs

    if resume is not None:
        if out is not None:
            raise MitrError("--resume names the run folder; --out does not go with it")
        if RunConfig(model, loss, text, missing, normalize, train, imbalance) != RunConfig():
            raise MitrError("a resumed run keeps its own options; leave out all but --resume, DATA and --quiet")
        if runs.Run(resume).finished:
            print(f"{resume} had finished already")
        try:
            run = runs.resume(resume, data, quiet=quiet)
        except KeyboardInterrupt:
            raise _interrupted(resume) from None
    else:
        if data is None or out is None:
            raise MitrError("name a data set and a run folder: mitr train DATA --out RUN (or mitr train --resume RUN)")
        config = RunConfig(model, loss, text, missing, normalize, train, imbalance)
        try:
            run = runs.train(data, out, config, quiet=quiet, command=_command())
        except KeyboardInterrupt:
            raise _interrupted(out) from None
    about, select = run.about, run.config.train.select
    best = f"best epoch {about['best_epoch']} of {about['epochs']}, validation {select} {about['best']:.4f}"
    print(f"{run.folder}: {best}")


def evaluate(
    run: str,
    *,
    data: str | None = None,
    protocol: Literal["complete", "auilc", "mean"] = "complete",
    out: str,
    split: Literal["train", "valid", "test"] = "test",
    metrics: Literal["auto", "mosi", "sims", "general"] = "auto",
    intervals: float | None = None,
    shapley: bool = False,
    resamples: int = 1000,
    overwrite: bool = False,
    quiet: bool = False,
) -> None:
    """Evaluate a run: metrics with confidence intervals, predictions and a report.

    Args:
        run: the run folder.
        data: the data set's folder; otherwise the one that the run was trained on.
        protocol: complete data; missing rates 0.0 to 1.0 with AUILC; or the mean over rates 0.0 to 0.9.
        out: the folder to make.
        split: the split to evaluate.
        metrics: the definitions to use; auto chooses by the label range.
        intervals: give each prediction an interval that holds this share of labels, such as 0.9, calibrated on the
            validation split.
        shapley: say what each modality added to each prediction.
        resamples: bootstrap resamples of the metrics' intervals.
        overwrite: replace the folder if it exists.
        quiet: show no progress bar.
    """
    from mitr.evaluation.evaluate import evaluate as evaluate_run

    found = evaluate_run(
        run,
        data,
        out=out,
        protocol=protocol,
        split=split,
        family=None if metrics == "auto" else metrics,
        intervals=intervals,
        explain=shapley,
        resamples=resamples,
        overwrite=overwrite,
        quiet=quiet,
        command=_command(),
    )
    _print_metrics(found.summary.to_json())
    print(f"{Path(out) / 'report.html'}")


def robustness(
    data: str,
    *,
    out: str,
    per_rate: bool = False,
    seeds: tuple[int, ...] = PUBLISHED_SEEDS,
    rates: tuple[float, ...] | None = None,
    split: Literal["valid", "test"] = "test",
    metrics: Literal["auto", "mosi", "sims", "general"] = "auto",
    model: ModelConfig = ModelConfig(),  # noqa: B008
    loss: LossConfig = LossConfig(),  # noqa: B008
    text: TextConfig = TextConfig(),  # noqa: B008
    missing: MissingConfig = MissingConfig(),  # noqa: B008
    normalize: NormalizeConfig = NormalizeConfig(),  # noqa: B008
    train: TrainConfig = TrainConfig(),  # noqa: B008
    imbalance: ImbalanceConfig = ImbalanceConfig(),  # noqa: B008
    quiet: bool = False,
) -> None:
    """Train over several seeds and report how the model degrades as data go missing; stopped, it can be called again.

    Args:
        data: the data set's folder.
        out: the folder for runs, results and report.
        per_rate: one model per missing rate on the published masks, instead of one model for all rates.
        seeds: seeds of the training runs, written as [111,1111].
        rates: missing rates, written as [0.0,0.5]; otherwise those of AUILC.
        split: the split to report.
        metrics: the definitions to use; auto chooses by the label range.
        model: the network.
        loss: weights of the loss terms.
        text: the text encoder.
        missing: what the student does not see.
        normalize: scaling of features.
        train: the training loop; its seed is replaced.
        imbalance: how rare labels are made to count.
        quiet: show no progress.
    """
    from mitr.evaluation.robustness import robustness as run_robustness

    config = RunConfig(model, loss, text, missing, normalize, train, imbalance)
    try:
        found = run_robustness(
            data,
            out,
            config,
            per_rate=per_rate,
            seeds=seeds,
            rates=rates,
            split=split,
            family=None if metrics == "auto" else metrics,
            quiet=quiet,
            command=_command(),
        )
    except KeyboardInterrupt:
        raise MitrError(f"interrupted; the same command goes on where it stopped in {out}") from None
    _print_metrics(found.aggregate)
    print(f"{Path(out) / 'report.html'}")


def bench(
    data: list[str],
    *,
    models: str,
    protocol: str = "auilc",
    seeds: str = ",".join(map(str, PUBLISHED_SEEDS)),
    out: str,
    variants: str | None = None,
    per_rate: bool = False,
    reference: str | None = None,
    jobs: int = 0,
    model: ModelConfig = ModelConfig(),  # noqa: B008
    loss: LossConfig = LossConfig(),  # noqa: B008
    text: TextConfig = TextConfig(),  # noqa: B008
    missing: MissingConfig = MissingConfig(),  # noqa: B008
    normalize: NormalizeConfig = NormalizeConfig(),  # noqa: B008
    train: TrainConfig = TrainConfig(),  # noqa: B008
    imbalance: ImbalanceConfig = ImbalanceConfig(),  # noqa: B008
    quiet: bool = False,
) -> None:
    """Compare models under missing-data protocols: one plan, one table, one report; stopped, it can be called again.

    Args:
        data: folders of data sets, or of the folds of one.
        models: names, with commas between them, e.g. mitr-dnet,emt-dlfr,ridge.
        protocol: names, with commas between them: auilc, mean, modality-rate, combinations, blocks.
        seeds: seeds of the training runs, with commas between them.
        out: the folder for runs, masks, results and report.
        variants: a YAML file with further entries, name -> sections of options that differ.
        per_rate: protocol auilc trains one model per missing rate, as published.
        reference: the model that the others are tested against; otherwise the first.
        jobs: processes at a time; 0 for one per core.
        model: the network; its name is replaced.
        loss: weights of the loss terms.
        text: the text encoder.
        missing: what the student does not see, where the protocol leaves it open.
        normalize: scaling of features.
        train: the training loop; its seed is replaced.
        imbalance: how rare labels are made to count.
        quiet: show no progress.
    """
    from mitr.bench.plan import read_variants
    from mitr.bench.run import run_bench

    found = run_bench(
        data,
        out,
        models=_words(models),
        protocols=_words(protocol),
        seeds=_numbers(seeds),
        config=RunConfig(model, loss, text, missing, normalize, train, imbalance),
        variants=read_variants(Path(variants)) if variants else None,
        per_rate=per_rate,
        reference=reference,
        jobs=jobs,
        quiet=quiet,
        command=_command(),
    )
    print((found.folder / "tables.md").read_text(encoding="utf-8"))
    print(f"{found.folder / 'report.html'}")
    if found.failed:
        raise MitrError(f"{len(found.failed)} of {len(found.jobs)} runs failed; the same command tries them again")


def reproduce(
    experiment: str,
    *,
    out: str,
    data: str | None = None,
    text: EncoderChoice = EncoderChoice(),  # noqa: B008
    jobs: int = 0,
    quiet: bool = False,
) -> None:
    """Run a published row again and compare: ours, theirs, and whether they agree; stopped, it can be called again.

    Args:
        experiment: a YAML file, or the name of one in experiments/published.
        out: the folder for runs and comparison.
        data: the data set's folder; without it, the error says which file it is to be made of.
        text: another place of the text encoder.
        jobs: processes at a time; 0 for one per core.
        quiet: show no progress.
    """
    from mitr.bench import reproduce as reproducing
    from mitr.bench.experiments import find_experiment, read_experiment

    row = read_experiment(find_experiment(experiment))
    found = reproducing.reproduce(row, data, out, text=text, jobs=jobs, quiet=quiet, command=_command())
    reproducing.print_reproduction(found)
    print(f"{Path(out) / 'reproduction.md'}")
    if found.failed:
        raise MitrError(f"{found.failed} runs failed; the same command tries them again")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.strip("[]()").split(",") if word.strip()]


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in _words(text)]
    except ValueError:
        raise MitrError(f"--seeds {text}: write whole numbers with commas between them, such as 0,1,2") from None


def _interrupted(folder: str) -> MitrError:
    if not (Path(folder) / "run.json").exists():
        return MitrError("interrupted before anything was trained; call the same command again")
    return MitrError(f"interrupted; go on with: mitr train --resume {folder}")


def _command() -> str:
    import shlex

    return shlex.join(["mitr", *sys.argv[1:]])


def _print_metrics(summary: dict[str, Any]) -> None:
    """The metrics at each missing rate, and over them, of one evaluation or of several seeds (their means)."""
    from rich.console import Console
    from rich.table import Table

    from mitr.evaluation.metrics import metric

    rows = {f"{entry['rate']:.1f}": entry["metrics"] for entry in summary["by_rate"]}
    if summary["auilc"]:
        rows["AUILC"] = {k: entry.get("published", entry) for k, entry in summary["auilc"].items()}
        rows["AUILC / range"] = {k: _divided(entry) for k, entry in summary["auilc"].items()}
    if summary["mean"]:
        rows[f"mean to {summary['mean']['rates'][-1]:.1f}"] = summary["mean"]["metrics"]
    keys = list(summary["by_rate"][0]["metrics"])
    table = Table("rate", *(metric(key).label for key in keys))
    for name, entries in rows.items():
        values = [entries[key].get("value", entries[key].get("mean")) for key in keys]
        table.add_row(name, *("–" if value is None else f"{value:.3f}" for value in values))
    Console().print(table)


def _divided(entry: dict[str, Any]) -> dict[str, Any]:
    divided = entry["divided_by_range"]
    return divided if isinstance(divided, dict) else {"value": divided}
