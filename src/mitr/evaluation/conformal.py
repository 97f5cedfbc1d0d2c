"""Split-conformal prediction intervals that widen as data go missing, calibrated on the validation split.

An interval is prediction ± half width, and the half width depends on which modalities were observed (a group each) and
on how much of them: the mean share of their steps, in which a modality weighs as much as errors grow when its steps go
missing. Near each such share of a grid the errors of the validation clips are ranked: a clip with several masks there
counts once, its masks sharing its weight, and one more clip with an infinite error stands for the new one. Over the
grid, half widths are then made non-increasing. Clips of which nothing is observed are a group of their own, with the
prior's errors; they may get less than clips of which little is, where little misleads a model more than nothing.

Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005), chapter 4 (inductive and Mondrian
conformal predictors); Papadopoulos et al., Inductive confidence machines for regression, ECML 2002; weights, here 1
near a share and 0 elsewhere: Barber et al., Conformal prediction beyond exchangeability, Annals of Statistics 51
(2023); clips seen several times: Lee, Barber and Willett, Distribution-free inference with hierarchical data (2023).
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression, nnls
from scipy.stats import binomtest

from mitr.data.schema import MODALITIES
from mitr.errors import MitrError
from mitr.evaluation.metrics import Array, ends_of
from mitr.missing import masks, schedules
from mitr.missing.protocols import Condition, at_rates
from mitr.missing.schedules import Extent, Masks

DRAWS = 12
CALIBRATION_SEED = 20303  # of the masks that the validation split is calibrated under
GRID = tuple(step / 20 for step in range(21))  # weighted mean observed shares
REACH = 0.05  # a clip is near a share of the grid if its own is no further away
ENOUGH = 2  # times the fewest clips a level needs: below, a group has no curve of its own and a reach is doubled
ANY = "any"
ALIKE = 27  # clips that speak for modalities weighing alike, against those that are there
FORMAT = 1
_SLACK = 1e-9  # of sums of weights and of level / (1 - level), which are not exact in floating point


def calibration_conditions(
    modalities: Collection[str], draws: int = DRAWS, seed: int = CALIBRATION_SEED
) -> tuple[Condition, ...]:
    """How the validation split is made incomplete to calibrate on it.

    Complete and all missing; `draws` times with each step hidden independently at a rate of the sample's own, uniform
    in [0, 1] and in every other draw one for all its modalities, else one for each; and, of two or more modalities,
    each proper subset alone, once complete and once at a rate for each modality.

    Args:
        modalities: those of the run.
        draws: how many with random rates; at least 1.
        seed: of the masks; each condition has its own stream.

    Raises:
        MitrError: fewer than one draw, or no modality.
    """
    names = [m for m in MODALITIES if m in modalities]
    if draws < 1 or not names:
        raise MitrError(f"calibration needs at least one draw and one modality, not {draws} and {len(names)}")
    axis = "calibration"
    complete, nothing = at_rates((0.0, 1.0))
    drawn = []
    for i in range(draws):
        kind, shared = ("random-rates", False) if i % 2 else ("random-rate", True)
        random = partial(at_random_rates, seed=(seed, i), shared=shared)
        drawn.append(Condition(f"{kind} draw={i}", axis, None, random))
    for i, subset in enumerate(schedules.subsets(names)[:-1], start=draws):
        name = "+".join(subset)
        drawn.append(Condition(f"available={name}", axis, None, partial(schedules.with_only, available=subset)))
        random = partial(at_random_rates, seed=(seed, i), shared=False, available=subset)
        drawn.append(Condition(f"random-rates available={name}", axis, None, random))
    return (complete, *drawn, nothing)


def at_random_rates(
    extents: Mapping[str, Extent], seed: Sequence[int], *, shared: bool, available: Collection[str] = MODALITIES
) -> Masks:
    """Hide steps at rates that each sample draws from [0, 1]; modalities that are not available are absent.

    Args:
        extents: modality -> Extent of the N samples.
        seed: of the rates (N,) and of the steps; the same lengths get the same masks.
        shared: one rate for all modalities of a sample, else one for each.
        available: the modalities that are not taken away.
    """
    samples = len(next(iter(extents.values())).lengths)
    rates = np.random.default_rng([*seed, 0]).uniform(0.0, 1.0, samples)
    kept = schedules.with_only(extents, available)
    drawn: Masks = {}
    for m, extent in extents.items():
        generator = np.random.default_rng([*seed, 1 + MODALITIES.index(m)])
        own = rates if shared else generator.uniform(0.0, 1.0, samples)
        mask = masks.random_steps(extent.lengths, own, generator, extent.steps)
        if extent.special_tokens:
            mask = masks.keep_special_tokens(mask, extent.lengths)
        drawn[m] = masks.compose(mask, kept[m])
    return drawn


def clips_needed(level: float) -> int:
    """The fewest clips with which a level is attainable, ceil(level / (1 - level)): 9 for 0.9.

    Raises:
        MitrError: `level` lies outside (0, 1).
    """
    if not 0 < level < 1:
        raise MitrError(f"the level of prediction intervals is {level}; it must lie between 0 and 1")
    return max(1, math.ceil(level / (1 - level) - _SLACK))


@dataclass(frozen=True)
class Conformal:
    """Half widths of prediction intervals by what was observed.

    Attributes:
        level: share of new clips whose label the interval is to contain, in (0, 1).
        modalities: those that the calibration clips had, in the order of MODALITIES.
        clips: distinct labelled clips behind it.
        shares: (G,) rising grid of weighted mean observed shares, from 0 to 1.
        half_widths: group -> (G,) half widths in label units, non-increasing. A group is the observed modalities,
            joined with `+`. `any`, of all clips of which something was observed, answers for groups with too few.
        weights: group -> (M,) how much each of `modalities` counts in the group's mean share; they sum up to 1.
        nothing: half width where no modality is observed; the prior's.
    """

    level: float
    modalities: tuple[str, ...]
    clips: int
    shares: tuple[float, ...]
    half_widths: Mapping[str, tuple[float, ...]]
    weights: Mapping[str, tuple[float, ...]]
    nothing: float

    @classmethod
    def fit(cls, table: pd.DataFrame, level: float = 0.9) -> "Conformal":
        """Calibrate on a validation split's predictions under `calibration_conditions`; labels must be on a scale.

        The level holds for new clips that are exchangeable with these and miss steps at random or whole modalities, on
        average over calibrations: with n clips, one is off by some sqrt(level (1 - level) / n). An epoch that was
        chosen on the same clips makes their errors, and so the intervals, somewhat too small.

        Args:
            table: rows of `predict_under`: `id`, `label`, `prediction`, `observed_<modality>`. Rows without a label are
                left out. The more often a clip is there the less each of its rows counts.
            level: share of new clips whose label the intervals are to contain, in (0, 1).

        Raises:
            MitrError: a column lacks, a value is not finite or no share, the level is outside (0, 1), or there are
                fewer labelled clips than it needs.
        """
        needed = clips_needed(level)
        _check_columns(table, ("id", "label", "prediction"))
        table = table[table["label"].notna()]
        clip, names = pd.factorize(table["id"])
        if len(names) < needed:
            raise MitrError(
                f"intervals of level {level:g} need at least {needed} labelled validation clips; there are {len(names)}"
            )
        shares = _shares(table, [m for m in MODALITIES if f"observed_{m}" in table])
        modalities = tuple(m for m, share in shares.items() if share.any())
        if not modalities:
            raise MitrError("no modality is observed in any row, so intervals cannot be calibrated by what is")
        score = _errors(table)
        observed = np.stack([shares[m] for m in modalities], axis=1)  # (n, M)
        group = _groups(observed)
        seen, unseen = group > 0, group == 0
        members = {_name(int(code), modalities): group == code for code in np.unique(group[seen])}
        members = {name: rows for name, rows in members.items() if _clips(clip[rows]) >= ENOUGH * needed}
        if _clips(clip[seen]) >= needed:
            members[ANY] = seen
        weights = {name: _weights(observed[rows], score[rows], clip[rows]) for name, rows in members.items()}
        curves = {
            name: _curve(observed[rows] @ weights[name], score[rows], clip[rows], level)
            for name, rows in members.items()
        }
        if _clips(clip[unseen]) >= needed:
            nothing = _quantile(score[unseen], clip[unseen], level)
        elif curves:
            nothing = max(curve[0] for curve in curves.values())
        else:
            nothing = _quantile(score, clip, level)
        return cls(level, modalities, len(names), GRID, curves, weights, nothing)

    def half_width(self, observed: Mapping[str, Array] | pd.DataFrame) -> Array:
        """Half widths (n,) of the intervals, in label units, before they are clipped to the scale.

        Args:
            observed: `observed_<modality>` -> (n,) share of its steps that the model saw, in [0, 1], of all modalities
                of the calibration, others are not looked at; such as the table of `predict_under`.

        Raises:
            MitrError: a modality lacks, or a share lies outside [0, 1].
        """
        _check_columns(observed, [f"observed_{m}" for m in self.modalities])
        shares = np.stack(list(_shares(observed, self.modalities).values()), axis=1)  # (n, M)
        widths = np.full(len(shares), self.nothing)
        group = _groups(shares)
        for code in np.unique(group[group > 0]):
            rows = group == code
            name = _name(int(code), self.modalities)
            name = name if name in self.half_widths else ANY
            if name in self.half_widths:
                widths[rows] = np.interp(shares[rows] @ self.weights[name], self.shares, self.half_widths[name])
        return widths

    def interval(self, table: pd.DataFrame, label_range: Sequence[float]) -> pd.DataFrame:
        """The intervals `low`, `high` of each row of a `predict_under` table, clipped to the scale.

        Args:
            table: with `prediction` and `observed_<modality>`.
            label_range: lowest and highest label of the scale.

        Raises:
            MitrError: a column lacks, or a share lies outside [0, 1].
        """
        lowest, highest = ends_of(label_range)
        width = self.half_width(table)
        _check_columns(table, ["prediction"])
        middle = table["prediction"].to_numpy(np.float64)
        bounds = {
            "low": np.clip(middle - width, lowest, highest),
            "high": np.clip(middle + width, lowest, highest),
        }
        return pd.DataFrame(bounds, index=table.index)

    def coverage(self, table: pd.DataFrame) -> float:
        """Share of the labelled rows of a `predict_under` table whose label lies in its interval; NaN of none."""
        table = table[table["label"].notna()]
        return float(self.contains(table).mean()) if len(table) else math.nan

    def contains(self, table: pd.DataFrame) -> np.ndarray:
        """(n,) bool: the label of each row of a `predict_under` table lies in its interval."""
        return _errors(table) <= self.half_width(table)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and texts, some 5 kB, that `from_json` reads back to the same half widths."""
        return {
            "format": FORMAT,
            "level": self.level,
            "modalities": list(self.modalities),
            "clips": self.clips,
            "shares": list(self.shares),
            "half_widths": {group: list(curve) for group, curve in self.half_widths.items()},
            "weights": {group: list(weights) for group, weights in self.weights.items()},
            "nothing": self.nothing,
        }

    @classmethod
    def from_json(cls, value: Any, where: str = "conformal.json") -> "Conformal":
        """Read what `to_json` gave.

        Raises:
            MitrError: `value` is something else, or of another version; the message names `where`.
        """
        try:
            if value["format"] != FORMAT:
                raise ValueError(f"format {value['format']!r}")
            shares = tuple(map(float, value["shares"]))
            curves = {str(group): tuple(map(float, curve)) for group, curve in value["half_widths"].items()}
            weights = {str(group): tuple(map(float, each)) for group, each in value["weights"].items()}
            found = cls(
                float(value["level"]),
                tuple(map(str, value["modalities"])),
                int(value["clips"]),
                shares,
                curves,
                weights,
                float(value["nothing"]),
            )
            clips_needed(found.level)
            rows = [(found.nothing,), shares, *curves.values(), *weights.values()]
            numbers = np.concatenate(rows)
            if not (np.isfinite(numbers).all() and (numbers >= 0).all() and (np.diff(shares) > 0).all()):
                raise ValueError("its numbers are not widths over rising shares")
            known = found.modalities and set(found.modalities) <= set(MODALITIES)
            fits = curves.keys() == weights.keys() and all(len(curve) == len(shares) for curve in curves.values())
            if not known or not fits or any(len(each) != len(found.modalities) for each in weights.values()):
                raise ValueError("its parts do not fit together")
        except (KeyError, TypeError, ValueError, AttributeError, MitrError) as error:
            raise MitrError(f"{where} does not describe prediction intervals of this version: {error}") from error
        return found


