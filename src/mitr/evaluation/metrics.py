"""Metrics of sentiment regression as MMSA defines them (thuiar/MMSA, `metricsTop.py`), of classes, and TFR-Net's AUILC.

Each metric is a function of sums over samples, so one call serves the value and all its bootstrap resamples.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mitr.data.scale import Scale
from mitr.errors import MitrError

Array = NDArray[np.float64]
Values = dict[str, "float | None"]


class Metric(NamedTuple):
    """How a metric is shown.

    Args:
        label: name for tables and axes.
        lower_is_better: true for errors.
        description: one sentence for readers.
        percent: the value is a share (0 to 1) that tables show in per cent.
    """

    label: str
    lower_is_better: bool
    description: str
    percent: bool = True

    @property
    def arrowed_label(self) -> str:
        """The label with an arrow that points to better values."""
        return f"{self.label} {'↓' if self.lower_is_better else '↑'}"


_ROUNDED = "share of samples whose prediction and label round to the same integer of the scale (halves to even)"

METRICS: dict[str, Metric] = {
    "mae": Metric("MAE", True, "mean absolute difference of prediction and label, in label units", False),
    "corr": Metric("Corr", False, "Pearson correlation of predictions and labels; undefined if one is constant", False),
    "acc7": Metric("Acc-7", False, f"{_ROUNDED}, clipped to −3…3"),
    "acc5": Metric(
        "Acc-5", False, "share in the right one of five classes (integers −2…2; CH-SIMS: cut at ±0.1, ±0.7)"
    ),
    "acc3": Metric("Acc-3", False, "share in the right one of three classes (cut at −0.1 and 0.1)"),
    "acc2": Metric("Acc-2", False, "share whose sign is right, where 0 counts as negative"),
    "acc2_has0": Metric("Acc-2 has-zero", False, "share whose sign is right, where neutral counts as positive"),
    "acc2_non0": Metric("Acc-2 non-zero", False, "share whose sign is right among samples whose label is not neutral"),
    "f1": Metric("F1", False, "F1 of the two signs weighted by the labels' support, where 0 counts as negative"),
    "f1_has0": Metric("F1 has-zero", False, "F1 of the two signs weighted by the labels' support; neutral is positive"),
    "f1_non0": Metric("F1 non-zero", False, "the same F1 among samples whose label is not neutral"),
    "accuracy": Metric("Accuracy", False, "share of samples whose class is right (weighted accuracy, WA)"),
    "ua": Metric("UA", False, "unweighted accuracy: the mean recall of the classes that occur"),
    "f1_weighted": Metric("F1 weighted", False, "F1 of the classes, weighted by the labels' support"),
    "f1_macro": Metric("F1 macro", False, "mean F1 of the classes that occur as label or prediction"),
}

_FLAT = 1e-6  # of the scale's width: a spread below float32 noise is a constant answer


def metric(key: str) -> Metric:
    """How the metric `key` is shown: its entry in `METRICS`, or one made for the `acc<k>` of another scale.

    Raises:
        MitrError: no such metric.
    """
    if key in METRICS:
        return METRICS[key]
    if key.startswith("acc") and key[3:].isdigit():
        return Metric(f"Acc-{key[3:]}", False, _ROUNDED)
    raise MitrError(f"no metric is called {key!r}; there are {', '.join(METRICS)}")


def metric_keys(scale: Scale) -> list[str]:
    """The metrics of the scale's family in the order of tables."""
    return list(measure(scale, np.zeros(1), np.zeros(1)))


