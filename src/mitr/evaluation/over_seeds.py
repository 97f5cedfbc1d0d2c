"""Summaries of several training seeds as one: means and standard deviations."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mitr.errors import MitrError


def aggregate(summaries: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Mean and standard deviation over seeds of the JSON of `Summary.to_json`, each with its `seed` added.

    Returns:
        The JSON of one summary without intervals: where that has a metric's value, this has `{"mean", "std",
        "seeds", "values"}`: `std` with ddof 1 (None below two seeds), `seeds` how many have a defined value,
        `values` one entry a seed in the order of the top-level `seeds` (None where undefined). AUILC entries
        are `{"published": …, "divided_by_range": …}`.

    Raises:
        MitrError: nothing to aggregate, a seed missing or given twice, or different test sets, scales,
            protocols, conditions or groups.
    """
    if not summaries:
        raise MitrError("there is no summary to aggregate")
    seeds = [summary.get("seed") for summary in summaries]
    if None in seeds or len(set(seeds)) != len(seeds):
        raise MitrError(f"each summary needs a seed of its own to be aggregated, not {seeds}")
    shared = {}
    for key in ("protocol", "family", "label_range", "n", "rates", "conditions", "groups"):
        shared[key] = summaries[0][key]
        if any(summary[key] != shared[key] for summary in summaries):
            raise MitrError(f"summaries of different {key} cannot be aggregated: {[s[key] for s in summaries]}")
    by_rate = []
    for entries in zip(*(summary["by_rate"] for summary in summaries), strict=True):
        metrics = {k: _over_seeds([e["metrics"][k]["value"] for e in entries]) for k in entries[0]["metrics"]}
        missing = float(np.mean([entry["all_missing"] for entry in entries]))
        observed = {k: _over_seeds([e["observed"][k] for e in entries])["mean"] for k in entries[0]["observed"]}
        known = {name: entries[0][name] for name in ("condition", "axis", "rate", "n")}
        by_rate.append(known | {"all_missing": missing, "observed": observed, "metrics": metrics})
    areas, means = [s["auilc"] for s in summaries], [s["mean"] for s in summaries]
    result: dict[str, Any] = shared | {"seeds": seeds, "by_rate": by_rate, "auilc": None, "mean": None}
    if all(areas):
        result["auilc"] = {
            key: {
                "published": _over_seeds([area[key]["value"] for area in areas]),
                "divided_by_range": _over_seeds([area[key]["divided_by_range"] for area in areas]),
            }
            | _zeroed([area[key] for area in areas])
            for key in areas[0]
        }
    if all(means):
        metrics = {}
        for key in means[0]["metrics"]:
            of_seeds = [mean["metrics"][key] for mean in means]
            metrics[key] = _over_seeds([entry["value"] for entry in of_seeds]) | _zeroed(of_seeds)
        result["mean"] = {name: means[0][name] for name in ("rates", "conditions")} | {"metrics": metrics}
    return result


def _zeroed(entries: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    rates = sorted({rate for entry in entries for rate in entry.get("undefined_as_zero", [])}, key=str)
    return {"undefined_as_zero": rates} if rates else {}


def _over_seeds(values: Sequence[float | None]) -> dict[str, Any]:
    kept = [value for value in values if value is not None]
    mean = float(np.mean(kept)) if kept else None
    std = float(np.std(kept, ddof=1)) if len(kept) > 1 else None
    return {"mean": mean, "std": std, "seeds": len(kept), "values": list(values)}