def coverage_by_rate(table: pd.DataFrame, conformal: Conformal) -> pd.DataFrame:
    """How often the intervals contain the label under each condition of a `predict_under` table.

    Args:
        table: of another split than the one that the intervals were calibrated on.
        conformal: the calibrated intervals.

    Returns:
        One row per condition, in the table's order: `condition`, `rate` (NaN where it has none), `n` labelled samples,
        `coverage`, `width` (mean of the whole width before clipping, label units), `low`, `high` (95 % Wilson interval
        of the coverage, with samples as independent; it does not know of the calibration's own chance).

    Raises:
        MitrError: a column lacks, or a share lies outside [0, 1].

    Source:
        Wilson, Journal of the American Statistical Association 22 (1927).
    """
    _check_columns(table, ("condition", "rate", "label", "prediction"))
    table = table[table["label"].notna()]
    parts = table.assign(_inside=conformal.contains(table), _width=2 * conformal.half_width(table))
    found = []
    for (condition, rate), part in parts.groupby(["condition", "rate"], sort=False, dropna=False):
        hits, n = int(part["_inside"].sum()), len(part)
        bounds = binomtest(hits, n).proportion_ci(confidence_level=0.95, method="wilson")
        about = {"condition": condition, "rate": rate, "n": n, "coverage": hits / n, "width": part["_width"].mean()}
        found.append(about | {"low": float(bounds.low), "high": float(bounds.high)})
    return pd.DataFrame(found, columns=["condition", "rate", "n", "coverage", "width", "low", "high"])


