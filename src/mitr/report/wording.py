"""Numbers and sentences of the reports, made from the JSON of a summary and nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from mitr.evaluation.metrics import metric

UNDEFINED = "–"
RATE = "rate"  # the axis of missing rates; summaries of older versions name no axis and have this one


def plain(value: float, decimals: int = 3) -> str:
    """A number with a true minus sign and a fixed number of decimals."""
    text = f"{value:.{decimals}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def compact(value: float) -> str:
    """A rate or label without superfluous zeros, such as 0, 0.25 or −3."""
    return f"{value:g}".replace("-", "−")


def amount(key: str, value: float | None) -> str:
    """A metric's value for a table: per cent with two decimals, otherwise three decimals; a dash for None."""
    if value is None:
        return UNDEFINED
    return plain(100 * value, 2) if metric(key).percent else plain(value)


def bounds(key: str, low: float | None, high: float | None) -> str:
    """An interval for a table; empty where it is undefined."""
    if low is None or high is None:
        return ""
    percent = metric(key).percent
    ends = [plain(100 * end, 1) if percent else plain(end) for end in (low, high)]
    return f"[{ends[0]}, {ends[1]}]"


def spread(key: str, std: float | None) -> str:
    """A standard deviation for a table; empty for None (a single seed)."""
    return "" if std is None else f"± {amount(key, std)}"


def per_cent(share: float | None) -> str:
    """A share as whole per cent; small shares stay visible."""
    if share is None:
        return UNDEFINED
    return "< 1 %" if 0 < share < 0.005 else "> 99 %" if 0.995 < share < 1 else f"{100 * share:.0f} %"


def heading(key: str) -> str:
    """A table heading: the metric's label, its unit and which way is better."""
    about = metric(key)
    space = "\N{NO-BREAK SPACE}"  # keeps the arrow beside what it points for
    return f"{about.label}{' %' if about.percent else ''}{space}{'↓' if about.lower_is_better else '↑'}"


def at_rate(rate: float) -> str:
    """How a sentence about one missing rate begins."""
    return "With nothing removed" if rate == 0 else f"At missing rate {compact(rate)}"


def under(entry: Mapping[str, Any]) -> str:
    """How a sentence about one condition begins."""
    return at_rate(entry["rate"]) if entry.get("axis", RATE) == RATE else f"Under {entry['condition']}"


def condition(entry: Mapping[str, Any]) -> str:
    """A condition in a table: its missing rate, or its name."""
    return compact(entry["rate"]) if entry.get("axis", RATE) == RATE else str(entry["condition"])


def on_rates(summary: Mapping[str, Any]) -> bool:
    """All conditions are missing rates."""
    return all(entry.get("axis", RATE) == RATE for entry in summary["by_rate"])


def averaged_over(summary: Mapping[str, Any]) -> str:
    """The conditions that the mean of a summary is over, such as `missing rates 0–0.9`."""
    mean = summary["mean"]
    if on_rates(summary):
        return f"missing rates {rates_span(mean['rates'])}"
    return f"{len(mean['rates'])} conditions"


def resampled(summary: Mapping[str, Any]) -> str:
    """The groups of test samples that the bootstrap draws, such as `52 videos`."""
    return f"{summary['groups']['count']} {summary['groups']['unit']}"


def headline_keys(metrics: Mapping[str, Any]) -> list[str]:
    """The three metrics that a reader looks for first: MAE, Corr and the family's first Acc-2; those of classes."""
    if "mae" not in metrics:
        return list(metrics)[:3]
    return ["mae", "corr", *[key for key in metrics if key.startswith("acc2")][:1]]


def headline(summary: Mapping[str, Any]) -> list[str]:
    """Two or three sentences that say what an evaluation found.

    Args:
        summary: the JSON of `Summary.to_json`.
    """
    first, last = summary["by_rate"][0], _last_with_evidence(summary)
    where = under(first)
    level = per_cent(summary["level"])
    sentences = [f"{where}, over {summary['n']} test samples {labelled(summary)}, {_found(first['metrics'], level)}."]
    if last is not first:
        sentences.append(f"{under(last)}, {_found(last['metrics'], level)}.")
    if summary["mean"]:
        means = summary["mean"]["metrics"]
        listed = [
            f"{metric(key).label} is {amount(key, means[key]['value'])}{' %' if metric(key).percent else ''} "
            f"{bounds(key, means[key]['low'], means[key]['high'])}".rstrip()
            for key in headline_keys(means)
        ]
        sentences.append(f"Averaged over {averaged_over(summary)}, {', '.join(listed)}.")
    return sentences


