"""What prediction intervals of every kind have in common: a half width by what was observed of a clip."""

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from mitr.data.scale import ends_of
from mitr.errors import MitrError
from mitr.evaluation.metrics import Array

_SLACK = 1e-9  # relative, of widths that are a product of floating-point numbers


class Intervals(ABC):
    """Intervals prediction ± half width.

    Attributes:
        level: share of new clips whose label the interval is to contain, in (0, 1).
        modalities: those that the calibration clips had, in the order of MODALITIES.
        clips: distinct labelled clips that calibrated them.
    """

    level: float
    modalities: tuple[str, ...]
    clips: int

    @abstractmethod
    def half_width(self, observed: Mapping[str, Array] | pd.DataFrame) -> Array:
        """Half widths (n,) of the intervals, in label units, before they are clipped to the scale.

        Args:
            observed: `observed_<modality>` -> (n,) share of its steps that the model saw, in [0, 1], of all modalities
                of the calibration; others are not read. The table of `predict_under` has these columns.

        Raises:
            MitrError: a modality lacks, or a share lies outside [0, 1].
        """

    def interval(self, table: pd.DataFrame, label_range: Sequence[float]) -> pd.DataFrame:
        """The intervals `low`, `high` of each row of a `predict_under` table, clipped to the scale.

        Args:
            table: with `prediction` and `observed_<modality>`.
            label_range: lowest and highest label of the scale.

        Raises:
            MitrError: a column lacks, or a share lies outside [0, 1].
        """
        width = self.half_width(table)
        check_columns(table, ["prediction"])
        middle = table["prediction"].to_numpy(np.float64)
        bounds = {"low": middle - width, "high": middle + width}
        return pd.DataFrame({name: np.clip(ends, *ends_of(label_range)) for name, ends in bounds.items()}, table.index)

    def coverage(self, table: pd.DataFrame) -> float:
        """Share of the labelled rows of a `predict_under` table whose label lies in its interval; NaN of none."""
        table = table[table["label"].notna()]
        return float(self.contains(table).mean()) if len(table) else math.nan

    def contains(self, table: pd.DataFrame) -> np.ndarray:
        """(n,) bool: the label of each row of a `predict_under` table lies in its interval."""
        return absolute_errors(table) <= self.half_width(table) * (1 + _SLACK)


def coverage_by_rate(table: pd.DataFrame, intervals: Intervals) -> pd.DataFrame:
    """How often the intervals contain the label under each condition of a `predict_under` table.

    Args:
        table: of another split than the one that the intervals were calibrated on.
        intervals: the calibrated intervals.

    Returns:
        One row per condition, in the table's order: `condition`, `rate` (NaN where it has none), `n` labelled samples,
        `coverage`, `width` (mean of the whole width before clipping, label units), `low`, `high` (95 % Wilson interval
        of the coverage, with samples as independent; the chance in the choice of calibration clips is not in it).

    Raises:
        MitrError: a column lacks, or a share lies outside [0, 1].

    Source:
        Wilson, Journal of the American Statistical Association 22 (1927).
    """
    check_columns(table, ("condition", "rate", "label", "prediction"))
    table = table[table["label"].notna()]
    scored = table.assign(_inside=intervals.contains(table), _width=2 * intervals.half_width(table))
    rows = []
    for (condition, rate), part in scored.groupby(["condition", "rate"], sort=False, dropna=False):
        hits, n = int(part["_inside"].sum()), len(part)
        bounds = binomtest(hits, n).proportion_ci(confidence_level=0.95, method="wilson")
        row = {"condition": condition, "rate": rate, "n": n, "coverage": hits / n, "width": part["_width"].mean()}
        rows.append(row | {"low": float(bounds.low), "high": float(bounds.high)})
    return pd.DataFrame(rows, columns=["condition", "rate", "n", "coverage", "width", "low", "high"])


def absolute_errors(table: pd.DataFrame) -> Array:
    """|label - prediction| of each row, (n,).

    Raises:
        MitrError: one of them is not finite.
    """
    error = np.abs(table["label"].to_numpy(np.float64) - table["prediction"].to_numpy(np.float64))
    if not np.isfinite(error).all():
        raise MitrError("a label or prediction is not finite, so no interval can be made of it")
    return error


def observed_of(observed: Mapping[str, Array] | pd.DataFrame, modalities: Collection[str]) -> Array:
    """The observed shares as a matrix (n, M), a column a modality.

    Raises:
        MitrError: a column lacks, or a share lies outside [0, 1].
    """
    check_columns(observed, [f"observed_{m}" for m in modalities])
    shares = np.stack([np.asarray(observed[f"observed_{m}"], dtype=np.float64) for m in modalities], axis=1)
    for m, share in zip(modalities, shares.T, strict=True):
        if not ((share >= 0) & (share <= 1)).all():
            raise MitrError(f"observed_{m} has a value outside [0, 1]; it is a share of the steps")
    return shares


def observed_sets(shares: Array, modalities: Sequence[str]) -> np.ndarray:
    """(n, M) shares -> (n,) names of the observed modalities, joined with `+`; empty where nothing is observed."""
    codes = (shares > 0) @ (2 ** np.arange(len(modalities)))  # which columns are observed, as bits
    names = ["+".join(m for i, m in enumerate(modalities) if code >> i & 1) for code in range(2 ** len(modalities))]
    return np.array(names, dtype=object)[codes]


def check_columns(table: Mapping[str, Array] | pd.DataFrame, needed: Collection[str]) -> None:
    """Refuse a table of predictions that lacks columns.

    Raises:
        MitrError: with their names.
    """
    if lacking := [name for name in needed if name not in table]:
        raise MitrError(f"the predictions have no column {', '.join(lacking)}")
