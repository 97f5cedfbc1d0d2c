"""The scale of a data set's labels: its ends, its classes, and the family of metrics that it is measured with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mitr.errors import MitrError

FAMILIES = ("mosi", "sims", "general", "classes")
MOSI_ENDS, SIMS_ENDS = (-3.0, 3.0), (-1.0, 1.0)


@dataclass(frozen=True)
class Scale:
    """What a label is: a number between two ends, or the index of a class. `Scale.of` chooses the family.

    Attributes:
        low: lowest label; 0 for classes.
        high: highest label; C - 1 for C classes.
        classes: names of the classes; None where labels are numbers.
        family: of metrics: `mosi`, `sims`, `general` or `classes` (`mitr.evaluation.metrics.compute`).
    """

    low: float
    high: float
    classes: tuple[str, ...] | None
    family: str

    @classmethod
    def of(
        cls, label_range: Sequence[float], classes: Sequence[str] | None = None, family: str | None = None
    ) -> "Scale":
        """The scale of a label range.

        Args:
            label_range: lowest and highest label, such as (-3, 3).
            classes: names of the classes, where labels are their indices.
            family: of metrics; None: `mosi` for (-3, 3), `sims` for (-1, 1), otherwise `general`; or `classes`.

        Raises:
            MitrError: the range is not two finite numbers in rising order, there is no such family, or it is not for
                labels of this kind.
        """
        ends = ends_of(label_range)
        usual = "classes" if classes is not None else {MOSI_ENDS: "mosi", SIMS_ENDS: "sims"}.get(ends, "general")
        scale = cls(*ends, None if classes is None else tuple(classes), usual)
        return scale if family is None else scale.measured_as(family)

    def measured_as(self, family: str | None) -> "Scale":
        """The same labels with another family of metrics; None keeps it.

        Raises:
            MitrError: there is no such family, or it is not for labels of this kind.
        """
        if family is None:
            return self
        if family not in FAMILIES:
            raise MitrError(f"no metric family is called {family!r}; choose one of {', '.join(FAMILIES)}")
        if (family == "classes") != (self.classes is not None):
            kind = "numbers" if self.classes is None else "classes"
            raise MitrError(f"the metrics {family!r} are not for labels that are {kind}; leave the choice out")
        return Scale(self.low, self.high, self.classes, family)

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest label."""
        return self.low, self.high

    @property
    def width(self) -> float:
        """Highest minus lowest label."""
        return self.high - self.low

    @property
    def middle(self) -> float:
        """The neutral label."""
        return (self.low + self.high) / 2


def ends_of(label_range: Sequence[float]) -> tuple[float, float]:
    """The lowest and highest label as floats.

    Raises:
        MitrError: the range is not two finite numbers in rising order.
    """
    try:
        low, high = (float(end) for end in label_range)
    except (TypeError, ValueError):
        raise MitrError(f"a label range is two numbers such as (-3, 3), not {label_range!r}") from None
    if not (np.isfinite([low, high]).all() and low < high):
        raise MitrError(f"a label range must rise from a finite lowest to a finite highest label, not {label_range!r}")
    return low, high
