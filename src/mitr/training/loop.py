"""The training loop: every model, every schedule, one loop.

Everything random in an epoch (batch order, masks, dropout) is drawn from (seed, epoch), so a run that is resumed at an
epoch's start goes on to the same numbers as one that was never stopped.
"""

import math
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mitr.allocator import keep_memory
from mitr.batches.examples import Examples
from mitr.batches.hiding import hide
from mitr.batches.sampler import LengthSortedBatches
from mitr.batches.views import Batch, Targets, View, to_device
from mitr.config import TrainConfig
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
from mitr.training.log import TrainingLog

READING_BATCH = 64
LOWER_IS_BETTER = {"loss": True, "mae": True, "corr": False, "f1": False}
SHOWN = {"mae": "mae", "corr": "corr", "f1": "f1_weighted", "ua": "ua"}  # name in the history -> metric


def accelerator_for(config: TrainConfig) -> Accelerator:
    """The device and number format that the options ask for."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise MitrError("--train.device cuda: PyTorch sees no GPU here; use --train.device auto or cpu")
    cpu = config.device == "cpu" or not torch.cuda.is_available()
    precision = config.precision
    if precision == "auto":
        precision = "bf16" if not cpu and torch.cuda.is_bf16_supported() else "no"
    AcceleratorState._reset_state(reset_partial_state=True)  # each run of a process has its own device and format
    return Accelerator(cpu=cpu, mixed_precision=precision, gradient_accumulation_steps=config.accumulate)


class Trainer:
    """Trains a network in a run folder.

    Args:
        network: what to train.
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
        keep_memory(config.train.keep_memory)
        self.config, self.folder, self.info, self.quiet = config, folder, info, quiet
        self.train_set, self.valid_set = train, valid
        self.accelerator = accelerator_for(config.train)
        self.network = network.to_device(self.accelerator.device)
        weights, chances = rare_labels(train, config)
        self.order = LengthSortedBatches(train.costs(), config.train.batch_size, config.train.seed, chances)
        optimizer = torch.optim.Adam(parameter_groups(network, config.train), fused=True)
        self.wrapped: nn.Module
        self.wrapped, self.optimizer, self.loader = self.accelerator.prepare(
            network, optimizer, DataLoader(train, batch_sampler=self.order, collate_fn=train.collate)
        )
        self.extents = train.extents()
        self.valid_masks = schedules.for_validation(config.missing, valid.extents())
        self.epoch = 0
        self.best: float | None = None
        self.best_epoch = -1
        self.rows: list[EpochRow] = []
        place = self.accelerator.device
        unimodal = {m: torch.from_numpy(own).to(place) for m, own in train.unimodal.items()}
        plain = Targets.plain(torch.from_numpy(train.labels).to(place), unimodal)
        self.targets = plain._replace(weights=torch.from_numpy(weights).to(plain.weights))
        network.model.begin(self.targets)
        self.complete_views = self._views(train, None) if network.remembers_texts else []

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
        self.accelerator.free_memory()  # several runs in one process would otherwise add up

    @property
    def finished(self) -> bool:
        """No epoch is left, or too many have passed without improvement."""
        options = self.config.train
        waited = self.epoch - 1 - self.best_epoch
        return self.epoch >= options.max_epochs or (self.epoch > 0 and waited >= options.patience)

    def validate(self) -> dict[str, float]:
        """MAE and Corr, or F1 and UA (and the loss, if it selects) of the incomplete view, means over its rates."""
        found: dict[str, list[float]] = defaultdict(list)
        scale = self.valid_set.data.info.scale
        known = np.isfinite(self.valid_set.labels)
        for masks in self.valid_masks.values():
            predictions, total = self._predict_valid(masks)
            values = compute(scale, predictions[known], self.valid_set.labels[known])
            for name, key in SHOWN.items():
                if key in values:
                    found[name].append(values[key] or 0.0)  # a constant answer follows nothing: Corr 0
            if self.config.train.select == "loss":
                found["loss"].append(total)
        return {name: float(np.mean(values)) for name, values in found.items()}

    def resume(self) -> None:
        """Take up the state that the last finished epoch left.

        Raises:
            MitrError: it is missing or does not belong to this network.
        """
        path = self.folder / "state.safetensors"
        tensors, header = checkpoint.load(path)
        progress = TrainingProgress.from_json(header, str(path))
        parts: dict[str, dict[str, Tensor]] = {"weights": {}, "optimizer": {}, "training": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(":")
            parts[part][rest] = tensor
        checkpoint.load_weights(self.network, parts["weights"], str(path))
        checkpoint.load_optimizer_state(self.network, self.optimizer.optimizer, parts["optimizer"])
        self.network.model.load_training_state(parts["training"])
        self.epoch, self.best, self.best_epoch = progress.epoch, progress.best, progress.best_epoch
        self.rows = progress.rows

    def _train_epoch(self, tick: Any) -> dict[str, float]:
        options = self.config.train
        set_seed(_mix(options.seed, self.epoch))
        self.order.epoch = self.epoch
        self.network.model.begin_epoch(self.epoch)
        masks = schedules.for_epoch(self.config.missing, self.extents, options.seed, self.epoch)
        self._prepare(self.train_set, masks)
        self.wrapped.train()
        sums: dict[str, float] = defaultdict(float)
        for index, batch in enumerate(self.loader):
            self._set_rates(self.epoch + index / len(self.order))
            with self.accelerator.accumulate(self.wrapped):
                output = self.wrapped(batch.view, self._hidden(batch, masks, self.train_set), self._targets(batch))
                # accelerate averages over accumulated batches; the release adds them up
                self.accelerator.backward(output.total * options.accumulate)
                if options.clip_norm and self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(self.wrapped.parameters(), options.clip_norm)
                self.optimizer.step()
                self.optimizer.zero_grad()
            if self.accelerator.sync_gradients:
                self.network.model.after_step()
            for name, term in (("total", output.total), *output.losses.items()):
                sums[name] += term.detach().float().item() * len(batch.labels)
            tick()
        if not math.isfinite(sums["total"]):
            raise MitrError(
                f"the training loss became {sums['total']} in epoch {self.epoch}: lower --train.lr, or look at the "
                "data with `mitr data inspect` (--normalize.audio robust tames extreme values)"
            )
        return {name: total / len(self.train_set) for name, total in sums.items()}

    def _set_rates(self, epochs_done: float) -> None:
        options = self.config.train
        share = 1.0
        if options.lr_schedule == "cosine":
            share = 0.5 * (1 + math.cos(math.pi * epochs_done / options.max_epochs))
        for group in self.optimizer.param_groups:
            group["lr"] = share * group["full_lr"]

    def _predict_valid(self, masks: Masks) -> tuple[np.ndarray, float]:
        self._prepare(self.valid_set, masks)
        self.wrapped.eval()
        predictions, total = np.zeros(len(self.valid_set), np.float32), 0.0
        with torch.no_grad():
            for batch in self._batches_of(self.valid_set):
                hidden = self._hidden(batch, masks, self.valid_set)
                if self.config.train.select == "loss":
                    output = self.wrapped(batch.view, hidden, Targets.plain(batch.labels, batch.unimodal))
                else:
                    output = self.wrapped(hidden)
                predictions[batch.positions.cpu().numpy()] = output.label.float().cpu().numpy()
                total += output.total.item() * len(batch.labels)
        return predictions, total / len(self.valid_set)

    def _batches_of(self, examples: Examples) -> Iterator[Batch]:
        """A split in its own order, in every epoch the same."""
        for positions in LengthSortedBatches(examples.costs(), 2 * self.config.train.batch_size):
            yield to_device(examples.collate([examples[p] for p in positions]), self.accelerator.device)

    def _views(self, examples: Examples, masks: Masks | None) -> list[View]:
        """A whole split as a frozen text encoder reads it: in batches that no training option changes."""
        views = []
        for positions in LengthSortedBatches(examples.costs(), READING_BATCH):
            batch = examples.collate([examples[p] for p in positions])
            views.append(batch.view if masks is None else self._hidden(batch, masks, examples))
        return views

    def _prepare(self, examples: Examples, masks: Masks) -> None:
        if self.complete_views:
            with self.accelerator.autocast():
                self.network.prepare(self.complete_views, self._views(examples, masks))

    def _targets(self, batch: Batch) -> Targets:
        return Targets(batch.labels, batch.positions, self.targets.weights[batch.positions], batch.unimodal)

    def _hidden(self, batch: Batch, masks: Masks, examples: Examples) -> Any:
        return hide(batch.view, masks, batch.positions, examples.unknown)

    def _improves(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        if self.best is None:
            return True
        return value < self.best if LOWER_IS_BETTER[self.config.train.select] else value > self.best

    def _save_best(self, row: EpochRow) -> None:
        scores = {"epoch": row["epoch"], "validation": {k: v for k, v in row.items() if "valid" in k}}
        weights = checkpoint.weights(self.network)
        checkpoint.save(self.folder / "model.safetensors", weights, self.info.to_json() | scores)

    def _save_state(self) -> None:
        tensors = {f"weights:{name}": tensor for name, tensor in checkpoint.weights(self.network).items()}
        optimizer = checkpoint.optimizer_state(self.network, self.optimizer.optimizer)
        tensors |= {f"optimizer:{name}": tensor for name, tensor in optimizer.items()}
        tensors |= {f"training:{name}": tensor for name, tensor in self.network.model.training_state().items()}
        progress = TrainingProgress(self.epoch, self.best, self.best_epoch, self.rows)
        checkpoint.save(self.folder / "state.safetensors", tensors, asdict(progress))


def parameter_groups(network: Network, config: TrainConfig) -> list[dict[str, object]]:
    """The optimiser's groups, as published: text encoder with and without decay, audio, vision, the rest."""
    groups = [
        {"params": parameters, "full_lr": getattr(config, lr), "weight_decay": getattr(config, decay)}
        for name, parameters in network.model.parameter_groups().items()
        for lr, decay in [("lr", "decay") if name == "other" else (f"lr_{name}", f"decay_{name}")]
    ]
    if network.text is not None and network.text.finetune:
        named = list(network.text.named_parameters())
        plain = [p for name, p in named if name.endswith("bias") or "LayerNorm" in name or "layer_norm" in name]
        decayed = [p for _, p in named if not any(p is other for other in plain)]
        groups.append({"params": decayed, "full_lr": config.lr_text, "weight_decay": config.decay_text})
        groups.append({"params": plain, "full_lr": config.lr_text, "weight_decay": 0.0})
    return groups


def rare_labels(train: Examples, config: RunConfig) -> tuple[np.ndarray, np.ndarray | None]:
    """How much each sample of the train split counts, (N,), and its chance to be drawn, (N,) or None: all once."""
    about, options = train.data.info, config.imbalance
    weights, chances = np.ones(len(train)), None
    if options.weighting == "lds":
        weights = rarity(train.labels, about.label_range, options, about.classes, smooth=True)
    if options.sampling == "balanced":
        chances = rarity(train.labels, about.label_range, options, about.classes) / len(train)
    return weights, chances


def _mix(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _shown(value: float | None) -> str:
    return "none yet" if value is None else f"{value:.4f}"