def _weights(shares: Array, score: Array, clip: np.ndarray) -> tuple[float, ...]:
    """How much more error each modality's missing share brings, (M,), as parts of 1.

    Non-negative least squares of the scores on the missing shares, all clips weighing the same, drawn towards equal
    weights where clips are few. Modalities that the whole group lacks get 0.
    """
    there = shares.any(axis=0)
    root = np.sqrt(1 / np.bincount(clip)[clip])
    design = np.column_stack([1 - shares[:, there], np.ones(len(shares))])
    slopes = nnls(design * root[:, None], score * root)[0][:-1]
    equal = np.full(len(slopes), 1 / len(slopes))
    found = slopes / slopes.sum() if slopes.sum() > _SLACK * score.max() else equal
    clips = _clips(clip)
    weights = np.zeros(shares.shape[1])
    weights[there] = np.round(
        (clips * found + ALIKE * equal) / (clips + ALIKE), 4
    )  # so that the order of rows cannot show in the last digits
    return tuple(weights.tolist())


def _curve(share: Array, score: Array, clip: np.ndarray, level: float) -> tuple[float, ...]:
    """Half widths over GRID. Isotonic regression, since a running maximum would add up the errors of all shares."""
    widths, clips = _near_each(share, score, clip, level)
    return tuple(isotonic_regression(widths, weights=clips, increasing=False).x.tolist())


