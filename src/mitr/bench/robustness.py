"""How a model degrades as data go missing: several seeds, one model for all rates or one per rate, one report."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from mitr.bench.evaluate import data_facts, predict, shown_facts, warnings_for
from mitr.config import PUBLISHED_SEEDS, MissingConfig
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.evaluation.metrics import chosen_family
from mitr.evaluation.summary import Protocol, aggregate, results_table, summarise
from mitr.files import read_json, replacing, write_json
from mitr.missing.protocols import rates_of
from mitr.report.html import write_robustness_report
from mitr.runs.config import RunConfig
from mitr.runs.run import Run
from mitr.training.settling import settle
from mitr.training.train import resume, train


@dataclass
class Robustness:
    """What `robustness` found.

    Attributes:
        aggregate: mean and standard deviation over seeds, as `summary.aggregate` gives them.
        results: the tidy table of single values.
        folder: where everything lies.
    """

    aggregate: dict[str, Any]
    results: pd.DataFrame
    folder: Path


def robustness(
    data: Dataset | str | Path,
    out: str | Path,
    config: RunConfig | None = None,
    *,
    per_rate: bool = False,
    seeds: Sequence[int] = PUBLISHED_SEEDS,
    rates: Sequence[float] | None = None,
    split: str = "test",
    family: str | None = None,
    quiet: bool = False,
    command: str | None = None,
) -> Robustness:
    """Train and evaluate over missing rates. Called again on the same folder, it goes on where it stopped.

    Args:
        data: a store, or its folder.
        out: folder for the runs, `results.csv`, `summary.json`, `report.html` and pictures.
        config: training options; its seed is replaced by `seeds`.
        per_rate: train one model per rate on the published fixed masks and test it at that rate (the field's protocol);
            otherwise one model for all rates, with the configured schedule.
        seeds: one training run (per rate) each.
        rates: missing rates; None: those of the AUILC protocol for the label range.
        split: the split to report.
        family: metrics `mosi`, `sims` or `general`; None: by the label range, or those of classes.
        quiet: show no progress.
        command: the command line to record.

    Raises:
        MitrError: seeds or rates repeated or out of range, or the folder belongs to another experiment.
    """
    dataset = data if isinstance(data, Dataset) else Dataset(data)
    config = settle(config or RunConfig(), dataset.info)
    out = Path(out)
    scale = dataset.info.label_range
    family = chosen_family(family, scale, dataset.info.classes)
    published = rates_of("auilc", scale)
    rates = sorted(rates) if rates else published
    protocol: Protocol = "auilc" if rates == published else "rates"
    for what, values in (("seeds", seeds), ("rates", rates)):
        if len(set(values)) != len(values) or not values:
            raise MitrError(f"the {what} {list(values)} must be different from each other, and at least one")
    if not all(0 <= rate <= 1 for rate in rates):
        raise MitrError(f"the rates {rates} must lie in [0, 1]")
    groups: list[list[float]] = [[rate] for rate in rates] if per_rate else [rates]
    configs = {
        (seed, i): _config_of(config, seed, group[0] if per_rate else None)
        for seed in seeds
        for i, group in enumerate(groups)
    }
    plan = {
        "config": config.to_json(),
        "per_rate": per_rate,
        "rates": rates,
        "data": data_facts(dataset),
        "split": split,
    }
    _claim(out, plan)
    say = Console(stderr=True, quiet=quiet)
    summaries = []
    run = None
    for seed in seeds:
        tables = []
        for i, group in enumerate(groups):
            name = f"rate-{group[0]}-seed-{seed}" if per_rate else f"seed-{seed}"
            say.print(f"[bold]{name}[/bold]")
            run = _trained(dataset, out / "runs" / name, configs[seed, i], quiet)
            tables.append(_predictions(run, dataset, split, group, quiet))
        predictions = pd.concat(tables, ignore_index=True)
        summaries.append(
            summarise(predictions, protocol=protocol, label_range=scale, family=family).to_json() | {"seed": seed}
        )
    assert run is not None
    training = "per-rate" if per_rate else "one-model"
    together = aggregate(summaries)
    results = results_table(summaries, model=config.model.name, training=training)
    with replacing(out / "results.csv") as partial:
        results.to_csv(partial, index=False)
    write_json(
        out / "summary.json", together | {"training": training, "summaries": summaries, "command": command} | plan
    )
    facts = shown_facts(run, dataset, split, command)
    facts |= {"Training": training, "Seed": ", ".join(map(str, seeds))}
    if per_rate:
        facts |= {
            "Selection": run.info.selection.replace(f"missing rates {rates[-1]}", "each model's own missing rate")
        }
    facts.pop("Epochs")  # each run has its own
    title = f"{config.model.name} on {dataset.info.name}: robustness, {training.replace('-', ' ')}"
    notes = warnings_for(run, dataset)
    write_robustness_report(
        out, title=title, aggregate_json=together, facts=facts, warnings=notes, synthetic=dataset.info.synthetic
    )
    return Robustness(together, results, out)


def _config_of(config: RunConfig, seed: int, rate: float | None) -> RunConfig:
    config = replace(config, train=replace(config.train, seed=seed))
    if rate is None:
        return config
    missing = MissingConfig("fixed", rate, seeds=config.missing.seeds)
    return replace(config, missing=missing)


def _trained(data: Dataset, folder: Path, config: RunConfig, quiet: bool) -> Run:
    if (folder / "run.json").exists():
        return resume(folder, data, quiet=quiet)
    return train(data, folder, config, quiet=quiet)


def _predictions(run: Run, data: Dataset, split: str, rates: Sequence[float], quiet: bool) -> pd.DataFrame:
    path = run.folder / f"predictions-{split}.parquet"
    if path.exists():
        return pd.read_parquet(path)
    table = predict(run, data, split, rates, quiet)
    with replacing(path) as partial:
        table.to_parquet(partial, index=False)
    return table


def _claim(out: Path, plan: dict[str, Any]) -> None:
    path = out / "plan.json"
    if path.exists():
        old, new = read_json(path), json.loads(json.dumps(plan))  # tuples are lists in JSON
        old["config"] = json.loads(json.dumps(RunConfig.from_json(old["config"]).to_json()))  # of an older version
        changed = sorted(key for key in new if old.get(key) != new[key])
        if changed:
            raise MitrError(f"{out} belongs to another experiment ({', '.join(changed)} differ): choose another folder")
    elif out.exists() and any(out.iterdir()):
        raise MitrError(f"{out} is not empty and holds no robustness experiment: choose another folder")
    write_json(path, plan)