def compute(scale: Scale, prediction: ArrayLike, truth: ArrayLike) -> Values:
    """All metrics of the scale's family over n samples, unrounded.

    `general` is the MOSI set for any other scale: signs are taken around the middle of the range (0 for a
    symmetric one), and Acc-k rounds values clipped to the k integers inside the range (−2…2 gives `acc5`;
    left out where k < 2).

    Args:
        scale: of the labels.
        prediction: (n,) predicted labels, label units (indices of classes). The order of the two matters: F1 is
            weighted by the truth.
        truth: (n,) labels, label units.

    Returns:
        Key -> value. Shares and F1 lie in [0, 1], `corr` in [−1, 1], `mae` is in label units. None where a
        value is undefined: `corr` of constant predictions or labels (standard deviation below 1e-6 of the
        scale's width) or of n < 2; `acc2_non0` and `f1_non0` if every label is neutral; everything if n = 0.

    Raises:
        MitrError: a value is NaN or infinite, or the shapes differ.

    Source:
        MMSA's `MetricsTop`; MITR-DNet, section IV (MOSI: has-zero / non-zero; SIMS: clipped to ±1). Classes: as
        scikit-learn has them.
    """
    predicted, true = np.asarray(prediction, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != true.shape or predicted.ndim != 1:
        raise MitrError(
            f"predictions {predicted.shape} and labels {true.shape} must be two equally long rows of numbers"
        )
    check_finite(predicted, true)
    return {key: defined(value) for key, value in measure(scale, predicted, true).items()}


def check_finite(prediction: Array, truth: Array) -> None:
    """Refuse NaN and infinite values.

    Raises:
        MitrError: says how many predictions or labels are not finite.
    """
    for name, values in (("predictions", prediction), ("labels", truth)):
        if bad := int(np.count_nonzero(~np.isfinite(values))):
            raise MitrError(f"{bad} of {values.size} {name} are NaN or infinite; metrics need finite numbers")


def defined(value: Any) -> float | None:
    """A plain float, or None for NaN."""
    number = float(value)
    return number if np.isfinite(number) else None


def measure(scale: Scale, prediction: Array, truth: Array, counts: Array | None = None) -> dict[str, Array]:
    """All metrics of the scale's family over the last axis, NaN where undefined; `compute` says what they are.

    Args:
        scale: of the labels.
        prediction: (..., n) finite values.
        truth: (..., n) or (n,) finite values.
        counts: (R, n), how often each of R resamples holds each sample; None counts each sample once.

    Returns:
        Key -> (...,), or (..., R) with `counts`.
    """
    flat = _FLAT * scale.width
    if scale.family == "classes":
        return _of_classes(prediction, truth, int(scale.high) + 1, counts)
    if scale.family == "sims":
        prediction, truth = np.clip(prediction, -1, 1), np.clip(truth, -1, 1)
        values = _regression(prediction, truth, flat, counts)
        values["acc2"] = _accuracy(_above(prediction, 0), _above(truth, 0), counts)
        values["acc3"] = _accuracy(_above(prediction, -0.1, 0.1), _above(truth, -0.1, 0.1), counts)
        five = (-0.7, -0.1, 0.1, 0.7)
        values["acc5"] = _accuracy(_above(prediction, *five), _above(truth, *five), counts)
        values["f1"] = _weighted_f1(prediction > 0, truth > 0, counts)
        return values
    if scale.family == "mosi":
        middle, rounded = 0.0, {"acc7": (-3.0, 3.0), "acc5": (-2.0, 2.0)}
    else:
        middle, ends = scale.middle, (float(np.ceil(scale.low)), float(np.floor(scale.high)))
        classes = int(ends[1] - ends[0]) + 1
        rounded = {f"acc{classes}": ends} if classes > 1 else {}
    values = _regression(prediction, truth, flat, counts)
    for key, ends in rounded.items():
        values[key] = _accuracy(np.round(np.clip(prediction, *ends)), np.round(np.clip(truth, *ends)), counts)
    non_zero = truth != middle
    pairs = {
        "has0": (prediction >= middle, truth >= middle, None),
        "non0": (prediction > middle, truth > middle, non_zero),
    }
    values |= {f"acc2_{name}": _accuracy(p, t, counts, among) for name, (p, t, among) in pairs.items()}
    values |= {f"f1_{name}": _weighted_f1(p, t, counts, among) for name, (p, t, among) in pairs.items()}
    return values


def auilc(rates: ArrayLike, values: ArrayLike, divided: bool = False) -> Any:
    """Area under a metric's curve over missing rates, Σ (x_i + x_{i+1})/2 · (r_{i+1} − r_i), last axis.

    Args:
        rates: (R,) missing rates, strictly rising.
        values: (..., R) the metric at each rate; NaN gives NaN.
        divided: divide by (last − first rate), which makes it a mean on the metric's own scale. Published
            AUILC values are **not** divided, so those over 0…0.5 (CH-SIMS) look half as large.

    Returns:
        A float for (R,), otherwise (...,).

    Raises:
        MitrError: fewer than two rates, or rates that do not rise.

    Source:
        TFR-Net (Yuan et al., 2021), section 4.3; used by EMT-DLFR and MITR-DNet (Table I).
    """
    at, x = np.asarray(rates, np.float64), np.asarray(values, np.float64)
    if at.ndim != 1 or at.size < 2 or not np.all(np.diff(at) > 0):
        raise MitrError(f"AUILC needs at least two missing rates in rising order, not {at.tolist()}")
    if x.shape[-1:] != at.shape:
        raise MitrError(f"AUILC needs one value per missing rate: {x.shape[-1:]} values, {at.size} rates")
    area = ((x[..., 1:] + x[..., :-1]) / 2 * np.diff(at)).sum(-1)
    area = area / (at[-1] - at[0]) if divided else area
    return float(area) if area.ndim == 0 else area


def zero_for_undefined(key: str, values: Array) -> Array:
    """Undefined correlations become 0 in sums over rates (a constant orders nothing); others stay NaN."""
    return np.nan_to_num(values, nan=0.0) if key == "corr" else values


def _total(x: ArrayLike, counts: Array | None) -> Array:
    """(..., n) -> (...,), or (..., R) under counts (R, n)."""
    x = np.asarray(x, np.float64)
    return x.sum(-1) if counts is None else x @ counts.T


def _ratio(top: Array, bottom: Array) -> Array:
    top, bottom = np.broadcast_arrays(np.asarray(top, np.float64), np.asarray(bottom, np.float64))
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)


