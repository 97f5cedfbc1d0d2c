"""A published row run again: our numbers beside the paper's, and whether they agree."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from mitr.bench.experiments import DataFile, Experiment
from mitr.config import EncoderChoice
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.evaluation.metrics import metric
from mitr.files import write_json, write_text
from mitr.version import VERSION

Verdict = Literal["within", "better", "worse", "not measured", "other data"]
RUN_AS = {"auilc": "auilc", "mean": "mean", "complete": "auilc"}  # rate 0 is the first of AUILC's rates
ROUNDING = 1e-9  # a difference equal to the tolerance is within it
HEAD = ("metric", "ours", "seeds", "published", "difference", "tolerance", "verdict")


@dataclass(frozen=True)
class ComparedMetric:
    """One metric of a published row, ours beside theirs.

    Attributes:
        metric: its key.
        ours: mean over the seeds; None where nothing was measured.
        std: standard deviation over the seeds (n − 1); None with fewer than two.
        seeds: number of seeds with a value.
        theirs: the published number.
        tolerance: difference that still counts as the same.
        verdict: `within` the tolerance, `better` or `worse` than that by the metric's direction, `not measured`, or
            `other data`: measured, but on another file than the paper's.
    """

    metric: str
    ours: float | None
    std: float | None
    seeds: int
    theirs: float
    tolerance: float
    verdict: Verdict

    @property
    def difference(self) -> float | None:
        """Ours minus theirs."""
        return None if self.ours is None else self.ours - self.theirs

    @property
    def cells(self) -> tuple[str, ...]:
        """The texts of a table's line, under `HEAD`."""
        spread = "" if self.std is None else f" ± {self.std:.3f}"
        ours = "–" if self.ours is None else f"{self.ours:.3f}{spread}"
        difference = "–" if self.difference is None else f"{self.difference:+.3f}"
        compared = (ours, str(self.seeds), f"{self.theirs:.3f}", difference, f"{self.tolerance:.3f}", self.verdict)
        return metric(self.metric).arrowed_label, *compared

    def to_json(self) -> dict[str, object]:
        """The attributes and the difference."""
        return asdict(self) | {"difference": self.difference}


@dataclass(frozen=True)
class Reproduction:
    """A published row that was run again.

    Attributes:
        experiment: the published row.
        metrics: its metrics, each compared.
        notes: differences between our run and the paper's that make the numbers less comparable.
        failed: number of training runs that failed; their seeds are not in the means.
        folder: the bench folder.
    """

    experiment: Experiment
    metrics: list[ComparedMetric]
    notes: list[str]
    failed: int
    folder: Path


def compare_with_published(
    experiment: Experiment, results: pd.DataFrame, same_data: bool = True
) -> list[ComparedMetric]:
    """Put our numbers beside the published ones.

    Args:
        experiment: the published row.
        results: the bench's tidy table with the columns `model`, `protocol`, `training`, `axis`, `condition`, `rate`,
            `seed`, `metric` and `value`; other models, protocols and seeds in it are passed over.
        same_data: the results were measured on the paper's own file.
    """
    chosen = results[
        (results["model"] == experiment.model)
        & (results["protocol"] == RUN_AS[experiment.protocol])
        & (results["training"] == experiment.training)
        & results["seed"].isin(experiment.seeds)
    ]
    if experiment.protocol == "complete":
        chosen = chosen[(chosen["axis"] == "rate") & (chosen["rate"] == 0)]
    else:
        chosen = chosen[chosen["condition"] == {"auilc": "AUILC", "mean": "mean"}[experiment.protocol]]
    return [
        _compared(experiment, key, chosen.loc[chosen["metric"] == key, "value"], same_data)
        for key in experiment.published
    ]


