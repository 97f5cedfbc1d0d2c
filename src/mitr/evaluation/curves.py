"""Prediction intervals of files of format 1: half widths on a curve over the weighted share of observed steps.

They are read, so that the runs and exports that carry them go on answering the same, and not made any more: after the
smoothing of the curves and the raising of their level no guarantee follows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mitr.data.schema import MODALITIES
from mitr.errors import MitrError
from mitr.evaluation.conformal import ANY, Conformal, clips_needed
from mitr.evaluation.intervals import Array, Intervals, observed_of, observed_sets

FORMAT = 1


@dataclass(frozen=True)
class Curves(Intervals):
    """Half widths by the observed modalities and the weighted mean of their observed shares.

    Attributes:
        level: share of new clips whose label the interval is to contain, raised where clips of a video are alike.
        modalities: those that the calibration clips had, in the order of MODALITIES.
        clips: distinct labelled clips that calibrated them.
        shares: (G,) rising grid of weighted mean observed shares, from 0 to 1.
        half_widths: group -> (G,) half widths in label units. A group is the observed modalities, joined with `+`;
            `any` answers for groups that are not listed.
        weights: group -> (M,) how much each modality counts in the group's mean share; they sum up to 1.
        nothing: half width where no modality is observed, or no group answers.
    """

    level: float
    modalities: tuple[str, ...]
    clips: int
    shares: tuple[float, ...]
    half_widths: Mapping[str, tuple[float, ...]]
    weights: Mapping[str, tuple[float, ...]]
    nothing: float

    def half_width(self, observed: Mapping[str, Array] | pd.DataFrame) -> Array:
        """See `Intervals.half_width`."""
        shares = observed_of(observed, self.modalities)
        group = observed_sets(shares, self.modalities)
        widths = np.full(len(shares), self.nothing)
        for name in filter(None, np.unique(group)):
            rows, key = group == name, name if name in self.half_widths else ANY
            if key in self.half_widths:
                widths[rows] = np.interp(shares[rows] @ self.weights[key], self.shares, self.half_widths[key])
        return widths

    @classmethod
    def from_json(cls, value: Any, where: str = "conformal.json") -> "Curves":
        """Read the intervals of a file of format 1.

        Raises:
            MitrError: `value` is something else; the message names `where`.
        """
        try:
            if value["format"] != FORMAT:
                raise ValueError(f"format {value['format']!r}")
            shares = tuple(map(float, value["shares"]))
            curves = {str(group): tuple(map(float, curve)) for group, curve in value["half_widths"].items()}
            weights = {str(group): tuple(map(float, each)) for group, each in value["weights"].items()}
            modalities, nothing = tuple(map(str, value["modalities"])), float(value["nothing"])
            read = cls(float(value["level"]), modalities, int(value["clips"]), shares, curves, weights, nothing)
            clips_needed(read.level)
            numbers = np.concatenate([(nothing,), shares, *curves.values(), *weights.values()])
            if not (np.isfinite(numbers).all() and (numbers >= 0).all() and (np.diff(shares) > 0).all()):
                raise ValueError("its numbers are not widths over rising shares")
            known = modalities and set(modalities) <= set(MODALITIES)
            fits = curves.keys() == weights.keys() and all(len(curve) == len(shares) for curve in curves.values())
            if not known or not fits or any(len(each) != len(modalities) for each in weights.values()):
                raise ValueError("its entries do not fit together")
        except (KeyError, TypeError, ValueError, AttributeError, MitrError) as error:
            raise MitrError(f"{where} does not describe prediction intervals of this version: {error}") from error
        return read


def intervals_from_json(value: Any, where: str = "conformal.json") -> Intervals:
    """Read the intervals of a file of any format that mitr ever wrote.

    Raises:
        MitrError: `value` is something else; the message names `where`.
    """
    older = isinstance(value, dict) and value.get("format") == FORMAT
    return Curves.from_json(value, where) if older else Conformal.from_json(value, where)