def labelled(summary: Mapping[str, Any]) -> str:
    """What the labels of a summary are."""
    low, high = summary["label_range"]
    if summary["family"] == "classes":
        return f"labelled with {compact(high + 1)} classes"
    return f"labelled from {compact(low)} to {compact(high)}"


def units(summary: Mapping[str, Any]) -> str:
    """In what units a table of its metrics is."""
    return "In per cent." if summary["family"] == "classes" else "Shares and F1 in per cent, MAE in label units."


def headline_of_seeds(aggregate: Mapping[str, Any]) -> list[str]:
    """Sentences that say what several seeds found.

    Args:
        aggregate: the JSON of `aggregate`.
    """
    seeds = len(aggregate["seeds"])
    trained = "Trained once" if seeds == 1 else f"Trained {seeds} times with different seeds"
    sentences, first = [f"{trained}, tested on the same {aggregate['n']} samples."], aggregate["by_rate"][0]
    last = _last_with_evidence(aggregate)
    for entry in [first] if last is first else [first, last]:
        found = [
            f"{metric(key).label} is {amount(key, entry['metrics'][key]['mean'])}"
            f"{' %' if metric(key).percent else ''} {spread(key, entry['metrics'][key]['std'])}".rstrip()
            for key in headline_keys(entry["metrics"])
        ]
        sentences.append(f"{under(entry)}, {', '.join(found)}.")
    return sentences


def answered_with_prior(summary: Mapping[str, Any]) -> str:
    """One sentence on the samples of which nothing was left; empty if there are none."""
    blind = [entry for entry in summary["by_rate"] if entry["all_missing"] > 0]
    if not blind:
        return ""
    at = "at rate" if on_rates(summary) else "under"
    shares = ", ".join(f"{per_cent(entry['all_missing'])} {at} {condition(entry)}" for entry in blind)
    return f"Samples without any modality get the prior, one constant answer: {shares}."


def undefined_as_zero(summary: Mapping[str, Any]) -> str:
    """One sentence on the correlations that count as 0 in sums over conditions; empty if there are none."""
    over = summary["auilc"] or (summary["mean"] or {}).get("metrics", {})
    rates = over.get("corr", {}).get("undefined_as_zero", [])
    if not rates:
        return ""
    listed = ", ".join(rate if isinstance(rate, str) else f"rate {compact(rate)}" for rate in rates)
    return f"Corr is undefined at {listed}, where every answer is the same; here it counts as 0."


def rates_span(rates: Sequence[float]) -> str:
    """`0–0.9`, the first and last of some rates."""
    return f"{compact(rates[0])}–{compact(rates[-1])}"


def _last_with_evidence(summary: Mapping[str, Any]) -> Any:
    seen = [entry for entry in summary["by_rate"] if entry["all_missing"] < 1]
    return (seen or summary["by_rate"])[-1]


def _found(metrics: Mapping[str, Any], level: str) -> str:
    if "mae" not in metrics:
        right, recall = metrics["accuracy"], metrics["ua"]
        return (
            f"{plain(100 * right['value'], 1)} % of the answers are right ({level} interval "
            f"{_between('accuracy', right)}), and {plain(100 * recall['value'], 1)} % on average over the classes "
            f"({_between('ua', recall)})"
        )
    mae, corr = metrics["mae"], metrics["corr"]
    error = f"predictions are off by {plain(mae['value'])} on average"
    error += f" ({level} interval {plain(mae['low'])} to {plain(mae['high'])})"
    if corr["value"] is None:
        order = "their correlation with the labels is undefined"
    else:
        order = f"correlate {plain(corr['value'])} with the labels ({_between('corr', corr)})"
    sign = next((key for key in metrics if key.startswith("acc2")), None)
    if sign is None or metrics[sign]["value"] is None:
        return f"{error}, and {order}"
    right = f"have the right sign for {plain(100 * metrics[sign]['value'], 1)} % of the samples"
    return f"{error}, {order}, and {right} ({_between(sign, metrics[sign])}; {metric(sign).label})"


def _between(key: str, entry: Mapping[str, Any]) -> str:
    if entry["low"] is None:
        return "interval undefined"
    factor, decimals = (100, 1) if metric(key).percent else (1, 3)
    return f"{plain(factor * entry['low'], decimals)} to {plain(factor * entry['high'], decimals)}"


def prediction_units(of_classes: bool) -> str:
    """The units of what changes a prediction, such as Shapley values."""
    return "in units of the predicted class's probability" if of_classes else "in label units"
