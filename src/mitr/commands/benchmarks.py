"""Commands that compare models with each other and with published rows."""

from pathlib import Path

from mitr.commands.wording import command_line
from mitr.config import (
    PUBLISHED_SEEDS,
    EncoderChoice,
    ImbalanceConfig,
    MissingConfig,
    NormalizeConfig,
    TextConfig,
    TrainConfig,
)
from mitr.errors import MitrError


def bench(
    data: list[str],
    *,
    models: str,
    protocol: str = "auilc",
    rates: tuple[float, ...] | None = None,
    seeds: str = ",".join(map(str, PUBLISHED_SEEDS)),
    out: str,
    variants: str | None = None,
    per_rate: bool = False,
    reference: str | None = None,
    jobs: int = 0,
    text: TextConfig = TextConfig(),  # noqa: B008
    missing: MissingConfig = MissingConfig(),  # noqa: B008
    normalize: NormalizeConfig = NormalizeConfig(),  # noqa: B008
    train: TrainConfig = TrainConfig(),  # noqa: B008
    imbalance: ImbalanceConfig = ImbalanceConfig(),  # noqa: B008
    quiet: bool = False,
) -> None:
    """Compare models under missing-data protocols: one plan, one table, one report; stopped, it can be called again.

    Args:
        data: folders of data sets, or of the folds of one.
        models: names, with commas between them, e.g. mitr-dnet,emt-dlfr,ridge.
        protocol: names, with commas between them: complete, auilc, mean, modality-rate, combinations, blocks, rates.
        rates: missing rates of the protocol rates, written as [0.0,0.5].
        seeds: seeds of the training runs, with commas between them.
        out: the folder for runs, masks, results and report.
        variants: a YAML file with further entries, name -> sections of options that differ; here a model's own
            options are set.
        per_rate: protocols auilc and rates train one model per missing rate, as published.
        reference: the model that the others are tested against; otherwise the first.
        jobs: processes at a time; 0 for one per core.
        text: the text encoder.
        missing: what the student does not see, where the protocol leaves it open.
        normalize: scaling of features.
        train: the training loop; its seed is replaced.
        imbalance: how rare labels are made to count.
        quiet: show no progress.
    """
    from mitr.bench.plan import read_variants
    from mitr.bench.run import run_bench
    from mitr.runs.config import ModelConfig, RunConfig

    found = run_bench(
        data,
        out,
        models=words_of(models),
        protocols=words_of(protocol),
        seeds=numbers_of(seeds),
        config=RunConfig(ModelConfig(), text, missing, normalize, train, imbalance),
        variants=read_variants(Path(variants)) if variants else None,
        per_rate=per_rate,
        rates=rates,
        reference=reference,
        jobs=jobs,
        quiet=quiet,
        command=command_line(),
    )
    print((found.folder / "tables.md").read_text(encoding="utf-8"))
    print(f"{found.folder / 'report.html'}")
    if found.failed:
        raise MitrError(f"{len(found.failed)} of {len(found.jobs)} runs failed; the same command tries them again")


def reproduce(
    experiment: str | None = None,
    *,
    list: bool = False,
    out: str | None = None,
    data: str | None = None,
    text: EncoderChoice = EncoderChoice(),  # noqa: B008
    jobs: int = 0,
    quiet: bool = False,
) -> None:
    """Run a published row, or all of a table, and compare: ours, theirs, verdicts; stopped, it can be called again.

    Args:
        experiment: the name of a published row or table (wang2025, wang2025_mosi), or a YAML file with a row.
        list: print the published rows, or those of the table that is named, and run nothing.
        out: the folder for runs and comparison.
        data: the data set's folder, several with commas between them; without it, the error says which are needed.
        text: another place of the text encoder.
        jobs: processes at a time; 0 for one per core.
        quiet: show no progress.
    """
    from mitr.bench import reproduce as one_row
    from mitr.bench import reproduce_table as whole_table
    from mitr.bench.catalogue import experiment_file, experiments_named, print_experiments

    if list:
        print_experiments(experiments_named(experiment))
        return
    if experiment is None:
        raise MitrError("name a published row, a table or a YAML file; `mitr reproduce --list` prints the rows")
    rows = experiments_named(experiment)
    if out is None:
        raise MitrError("name a folder for runs and comparison: --out OUT")
    if experiment_file(experiment) is not None:
        found = one_row.reproduce(rows[0], data, out, text=text, jobs=jobs, quiet=quiet, command=command_line())
        one_row.print_reproduction(found)
        problems = [f"{found.failed} runs failed"] if found.failed else []
    else:
        stores = [data] if data and Path(data).exists() else words_of(data or "")
        table = whole_table.reproduce_table(
            experiment, rows, stores, out, text=text, jobs=jobs, quiet=quiet, command=command_line()
        )
        whole_table.print_table(table)
        problems = table.problems
    print(f"{Path(out) / 'reproduction.md'}")
    if problems:
        raise MitrError("\n".join([*problems, "the same command tries them again"]))


def words_of(text: str) -> list[str]:
    return [word.strip() for word in text.strip("[]()").split(",") if word.strip()]


def numbers_of(text: str) -> list[int]:
    try:
        return [int(word) for word in words_of(text)]
    except ValueError:
        raise MitrError(f"--seeds {text}: write whole numbers with commas between them, such as 0,1,2") from None
