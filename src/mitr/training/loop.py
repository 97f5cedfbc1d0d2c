"""The training loop: every model, every schedule, one loop.

Everything random in an epoch (batch order, masks, dropout) is drawn from (seed, epoch), so a run that is resumed at an
epoch's start goes on to the same numbers as one that was never stopped.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mitr.batches.examples import Examples
from mitr.batches.sampler import LengthSortedBatches
from mitr.batches.views import Batch, Targets, View, to_device
from mitr.errors import MitrError
from mitr.evaluation.metrics import compute
from mitr.losses.imbalance import rarity
from mitr.missing import schedules
from mitr.missing.schedules import Masks
from mitr.models.network import Network
from mitr.runs import checkpoint
from mitr.runs.config import RunConfig
from mitr.runs.history import EpochRow
from mitr.runs.info import NetworkInfo, TrainingProgress
from mitr.runs.run import STATE, WEIGHTS
from mitr.training import optimizing
from mitr.training.device import autocast, chosen_device
from mitr.training.log import TrainingLog
from mitr.training.means import Means
from mitr.training.seeding import seed_everything

READING_BATCH = 64
LOWER_IS_BETTER = {"loss": True, "mae": True, "corr": False, "f1": False}
SHOWN = {"mae": "mae", "corr": "corr", "f1": "f1_weighted", "ua": "ua"}  # name in the history -> metric


class Trainer:
    """Trains a network in a run folder.

    Args:
        network: the network to train; it moves to the device of the options.
        train: the train split.
        valid: the validation split.
        config: all options of the run.
        folder: the run folder; gets `model.safetensors` (the best), `state.safetensors` (the last) and the log.
        info: what every checkpoint says of the network.
        quiet: show no progress bar.
    """

    def __init__(
        self,
        network: Network,
        train: Examples,
        valid: Examples,
        config: RunConfig,
        folder: Path,
        info: NetworkInfo,
        quiet: bool = False,
    ):
        self.config, self.folder, self.info, self.quiet = config, folder, info, quiet
        self.train_set, self.valid_set = train, valid
        self.device = chosen_device(config.train)
        self.network = network.to_device(self.device)
        self.optimizer = optimizing.adam(network, config.train)
        weights, chances = rare_labels(train, config)
        self.order = LengthSortedBatches(train.costs(), config.train.batch_size, config.train.seed, chances)
        self.extents = train.extents()
        self.valid_masks = schedules.for_validation(config.missing, valid.extents())
        self.epoch = 0
        self.best: float | None = None
        self.best_epoch = -1
        self.rows: list[EpochRow] = []
        unimodal = {m: torch.from_numpy(labels).to(self.device) for m, labels in train.unimodal.items()}
        plain = Targets.plain(torch.from_numpy(train.labels).to(self.device), unimodal)
        self.targets = plain._replace(weights=torch.from_numpy(weights).to(plain.weights))
        network.model.begin(self.targets)
        self.complete_views = _views(train, None) if network.remembers_texts else []

    def fit(self) -> None:
        """Train until the validation value stops improving or the epochs are used up."""
        options = self.config.train
        log = TrainingLog(self.folder, self.rows, self.quiet)
        with log.progress as progress:
            epochs = progress.add_task("epochs", total=options.max_epochs, completed=self.epoch, note="")
            batches = progress.add_task("batches", total=len(self.order), note="")
            while not self.finished:
                started = time.perf_counter()
                progress.reset(batches, total=len(self.order))
                row: EpochRow = {"epoch": self.epoch}
                for name, term in self._train_epoch(lambda: progress.advance(batches)).items():
                    row[f"train_{name}"] = term
                scores = self.validate()
                row |= {f"valid_{name}": score for name, score in scores.items()}
                value = scores[options.select]
                improved = self._improves(value)
                if improved:
                    self.best, self.best_epoch = value, self.epoch
                row |= {"best": improved, "seconds": round(time.perf_counter() - started, 3)}
                self.epoch += 1
                if improved:
                    self._save_best(row)
                log.add(row)
                self._save_state()
                note = f"valid {options.select} {_shown(value)}, best {_shown(self.best)} in epoch {self.best_epoch}"
                progress.update(epochs, advance=1, note=note)
        log.close()

    @property
    def finished(self) -> bool:
        """The epochs are used up, or `patience` of them have passed without improvement."""
        options = self.config.train
        waited = self.epoch - 1 - self.best_epoch
        return self.epoch >= options.max_epochs or (self.epoch > 0 and waited >= options.patience)

    def validate(self) -> dict[str, float]:
        """Scores of the incomplete views of the validation split, means over the views.

        MAE and Corr, or F1 and UA of classes; also the loss, if it selects.
        """
        by_view: dict[str, list[float]] = defaultdict(list)
        scale = self.valid_set.data.info.scale
        known = np.isfinite(self.valid_set.labels)
        for masks in self.valid_masks.values():
            predictions, total = self._predict_valid(masks)
            values = compute(scale, predictions[known], self.valid_set.labels[known])
            for name, key in SHOWN.items():
                if key in values:
                    by_view[name].append(values[key] or 0.0)  # Corr of a constant prediction is undefined: 0
            if self.config.train.select == "loss":
                by_view["loss"].append(total)
        return {name: float(np.mean(values)) for name, values in by_view.items()}

    def resume(self) -> None:
        """Load the state that was saved after the last finished epoch.

        Raises:
            MitrError: the state is missing or is one of another network.
        """
        path = self.folder / STATE
        tensors, header = checkpoint.load(path)
        progress = TrainingProgress.from_json(header, str(path))
        state: dict[str, dict[str, Tensor]] = {"weights": {}, "optimizer": {}, "training": {}}
        for full_name, tensor in tensors.items():
            kind, _, name = full_name.partition(":")
            state[kind][name] = tensor
        checkpoint.load_weights(self.network, state["weights"], str(path))
        checkpoint.load_optimizer_state(self.network, self.optimizer, state["optimizer"])
        self.network.model.load_training_state(state["training"])
        self.epoch, self.best, self.best_epoch = progress.epoch, progress.best, progress.best_epoch
        self.rows = progress.rows

    def _train_epoch(self, tick: Callable[[], None]) -> dict[str, float]:
        options = self.config.train
        seed_everything(_mix(options.seed, self.epoch))
        self.order.epoch = self.epoch
        self.network.model.begin_epoch(self.epoch)
        masks = schedules.for_epoch(self.config.missing, self.extents, options.seed, self.epoch)
        self._prepare(self.train_set, masks)
        self.network.train()
        loader = DataLoader(
            self.train_set, batch_sampler=self.order, collate_fn=partial(self.train_set.collate, masks=masks)
        )
        means, last = Means(), len(self.order) - 1
        for index, batch in enumerate(loader):
            batch = to_device(batch, self.device)
            with autocast(options, self.device):
                output = self.network(batch.view, batch.incomplete, self._targets(batch))
            output.total.backward()  # gradients of accumulated batches are summed, as in the release
            if (index + 1) % options.accumulate == 0 or index == last:
                optimizing.set_rates(self.optimizer, options, self.epoch + index / len(self.order))
                optimizing.step(self.optimizer, self.network, options)
            means.add({"total": output.total, **output.losses}, len(batch.labels))
            tick()
        losses = means.read()
        if not math.isfinite(losses["total"]):
            raise MitrError(
                f"the training loss became {losses['total']} in epoch {self.epoch}: lower --train.lr, or look at the "
                "data with `mitr data inspect` (--normalize.audio robust tames extreme values)"
            )
        return losses

    def _predict_valid(self, masks: Masks) -> tuple[np.ndarray, float]:
        """Predictions (N,) of the validation split's incomplete view, and its loss (0 unless the loss selects)."""
        self._prepare(self.valid_set, masks)
        self.network.eval()
        positions, predictions, means = [], [], Means()
        with torch.no_grad():
            for batch in self.valid_set.batches(2 * self.config.train.batch_size, masks):
                positions.append(batch.positions)
                batch = to_device(batch, self.device)
                with autocast(self.config.train, self.device):
                    if self.config.train.select == "loss":
                        targets = Targets.plain(batch.labels, batch.unimodal)
                        output = self.network(batch.view, batch.incomplete, targets)
                    else:
                        output = self.network(batch.incomplete)
                predictions.append(output.label.float())
                means.add({"loss": output.total}, len(batch.labels))
        in_order = torch.cat(predictions).cpu()[torch.cat(positions).argsort()]
        return in_order.numpy(), means.read()["loss"]

    def _prepare(self, examples: Examples, masks: Masks) -> None:
        if self.complete_views:
            with autocast(self.config.train, self.device):
                self.network.prepare(self.complete_views, _views(examples, masks))

    def _targets(self, batch: Batch) -> Targets:
        return Targets(batch.labels, batch.positions, self.targets.weights[batch.positions], batch.unimodal)

    def _improves(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        if self.best is None:
            return True
        return value < self.best if LOWER_IS_BETTER[self.config.train.select] else value > self.best

    def _save_best(self, row: EpochRow) -> None:
        scores = {"epoch": row["epoch"], "validation": {k: v for k, v in row.items() if "valid" in k}}
        weights = checkpoint.weights(self.network)
        checkpoint.save(self.folder / WEIGHTS, weights, self.info.to_json() | scores)

    def _save_state(self) -> None:
        tensors = {f"weights:{name}": tensor for name, tensor in checkpoint.weights(self.network).items()}
        optimizer = checkpoint.optimizer_state(self.network, self.optimizer)
        tensors |= {f"optimizer:{name}": tensor for name, tensor in optimizer.items()}
        tensors |= {f"training:{name}": tensor for name, tensor in self.network.model.training_state().items()}
        progress = TrainingProgress(self.epoch, self.best, self.best_epoch, self.rows)
        checkpoint.save(self.folder / STATE, tensors, asdict(progress))


def _views(examples: Examples, masks: Masks | None) -> list[View]:
    """A split as a frozen text encoder reads it: in batches that no training option changes."""
    return [batch.incomplete for batch in examples.batches(READING_BATCH, masks)]


def rare_labels(train: Examples, config: RunConfig) -> tuple[np.ndarray, np.ndarray | None]:
    """Loss weights of the train split's samples, (N,), and their chances to be drawn, (N,), or None: each once."""
    info, options = train.data.info, config.imbalance
    weights, chances = np.ones(len(train)), None
    if options.weighting == "lds":
        weights = rarity(train.labels, info.label_range, options, info.classes, smooth=True)
    if options.sampling == "balanced":
        chances = rarity(train.labels, info.label_range, options, info.classes) / len(train)
    return weights, chances


def _mix(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _shown(value: float | None) -> str:
    return "none yet" if value is None else f"{value:.4f}"
