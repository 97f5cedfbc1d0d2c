"""A run: the folder that training fills, and how one is started, continued and opened again.

`run.json` (options, data, versions, selection rule), `model.safetensors` (the best epoch), `state.safetensors` (the
last one, to resume from), `normalizer.safetensors`, `history.csv`, `tensorboard/`.
"""

import platform
import subprocess
import warnings
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import set_seed

import mitr
from mitr.batches.examples import Examples
from mitr.config import RunConfig, TextConfig
from mitr.data.normalize import Normalizer
from mitr.data.schema import Modality
from mitr.data.store import Dataset
from mitr.data.videos import divided_validation
from mitr.errors import MitrError
from mitr.files import discard_partials, read_json, write_json
from mitr.losses.task import task_of
from mitr.missing.schedules import described_validation
from mitr.models.network import Network
from mitr.models.registry import build_model, model_class
from mitr.models.yardsticks import Solved
from mitr.runs import checkpoint
from mitr.text.encoder import TextEncoder
from mitr.threads import use_threads
from mitr.training.log import TrainingLog
from mitr.training.loop import Trainer
from mitr.training.settling import settle
from mitr.training.solving import solve

if TYPE_CHECKING:
    from mitr.prediction.answer import Prediction
    from mitr.prediction.predictor import Predictor

PACKAGES = ("torch", "transformers", "accelerate", "safetensors", "numpy", "pandas", "pyarrow")


class Run:
    """An existing run folder.

    Attributes:
        folder: where it lies.
        about: the content of `run.json`.
        config: its options.
    """

    def __init__(self, folder: str | Path):
        """Open a run.

        Raises:
            MitrError: the folder holds no run.
        """
        self.folder = Path(folder)
        if not (self.folder / "run.json").is_file():
            raise MitrError(
                f"{self.folder} is not a mitr run (it has no run.json): train one with `mitr train DATA --out RUN`"
            )
        path = self.folder / "run.json"
        self.about = read_json(path)
        needed = {"config", "network", "data", "selection"}
        if not isinstance(self.about, dict) or not needed <= self.about.keys():
            raise MitrError(f"{path} does not describe a run of this version")
        self.config = RunConfig.from_json(self.about["config"], str(path))
        self._predictor: Predictor | None = None

    @property
    def finished(self) -> bool:
        """Training ended by its own rule."""
        return bool(self.about.get("finished"))

    def normalizer(self) -> Normalizer:
        """The normalisation that was fitted on the train split."""
        tensors, _ = checkpoint.load(self.folder / "normalizer.safetensors")
        return Normalizer.from_tensors({name: tensor.numpy() for name, tensor in tensors.items()})

    def network(self) -> Network:
        """The network of the best epoch, in evaluation mode, on the CPU.

        Raises:
            MitrError: there is no checkpoint yet, it does not fit, or the text encoder is not at hand.
        """
        path = self.folder / "model.safetensors"
        tensors, about = checkpoint.load(path)
        network = _build(self.config, about)
        checkpoint.load_weights(network, tensors, str(path))
        return network.eval()

    def examples(self, data: Dataset, split: str, network: Network, rows: np.ndarray | None = None) -> Examples:
        """A split as this run sees it.

        Args:
            data: the data set.
            split: train, valid or test.
            network: the run's.
            rows: those of the data set to take of the split; None: all.

        Raises:
            MitrError: the data do not have the modalities or widths of the run.
        """
        check_fit(self.about["network"], data, str(self.folder))
        _check_vocabulary(network, data)
        known = list(self.about["network"]["modalities"])
        chosen = data.indices(split) if rows is None else rows
        return Examples(data, chosen, self.normalizer(), network.text, known)

    def predict(self, file: str | Path | None, **options: Any) -> "Prediction":
        """Answer about a clip; the options are those of `mitr.prediction.predictor.Predictor.predict`.

        The network is loaded at the first call and kept. For modalities to leave out, limits or speech recognition,
        make a `Predictor` of the run.

        Args:
            file: a video or audio file; None: `text` alone.
            **options: text, explain, segments, window.

        Raises:
            MitrError: the file is no media file, or the run was trained on features that no clip can give.
        """
        from mitr.prediction.predictor import Predictor  # which needs runs itself

        if self._predictor is None:
            self._predictor = Predictor(self)
        return self._predictor.predict(file, **options)

    def data(self, place: str | Path | None = None) -> Dataset:
        """The store at `place`, or the one that the run was trained on.

        Raises:
            MitrError: it is not there any more.
        """
        trained_on = Path(self.about["data"]["folder"])
        if place is None and not (trained_on / "dataset.json").exists():
            raise MitrError(f"the data of {self.folder} are no longer at {trained_on}: name their folder")
        return Dataset(place or trained_on)


def load(folder: str | Path) -> Run:
    """Open a run folder."""
    return Run(folder)


