"""Normalised split-conformal prediction intervals, conditioned on what is observed of a clip.

The calibration clips, each under many masks, are divided in two, by video where ids name videos. On the smaller set a
spread is fitted, the `level` quantile of errors when a share of each modality's steps is missing,

    sigma(o) = base + sum over modalities m of slope_m * (1 - o_m),    base > 0, slopes >= 0.

On the larger one, the scores |label - prediction| / sigma(o) are ranked inside each group of clips with the same
observed modalities, and half widths are q_group * sigma(o), where q_group is the score at or below which `level` of
n + 1 clips lie. A clip with several masks in a group counts once, its masks sharing its weight; the (n + 1)-th is the
new clip, whose score is taken as infinite. A group of too few clips gets the q of all. Which clips are drawn for the
spread is chance: there are DIVISIONS draws, and the half width that is given is the median of theirs.

What follows for a clip that is exchangeable with the n ranked clips (of its group, where it has ranks), under one of
the masks that calibration draws, over the draw of these clips and of the new one: the interval of one division contains
its label with probability `level` at least. The median of R divisions misses a label only where more than half of them
do, so it contains it with probability 1 - (1 - level) 2 R / (R + 1) at least, .82 for a level of .9, and with about
`level` where divisions agree (docs/confidence.md has what was measured). Neither follows for one calibration, for one
kind of clip, or for clips of a new video, which are not exchangeable with those of the ranked ones: that would take a
score for each video, and at least level / (1 - level) ranked videos, since fewer give no finite interval.

Source: Papadopoulos et al., Inductive confidence machines for regression, ECML 2002 (scores divided by a spread);
Romano, Patterson and Candès, Conformalized quantile regression, NeurIPS 2019 (a fitted quantile that ranks correct);
Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005), chapter 4 (split and group-conditional
ranks); Lee, Barber and Willett, Distribution-free inference with hierarchical data (2023) (several scores of one clip);
Gasparin and Ramdas, Merging uncertainty sets via majority vote (2024) (the median of nested intervals).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.optimize import linprog

from mitr.data.schema import MODALITIES
from mitr.data.videos import drawn_videos
from mitr.errors import MitrError
from mitr.evaluation.intervals import Array, Intervals, absolute_errors, check_columns, observed_of, observed_sets

SPREAD_SHARE = 0.15  # of the clips, on which the spread is fitted; the others are ranked
DIVISIONS = 11  # draws of these clips; odd, so that the median is the half width of one
ENOUGH = 2  # times the fewest clips of a level: with fewer no spread is fitted, and a group is not ranked alone
LEAST = 0.1  # of the mean error: what the spread of a complete clip is at least, so that no score is divided by 0
ANY = "any"
FORMAT = 2
_SLACK = 1e-9  # of sums of weights and of level / (1 - level), which are not exact in floating point


def clips_needed(level: float) -> int:
    """The fewest clips with which a level is attainable, ceil(level / (1 - level)): 9 for 0.9.

    Raises:
        MitrError: `level` lies outside (0, 1).
    """
    if not 0 < level < 1:
        raise MitrError(f"the level of prediction intervals is {level}; it must lie between 0 and 1")
    return max(1, math.ceil(level / (1 - level) - _SLACK))


class Division(NamedTuple):
    """What one division of the calibration clips gave.

    Attributes:
        ranked: distinct labelled clips whose scores were ranked; the spread was fitted on the others.
        base: the spread where every step is observed, in label units.
        slopes: (M,) how much the spread grows when all steps of a modality are missing, in label units.
        quantiles: group -> half width over spread. A group is the observed modalities, joined with `+`, and empty where
            nothing is observed; `any`, of all clips, answers for groups with too few.
    """

    ranked: int
    base: float
    slopes: tuple[float, ...]
    quantiles: Mapping[str, float]

    def half_width(self, shares: Array, group: np.ndarray) -> Array:
        """Half widths (n,) for observed shares (n, M) and the groups (n,) that they make."""
        quantile = np.array([self.quantiles.get(name, self.quantiles[ANY]) for name in group], dtype=np.float64)
        widths: Array = quantile * (self.base + (1 - shares) @ np.array(self.slopes))
        return widths


@dataclass(frozen=True)
class Conformal(Intervals):
    """Half widths of prediction intervals by what was observed: the median over divisions of the calibration clips.

    Attributes:
        level: share of new clips whose label the interval is to contain, in (0, 1).
        modalities: those that the calibration clips had, in the order of MODALITIES.
        clips: distinct labelled clips that calibrated them: those of the spread and those that were ranked.
        divisions: at least one.
    """

    level: float
    modalities: tuple[str, ...]
    clips: int
    divisions: tuple[Division, ...]

    @classmethod
    def fit(cls, table: pd.DataFrame, level: float = 0.9, divisions: int = DIVISIONS) -> "Conformal":
        """Calibrate on predictions for clips that took no part in training; labels must be on a scale.

        Args:
            table: rows of `predict_under` under `calibration_conditions`: `id`, `label`, `prediction`,
                `observed_<modality>`. Rows without a label are left out.
            level: share of new clips whose label the intervals are to contain, in (0, 1).
            divisions: draws of the videos, or clips, that the spread is fitted on; one has the guarantee of `level`.

        Raises:
            MitrError: a column lacks, a value is not finite or no share, the level is outside (0, 1), or there are
                fewer labelled clips than it needs.
        """
        needed = clips_needed(level)
        check_columns(table, ("id", "label", "prediction"))
        table = table[table["label"].notna()]
        clip, names = pd.factorize(table["id"])
        if len(names) < needed:
            raise MitrError(
                f"intervals of level {level:g} need at least {needed} labelled validation clips; there are {len(names)}"
            )
        stored = [m for m in MODALITIES if f"observed_{m}" in table]
        modalities = tuple(m for m, share in zip(stored, observed_of(table, stored).T, strict=True) if share.any())
        if not modalities:
            raise MitrError("no modality is observed in any row, so intervals cannot be calibrated by what is")
        error, shares = absolute_errors(table), observed_of(table, modalities)
        group = observed_sets(shares, modalities)
        drawn = []
        for seed in range(divisions):
            fitted = drawn_videos(list(names), SPREAD_SHARE, seed)[clip]
            if _count(clip[~fitted]) < ENOUGH * needed:
                fitted[:] = False
            drawn.append(_division(fitted, shares, group, error, clip, level))
        return cls(level, modalities, len(names), tuple(drawn))

    def half_width(self, observed: Mapping[str, Array] | pd.DataFrame) -> Array:
        """See `Intervals.half_width`."""
        shares = observed_of(observed, self.modalities)
        group = observed_sets(shares, self.modalities)
        widths: Array = np.median([division.half_width(shares, group) for division in self.divisions], axis=0)
        return widths

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and texts that `intervals_from_json` reads back to the same half widths."""
        return {
            "format": FORMAT,
            "level": self.level,
            "modalities": list(self.modalities),
            "clips": self.clips,
            "divisions": [
                {"ranked": ranked, "base": base, "slopes": list(slopes), "quantiles": dict(quantiles)}
                for ranked, base, slopes, quantiles in self.divisions
            ],
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
            divisions = tuple(_read_division(each) for each in value["divisions"])
            modalities = tuple(map(str, value["modalities"]))
            read = cls(float(value["level"]), modalities, int(value["clips"]), divisions)
            clips_needed(read.level)
            known = modalities and set(modalities) <= set(MODALITIES)
            if not known or not divisions or any(len(each.slopes) != len(modalities) for each in divisions):
                raise ValueError("its entries do not fit together")
        except (KeyError, TypeError, ValueError, AttributeError, MitrError) as error:
            raise MitrError(f"{where} does not describe prediction intervals of this version: {error}") from error
        return read


def _division(
    fitted: np.ndarray, shares: Array, group: np.ndarray, error: Array, clip: np.ndarray, level: float
) -> Division:
    """A spread from the rows (n,) that are `fitted`, and the ranks of the others."""
    seen = fitted & shares.any(axis=1)  # where nothing is observed every clip has the same spread
    base, slopes = _spread(shares[seen], error[seen], clip[seen], level)
    score = error / (base + (1 - shares) @ slopes)
    groups = {str(name): ~fitted & (group == name) for name in np.unique(group)}
    enough = ENOUGH * clips_needed(level)
    members = {name: rows for name, rows in groups.items() if _count(clip[rows]) >= enough} | {ANY: ~fitted}
    quantiles = {name: _quantile(score[rows], clip[rows], level) for name, rows in members.items()}
    return Division(_count(clip[~fitted]), base, tuple(slopes.tolist()), quantiles)


def _read_division(value: Any) -> Division:
    quantiles = {str(group): float(quantile) for group, quantile in value["quantiles"].items()}
    read = Division(int(value["ranked"]), float(value["base"]), tuple(map(float, value["slopes"])), quantiles)
    numbers = np.array([*read.slopes, *quantiles.values()])
    if not (np.isfinite(numbers).all() and (numbers >= 0).all() and 0 < read.base < math.inf):
        raise ValueError("its numbers are not widths")
    if ANY not in quantiles:
        raise ValueError("no quantile answers for all groups")
    return read


def _spread(shares: Array, error: Array, clip: np.ndarray, level: float) -> tuple[float, Array]:
    """`base` and `slopes` (M,) in label units, every clip weighing the same; 1 and zeros without rows or errors.

    Quantile regression (Koenker and Bassett, Econometrica 46, 1978) of the errors on the missing shares, as a linear
    programme: the least weighted sum of level * above + (1 - level) * below, where error = sigma + above - below.
    """
    modalities = shares.shape[1]
    if not error.any():
        return 1.0, np.zeros(modalities)
    order = np.lexsort([error, *shares.T])  # so that the order of the rows cannot choose among equally good solutions
    weight, mean = _weights(clip)[order], error.mean()
    design = np.column_stack([np.ones(len(shares)), 1 - shares])[order]
    rows = sparse.identity(len(shares))
    solution = linprog(
        np.concatenate([np.zeros(1 + modalities), level * weight, (1 - level) * weight]),
        A_eq=sparse.hstack([sparse.csr_matrix(design), rows, -rows], format="csr"),
        b_eq=error[order] / mean,
        bounds=(0, None),
    )
    if solution.x is None:
        raise MitrError(f"no spread of the errors could be fitted: {solution.message}")
    coefficients = np.maximum(solution.x[: 1 + modalities], 0.0) * mean
    return max(float(coefficients[0]), LEAST * mean), coefficients[1:]


def _quantile(score: Array, clip: np.ndarray, level: float) -> float:
    """The smallest score at or below which level x (n + 1) of the n clips lie, a clip's rows sharing its weight of 1.

    With one row a clip that is the ceil(level (n + 1))-th smallest.
    """
    order = np.argsort(score, kind="stable")
    reached = np.cumsum(_weights(clip)[order])
    place = int(np.searchsorted(reached, level * (_count(clip) + 1) - _SLACK))
    return float(score[order[place]])


def _weights(clip: np.ndarray) -> Array:
    """(n,) 1 over the number of rows of each row's clip."""
    weights: Array = 1 / np.bincount(clip)[clip]
    return weights


def _count(clip: np.ndarray) -> int:
    """How many clips the rows (n,) of numbers of clips are of."""
    return int(np.count_nonzero(np.bincount(clip)))
