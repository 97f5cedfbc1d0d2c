"""The picture of docs/performance.md."""

from typing import Any

import numpy as np
import performance_words as words  # beside this script

from mitr.report.figure import BLUE, GREY, drawing


def growth_picture(found: dict[str, Any]) -> bytes:
    """Units against each thing that is varied, both on logarithmic scales, with the slope."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    slopes = found["slopes"]
    with drawing((3.0 * len(slopes), 3.0), None, nrows=1, ncols=len(slopes)) as (axes, png):
        for axis, (what, slope) in zip(np.ravel(axes), slopes.items(), strict=True):
            rows = [row for row in found["growth"] if row["varied"] == what]
            values, work = (np.array([row[key] for row in rows], float) for key in ("value", "units"))
            through = np.exp(np.log(work).mean() + slope * (np.log(values) - np.log(values).mean()))
            axis.plot(values, through, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
            axis.plot(values, work, color=BLUE, marker="o", markersize=4.5)
            axis.set(xscale="log", yscale="log", title=words.VARIED[what], xlabel=f"slope {slope:.2f}")
            axis.set_xticks(values, [f"{value:g}" for value in values])
            low, high = work.min(), work.max()
            axis.set_ylim(low / 1.6, high * 1.6 if high > 4 * low else low * 6.4)
            axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            for side in (axis.xaxis, axis.yaxis):
                side.set_minor_locator(NullLocator())
        np.ravel(axes)[0].set_ylabel("yardstick units")
    return png()