def train(
    data: Dataset | str | Path,
    out: str | Path,
    config: RunConfig | None = None,
    *,
    quiet: bool = False,
    command: str | None = None,
    calibrate: bool = True,
) -> Run:
    """Train a model on the train split, stopping and selecting on the validation split.

    Args:
        data: a store, or its folder.
        out: the run folder to make.
        config: the options; None for the defaults.
        quiet: show no progress bar.
        command: the command line to record.
        calibrate: make the prediction intervals that the run's answers carry, where the validation split can.

    Returns:
        The finished run.

    Raises:
        MitrError: the folder holds a run already, or data and options do not go together.
    """
    dataset = data if isinstance(data, Dataset) else Dataset(data)
    config = config or RunConfig()
    out = Path(out)
    if (out / "run.json").exists():
        raise MitrError(f"{out} holds a run already: choose another folder, or go on with `mitr train --resume {out}`")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise MitrError(f"{out} is not an empty folder: choose another one for the run")
    config = settle(config, dataset.info)
    _check_data(dataset, config)
    set_seed(config.train.seed)
    normalizer = Normalizer.fit(dataset, config.normalize)
    facts = _network_facts(dataset, config)
    network = _build(config, facts)
    _check_vocabulary(network, dataset)
    about = {
        "config": config.to_json(),
        "network": facts | {"text": network.text.identity if network.text else None},
        "data": _data_facts(dataset),
        "selection": _selection_rule(config),
        "parameters": _parameter_count(network),
        "versions": {"mitr": mitr.__version__, "python": platform.python_version()} | {p: version(p) for p in PACKAGES},
        "git": _git_state(),
        "command": command,
        "finished": False,
    }
    out.mkdir(parents=True, exist_ok=True)
    arrays = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in normalizer.to_tensors().items()}
    checkpoint.save(out / "normalizer.safetensors", arrays, {})
    write_json(out / "run.json", about)
    return _continue(Run(out), dataset, network, quiet, calibrate)


def resume(
    folder: str | Path, data: Dataset | str | Path | None = None, *, quiet: bool = False, calibrate: bool = True
) -> Run:
    """Continue a run that was stopped, to the same numbers as if it never had been.

    Args:
        folder: the run folder.
        data: the store, if it is no longer where the run began.
        quiet: show no progress bar.
        calibrate: as for `train`.

    Raises:
        MitrError: no run there, or the data are not the same.
    """
    run = Run(folder)
    if run.finished:
        return run
    discard_partials(run.folder)
    dataset = data if isinstance(data, Dataset) else run.data(data)
    if _data_facts(dataset)["sha256"] != run.about["data"]["sha256"]:
        raise MitrError(f"{dataset.folder} is not the data set that {run.folder} was trained on (its hash differs)")
    set_seed(run.config.train.seed)
    return _continue(run, dataset, _build(run.config, run.about["network"]), quiet, calibrate)


def check_fit(facts: dict[str, Any], data: Dataset, where: str) -> None:
    """Refuse data whose modalities or widths are not those of a run.

    Raises:
        MitrError: with what differs.
    """
    if facts.get("classes") != (data.info.classes and list(data.info.classes)):
        theirs = ", ".join(data.info.classes or ["labels on a scale"])
        ours = ", ".join(facts.get("classes") or ["labels on a scale"])
        raise MitrError(f"{data.folder} has {theirs[:200]}, but {where} was trained on {ours[:200]}")
    for m, expected in facts["modalities"].items():
        about = data.info.modalities.get(m)
        if about is None:
            raise MitrError(f"{data.folder} has no {m}, which {where} was trained with; import the set with it")
        if about.dim != expected["dim"]:
            raise MitrError(
                f"{data.folder}: {m} is {about.kind} of width {about.dim}, but {where} was trained on "
                f"{expected['kind']} of width {expected['dim']}; evaluate on data that were made in the same way"
            )
        made, wanted = about.extractor, expected.get("extractor")
        if made and wanted and made != wanted:
            raise MitrError(
                f"{data.folder}: {m} was made by {_described(made)}, but {where} was trained on {_described(wanted)}; "
                "extract the clips again with the same options"
            )


def _described(extractor: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in extractor.items())


def _check_vocabulary(network: Network, data: Dataset) -> None:
    about = data.info.modalities.get("text")
    if network.text is not None and about is not None and about.kind == "ids":
        network.text.check_vocabulary(about.tokenizer, str(data.folder))


def _continue(run: Run, data: Dataset, network: Network, quiet: bool, calibrate: bool) -> Run:
    finished = _fit(run, data, network, quiet)
    if calibrate:
        from mitr.evaluation.calibrating import calibrate_if_possible  # which needs runs itself

        calibrate_if_possible(finished, data)
    return finished