def _mean(x: ArrayLike, counts: Array | None, among: ArrayLike | None = None) -> Array:
    keep = np.ones(np.shape(x)) if among is None else np.broadcast_to(among, np.shape(x))
    return _ratio(_total(np.asarray(x, np.float64) * keep, counts), _total(keep, counts))


def _regression(prediction: Array, truth: Array, flat: float, counts: Array | None) -> dict[str, Array]:
    return {
        "mae": _mean(np.abs(prediction - truth), counts),
        "corr": _pearson(prediction, truth, flat, counts),
    }


def _pearson(a: Array, b: Array, flat: float, counts: Array | None) -> Array:
    if a.shape[-1] == 0:
        return _mean(a, counts)
    a, b = _centred(a), _centred(b)
    mean_a, mean_b = _mean(a, counts), _mean(b, counts)
    square_a, square_b = _mean(a * a, counts), _mean(b * b, counts)
    spread_a, spread_b = square_a - mean_a**2, square_b - mean_b**2
    covariance = _mean(a * b, counts) - mean_a * mean_b
    varies = (spread_a > np.maximum(flat**2, 1e-12 * square_a)) & (spread_b > np.maximum(flat**2, 1e-12 * square_b))
    product = np.where(varies, np.sqrt(np.maximum(spread_a, 0)) * np.sqrt(np.maximum(spread_b, 0)), 0)
    return np.clip(_ratio(covariance, product), -1, 1)


def _centred(x: Array) -> Array:
    x = x - x[..., :1]  # makes a constant exactly 0 before rounding can touch it
    return x - x.mean(-1, keepdims=True)


def _above(x: Array, *edges: float) -> Array:
    """Class of right-closed intervals, compared in float32 as MMSA does (a label of 0.1 is not above 0.1)."""
    single = x.astype(np.float32)
    return np.sum([single > np.float32(edge) for edge in edges], axis=0)


def _of_classes(predicted: Array, true: Array, classes: int, counts: Array | None) -> dict[str, Array]:
    recalls, f1s, weighted, occurring, named = (np.zeros(()) for _ in range(5))
    for index in range(classes):
        support, claimed = _total(true == index, counts), _total(predicted == index, counts)
        hits = _total((true == index) & (predicted == index), counts)
        f1 = np.nan_to_num(_ratio(2 * hits, support + claimed))
        recalls, f1s = recalls + np.nan_to_num(_ratio(hits, support)), f1s + f1
        weighted, occurring, named = weighted + f1 * support, occurring + (support > 0), named + (support + claimed > 0)
    return {
        "accuracy": _accuracy(predicted, true, counts),
        "ua": _ratio(recalls, occurring),
        "f1_weighted": _ratio(weighted, _total(np.ones(true.shape[-1]), counts)),
        "f1_macro": _ratio(f1s, named),
    }


def _accuracy(predicted: Any, true: Any, counts: Array | None, among: Any = None) -> Array:
    return _mean(predicted == true, counts, among)


def _weighted_f1(predicted: Any, true: Any, counts: Array | None, among: Any = None) -> Array:
    """F1 of both classes weighted by the support of the truth; 0 for a class never predicted."""
    keep = np.broadcast_to(True if among is None else among, np.shape(predicted))
    size = _total(keep, counts)
    result = np.where(size > 0, 0.0, np.nan)
    for side in (False, True):
        support = _total((true == side) & keep, counts)
        hits = _total((true == side) & (predicted == side) & keep, counts)
        claimed = _total((predicted == side) & keep, counts)
        f1 = np.nan_to_num(_ratio(2 * hits, support + claimed))
        result = result + f1 * np.nan_to_num(_ratio(support, size))
    return result
