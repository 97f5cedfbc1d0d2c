"""Start a training run in a new folder, or go on with one that was stopped."""

import gc
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from mitr.allocator import keep_memory
from mitr.batches.examples import Examples
from mitr.data.normalize import Normalizer
from mitr.data.store import Dataset
from mitr.data.videos import divided_validation
from mitr.errors import MitrError
from mitr.files import discard_partials
from mitr.missing.schedules import described_validation
from mitr.models.network import Network
from mitr.models.yardsticks import Solved
from mitr.runs import checkpoint
from mitr.runs.building import build_network, check_vocabulary, network_info, parameter_count, with_text_encoder
from mitr.runs.config import RunConfig
from mitr.runs.info import RUN_JSON, DataInfo, Outcome, RunInfo, write_run_info
from mitr.runs.provenance import git_state, installed_versions
from mitr.runs.run import STATE, Run, write_normalizer
from mitr.training.log import TrainingLog
from mitr.training.loop import Trainer
from mitr.training.seeding import seed_everything
from mitr.training.settling import settle
from mitr.training.solving import solve


def train(
    data: Dataset | str | Path,
    out: str | Path,
    config: RunConfig | None = None,
    *,
    quiet: bool = False,
    command: str | None = None,
) -> Run:
    """Train a model on the train split, stopping and selecting on the validation split.

    Args:
        data: a store, or its folder.
        out: the run folder to make.
        config: the options; None for the defaults.
        quiet: show no progress bar.
        command: the command line to record.

    Returns:
        The finished run, without prediction intervals (`mitr.api.train` calibrates them too).

    Raises:
        MitrError: the folder holds a run already, or data and options do not go together.
    """
    dataset = data if isinstance(data, Dataset) else Dataset(data)
    config = config or RunConfig()
    out = Path(out)
    if (out / RUN_JSON).exists():
        raise MitrError(f"{out} holds a run already: choose another folder, or go on with `mitr train --resume {out}`")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise MitrError(f"{out} is not an empty folder: choose another one for the run")
    config = settle(config, dataset.info)
    _check_data(dataset, config)
    seed_everything(config.train.seed)
    normalizer = Normalizer.fit(dataset, config.normalize)
    info = network_info(dataset, config)
    network = build_network(config, info)
    check_vocabulary(network, dataset)
    run_info = RunInfo(
        config=config,
        network=with_text_encoder(info, network),
        data=DataInfo.of(dataset),
        selection=_selection_rule(config),
        parameters=parameter_count(network),
        versions=installed_versions(),
        git=git_state(),
        command=command,
    )
    out.mkdir(parents=True, exist_ok=True)
    write_normalizer(out, normalizer)
    write_run_info(out, run_info)
    return _fit(Run(out), dataset, network, quiet)


def resume(folder: str | Path, data: Dataset | str | Path | None = None, *, quiet: bool = False) -> Run:
    """Continue a run that was stopped, to the same numbers as if it never had been.

    Args:
        folder: the run folder.
        data: the store, if it is no longer where the run began.
        quiet: show no progress bar.

    Raises:
        MitrError: no run there, or the data are not the same.
    """
    run = Run(folder)
    if run.finished:
        return run
    discard_partials(run.folder)
    dataset = data if isinstance(data, Dataset) else run.data(data)
    if not run.trained_on(dataset):
        raise MitrError(f"{dataset.folder} is not the data set that {run.folder} was trained on (its hash differs)")
    seed_everything(run.config.train.seed)
    return _fit(run, dataset, build_network(run.config, run.info.network), quiet)


def _fit(run: Run, data: Dataset, network: Network, quiet: bool) -> Run:
    if run.config.model.has_separate_teacher:
        teacher = _teacher(run, data, quiet).load_network()
        network = Network(network.model, network.text, network.special_tokens, network.prior.tolist(), teacher)
    normalizer = run.normalizer()
    stopping, _ = divided_validation(data, run.config.train.calibration_share)
    sets = [Examples(data, rows, normalizer, network.text) for rows in (data.indices("train"), stopping)]
    if isinstance(network.model, Solved):
        return _solve(run, network, sets[0], sets[1])
    keep_memory(run.config.train.keep_memory)  # of the whole process
    gc.collect()  # a cycle in PyTorch's optimiser keeps the networks of earlier runs
    trainer = Trainer(network, sets[0], sets[1], run.config, run.folder, run.info.network, quiet)
    if (run.folder / STATE).exists():
        trainer.resume()
    trainer.fit()
    if trainer.best is None:
        raise MitrError(
            f"{run.folder}: no epoch gave a finite validation {run.config.train.select}; nothing was selected"
        )
    write_run_info(run.folder, run.info.ended(Outcome(trainer.epoch, trainer.best_epoch, trainer.best)))
    (run.folder / STATE).unlink(missing_ok=True)  # nothing is left to resume
    return Run(run.folder)


def _solve(run: Run, network: Network, train: Examples, valid: Examples) -> Run:
    row = solve(network, train, valid, run.config)
    log = TrainingLog(run.folder, [], quiet=True)
    log.add(row)
    log.close()
    checkpoint.save(run.weights, checkpoint.weights(network), run.info.network.to_json())
    value = row["valid_corr" if run.config.train.select == "corr" else "valid_mae"]
    write_run_info(run.folder, run.info.ended(Outcome(1, 0, float(value or 0.0))))
    return Run(run.folder)


def _teacher(run: Run, data: Dataset, quiet: bool) -> Run:
    folder = run.folder / "teacher"
    if (folder / RUN_JSON).exists():
        return resume(folder, data, quiet=quiet)
    alone = replace(run.config, model=run.config.model.of_teacher())
    alone = replace(alone, missing=replace(alone.missing, schedule="none", modality_rate=0.0, block_share=0.0))
    return train(data, folder, alone, quiet=quiet, command=run.info.command)


def _selection_rule(config: RunConfig) -> str:
    share, split = config.train.calibration_share, "the validation split"
    if share:
        split += f" without the {share:.0%} of it that calibrate intervals"
    best = f"best {config.train.select} on {split}, mean over {described_validation(config.missing)}"
    return f"{best}, stopped after {config.train.patience} epochs without improvement; the test split was not used"


def _check_data(data: Dataset, config: RunConfig) -> None:
    for m, lengths in data.lengths.items():
        if not lengths[data.indices("train")].any() and lengths.any():
            warnings.warn(f"{m} is absent from the whole train split, so nothing is learned of it", stacklevel=3)
    share = config.train.calibration_share
    stopping, calibrating = divided_validation(data, share)
    for split, rows in (("train", data.indices("train")), ("valid", stopping)):
        if not np.isfinite(data.labels[rows]).any():
            raise MitrError(
                f"{data.folder}: the {split} split has no labels, so nothing can be trained or selected on it"
                + (f" without the {share:.0%} that train.calibration_share keeps out" if share and len(rows) else "")
            )
    if not np.isfinite(data.labels[calibrating]).any():
        raise MitrError(f"--train.calibration_share {share}: no clip with a label is in that share of {data.folder}")