def _fit(run: Run, data: Dataset, network: Network, quiet: bool) -> Run:
    if run.config.model.teacher == "separate":
        teacher = _teacher(run, data, quiet).network()
        network = Network(network.model, network.text, network.special_tokens, network.prior.tolist(), teacher)
    normalizer = run.normalizer()
    stopping, _ = divided_validation(data, run.config.train.calibration_share)
    sets = [Examples(data, rows, normalizer, network.text) for rows in (data.indices("train"), stopping)]
    if isinstance(network.model, Solved):
        return _solve(run, network, sets[0], sets[1])
    trainer = Trainer(network, sets[0], sets[1], run.config, run.folder, run.about["network"], quiet)
    if (run.folder / "state.safetensors").exists():
        trainer.resume()
    trainer.fit()
    if trainer.best is None:
        raise MitrError(
            f"{run.folder}: no epoch gave a finite validation {run.config.train.select}; nothing was selected"
        )
    finished = run.about | {
        "finished": True,
        "epochs": trainer.epoch,
        "best_epoch": trainer.best_epoch,
        "best": trainer.best,
    }
    write_json(run.folder / "run.json", finished)
    (run.folder / "state.safetensors").unlink(missing_ok=True)  # nothing is left to resume
    return Run(run.folder)


def _solve(run: Run, network: Network, train: Examples, valid: Examples) -> Run:
    row = solve(network, train, valid, run.config)
    log = TrainingLog(run.folder, [], quiet=True)
    log.add(row)
    log.close()
    checkpoint.save(run.folder / "model.safetensors", checkpoint.weights(network), run.about["network"])
    value = row["valid_corr" if run.config.train.select == "corr" else "valid_mae"]
    write_json(run.folder / "run.json", run.about | {"finished": True, "epochs": 1, "best_epoch": 0, "best": value})
    return Run(run.folder)


def _teacher(run: Run, data: Dataset, quiet: bool) -> Run:
    folder = run.folder / "teacher"
    if (folder / "run.json").exists():
        return resume(folder, data, quiet=quiet, calibrate=False)
    alone = replace(run.config, model=replace(run.config.model, teacher="shared"))
    alone = replace(alone, missing=replace(alone.missing, schedule="none", modality_rate=0.0, block_share=0.0))
    return train(data, folder, alone, quiet=quiet, command=run.about["command"], calibrate=False)


def _build(config: RunConfig, facts: dict[str, Any]) -> Network:
    modalities: dict[str, Any] = facts["modalities"]
    needs_encoder = modalities.get("text", {}).get("kind") in ("ids", "raw")
    text = TextEncoder(text_options(config)) if needs_encoder else None
    recorded = facts.get("text")
    if text is not None and recorded and recorded["sha256"] != text.identity["sha256"]:
        raise MitrError(
            f"the text encoder {config.text.encoder!r} found here is not the one of the run (its weights differ); "
            "put the original one in its place"
        )
    dims = {m: text.dim if m == "text" and text else about["dim"] for m, about in modalities.items()}
    use_threads(config.train.threads, dims)
    model = build_model(dims, config.model, config.loss, task_of(config.imbalance, facts.get("classes")))
    return Network(model, text, facts["special_tokens"], facts["prior"])


def text_options(config: RunConfig) -> TextConfig:
    """The options of the text encoder, with what the model's kind adds to them."""
    kind = model_class(config.model.name)
    finetune = config.text.finetune and not issubclass(kind, Solved)
    hidden = kind.hidden_tokens if config.text.hidden == "auto" else config.text.hidden
    return replace(config.text, finetune=finetune, hidden=hidden)


def _network_facts(data: Dataset, config: RunConfig) -> dict[str, Any]:
    labels = data.labels[data.indices("train")]
    about_text = data.info.modalities.get("text")
    return {
        "model": config.model.name,
        "modalities": {m: _modality_facts(about) for m, about in data.info.modalities.items()},
        "special_tokens": bool(about_text and about_text.special_tokens),
        "prior": _prior(labels[np.isfinite(labels)], data.info.classes),
        "label_range": list(data.info.label_range),
        "classes": data.info.classes and list(data.info.classes),
    }


def _modality_facts(about: Modality) -> dict[str, Any]:
    facts: dict[str, Any] = {"kind": about.kind, "dim": about.dim}
    return facts | ({"extractor": about.extractor} if about.extractor else {})


def _parameter_count(network: Network) -> int:
    if isinstance(network.model, Solved):
        return network.model.weight.numel() + 1
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def _prior(labels: np.ndarray, classes: tuple[str, ...] | None) -> float | list[float]:
    """The median; or log shares of the classes, each with one more sample than it has, so that none is impossible."""
    if classes is None:
        return float(np.median(labels))
    counts = np.bincount(labels.astype(np.int64), minlength=len(classes)) + 1
    shares: list[float] = np.log(counts / counts.sum()).tolist()
    return shares


def _data_facts(data: Dataset) -> dict[str, Any]:
    return {
        "folder": str(data.folder.resolve()),
        "name": data.info.name,
        "sha256": data.info.content_sha256,
        "source": data.info.source.name,
        "source_sha256": data.info.source.sha256,
        "synthetic": data.info.synthetic,
    }


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


def _git_state() -> dict[str, Any] | None:
    """Commit of the source tree that mitr runs from; None for an installed copy."""
    place = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "-C", str(place), "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
        changes = subprocess.run(
            ["git", "-C", str(place), "status", "--porcelain"], capture_output=True, text=True, check=True, timeout=10
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "modified": bool(changes.strip())}


__all__ = ["Run", "check_fit", "load", "resume", "train"]