def _near_each(share: Array, score: Array, clip: np.ndarray, level: float) -> tuple[Array, Array]:
    """The quantile of the scores near each share of GRID, (G,), and the clips behind it, (G,)."""
    enough = min(ENOUGH * clips_needed(level), _clips(clip))
    widths, clips = np.zeros(len(GRID)), np.zeros(len(GRID))
    for i, middle in enumerate(GRID):
        reach = REACH
        distance = np.abs(share - middle) - _SLACK
        while _clips(clip[distance <= reach]) < enough:
            reach *= 2
        near = distance <= reach
        widths[i], clips[i] = _quantile(score[near], clip[near], level), _clips(clip[near])
    return widths, clips


def _quantile(score: Array, clip: np.ndarray, level: float) -> float:
    """The smallest score at or below which level x (n + 1) of the n clips lie, a clip's rows sharing its weight of 1.

    With one row a clip that is the ceil(level (n + 1))-th smallest.
    """
    rows = np.bincount(clip)
    order = np.argsort(score, kind="stable")
    reached = np.cumsum((1 / rows[clip])[order])
    place = int(np.searchsorted(reached, level * (_clips(clip) + 1) - _SLACK))
    return float(score[order[place]])


def _clips(clip: np.ndarray) -> int:
    """How many clips the rows (n,) of numbers of clips are of."""
    return int(np.count_nonzero(np.bincount(clip)))


def _errors(table: pd.DataFrame) -> Array:
    error = np.abs(table["label"].to_numpy(np.float64) - table["prediction"].to_numpy(np.float64))
    if not np.isfinite(error).all():
        raise MitrError("a label or prediction is not finite, so no interval can be made of it")
    return error


def _shares(observed: Mapping[str, Array] | pd.DataFrame, modalities: Collection[str]) -> dict[str, Array]:
    shares = {m: np.asarray(observed[f"observed_{m}"], dtype=np.float64) for m in modalities}
    for m, share in shares.items():
        if not ((share >= 0) & (share <= 1)).all():
            raise MitrError(f"observed_{m} has a value outside [0, 1]; it is a share of the steps")
    return shares


def _groups(shares: Array) -> np.ndarray:
    """(n, M) shares -> (n,) which modalities are observed, as a sum of powers of two; 0 where none is."""
    codes: np.ndarray = ((shares > 0) * 2 ** np.arange(shares.shape[1])).sum(axis=1)
    return codes


def _name(code: int, modalities: Sequence[str]) -> str:
    return "+".join(m for i, m in enumerate(modalities) if code >> i & 1)


def _check_columns(table: Mapping[str, Any] | pd.DataFrame, needed: Sequence[str]) -> None:
    if lacking := [name for name in needed if name not in table]:
        raise MitrError(f"the predictions have no column {', '.join(lacking)}")