def reproduce(
    experiment: Experiment,
    data: str | Path | None,
    out: str | Path,
    *,
    text: EncoderChoice | None = None,
    jobs: int = 0,
    quiet: bool = False,
    command: str | None = None,
) -> Reproduction:
    """Run a published row and write `reproduction.json` and `reproduction.md` beside the runs.

    Args:
        experiment: the row.
        data: the store made of the row's data file.
        out: the bench folder; called again on it, the runs go on where they stopped.
        text: the text encoder to use; None: the row's, without network.
        jobs: processes; 0: one for each core.
        quiet: show no progress.
        command: the command line to record.

    Raises:
        MitrError: the data set does not exist (the message names the file that it is made of), or no run succeeded.
    """
    dataset = _open(experiment, data)
    from mitr.bench.run import run_bench  # takes seconds, which a missing data set need not cost

    out = Path(out)
    text, published = text or EncoderChoice(), experiment.config.text
    other_data = _other_data(experiment, dataset)
    notes = [note for note in (other_data, _other_encoder(experiment, text)) if note]
    for note in notes:
        warnings.warn(note, stacklevel=2)
    encoder = text.encoder or published.encoder
    download = text.allow_download or published.allow_download
    bench = run_bench(
        [dataset],
        out,
        models=[experiment.model],
        protocols=[RUN_AS[experiment.protocol]],
        seeds=experiment.seeds,
        config=replace(experiment.config, text=replace(published, encoder=encoder, allow_download=download)),
        per_rate=experiment.training == "per-rate",
        jobs=jobs,
        quiet=quiet,
        command=command,
    )
    metrics = compare_with_published(experiment, bench.results, same_data=other_data is None)
    reproduction = Reproduction(experiment, metrics, notes, len(bench.failed), out)
    row = {key: value for key, value in asdict(experiment).items() if key not in ("published", "tolerance")}
    measured = {
        "rows": [compared.to_json() for compared in metrics],
        "notes": notes,
        "failed": reproduction.failed,
        "encoder": encoder,
        "measured_on": asdict(dataset.info.source),
        "mitr": VERSION,
        "command": command,
    }
    write_json(out / "reproduction.json", row | measured)
    write_text(out / "reproduction.md", as_markdown(reproduction))
    return reproduction


def as_markdown(reproduction: Reproduction) -> str:
    """The comparison as a page."""
    row = reproduction.experiment
    lines = [f"# {row.title}", "", f"Published: [{row.source}]({row.url})", ""]
    lines += [f"Model {row.model}, {row.data.name}, {row.protocol}, {row.training}, seeds {_listed(row.seeds)}.", ""]
    lines += [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    lines += [f"| {' | '.join(compared.cells)} |" for compared in reproduction.metrics]
    lines += [line for note in reproduction.notes for line in ("", f"**{note}**")]
    return "\n".join(lines) + "\n"


def print_reproduction(reproduction: Reproduction) -> None:
    """Print the comparison as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*HEAD, title=reproduction.experiment.title)
    for compared in reproduction.metrics:
        table.add_row(*compared.cells)
    Console().print(table)


def source_file(data: DataFile) -> str:
    """The data of a row and the file that they are made of, for messages."""
    return f"{data.name}, made of the file {data.file} that MMSA distributes (SHA-256 {data.sha256 or 'not known'})"


def _compared(experiment: Experiment, key: str, values: "pd.Series[Any]", same_data: bool) -> ComparedMetric:
    values = values.dropna()
    ours = float(values.mean()) if len(values) else None
    std = float(values.std(ddof=1)) if len(values) > 1 else None
    theirs, tolerance = experiment.published[key], experiment.tolerance[key]
    verdict: Verdict
    if ours is None:
        verdict = "not measured"
    elif not same_data:
        verdict = "other data"
    elif abs(ours - theirs) <= tolerance + ROUNDING:
        verdict = "within"
    else:
        verdict = "better" if (ours < theirs) == metric(key).lower_is_better else "worse"
    return ComparedMetric(key, ours, std, len(values), theirs, tolerance, verdict)


def _open(experiment: Experiment, data: str | Path | None) -> Dataset:
    if data is not None and Path(data).exists():
        return Dataset(data)
    given = "no --data was given" if data is None else f"{data} does not exist"
    raise MitrError(
        f"{given}: {experiment.name} needs {source_file(experiment.data)}.\n"
        "Put it into a data set and name that:\n"
        f"  mitr data import {experiment.data.file} --out DIR\n"
        f"  mitr reproduce {experiment.name} --data DIR --out OUT"
    )


def _other_data(experiment: Experiment, dataset: Dataset) -> str | None:
    expected, source = experiment.data.sha256, dataset.info.source
    if expected is None or source.sha256 == expected:
        return None
    return (
        f"the numbers are not comparable: {experiment.data.name} is published as {experiment.data.file} "
        f"with SHA-256 {expected}, but the data set was made of {source.name} ({source.sha256 or 'no SHA-256'})"
    )


def _other_encoder(experiment: Experiment, text: EncoderChoice) -> str | None:
    named = experiment.config.text.encoder
    if text.encoder in (None, named):
        return None
    return f"the text encoder is {text.encoder!r}; the experiment names {named!r}"


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))
