"""Commands that compare models with each other and with published rows."""

from pathlib import Path

from mitr.commands.wording import command_line
from mitr.config import (
    PUBLISHED_SEEDS,
    EncoderChoice,
    ImbalanceConfig,
    LossConfig,
    MissingConfig,
    ModelConfig,
    NormalizeConfig,
    RunConfig,
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
    model: ModelConfig = ModelConfig(),  # noqa: B008
    loss: LossConfig = LossConfig(),  # noqa: B008
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
        variants: a YAML file with further entries, name -> sections of options that differ.
        per_rate: protocols auilc and rates train one model per missing rate, as published.
        reference: the model that the others are tested against; otherwise the first.
        jobs: processes at a time; 0 for one per core.
        model: the network; its name is replaced.
        loss: weights of the loss terms.
        text: the text encoder.
        missing: what the student does not see, where the protocol leaves it open.
        normalize: scaling of features.
        train: the training loop; its seed is replaced.
        imbalance: how rare labels are made to count.
        quiet: show no progress.
    """
    from mitr.bench.plan import read_variants
    from mitr.bench.run import run_bench

    found = run_bench(
        data,
        out,
        models=words_of(models),
        protocols=words_of(protocol),
        seeds=numbers_of(seeds),
        config=RunConfig(model, loss, text, missing, normalize, train, imbalance),
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
    experiment: str,
    *,
    out: str,
    data: str | None = None,
    text: EncoderChoice = EncoderChoice(),  # noqa: B008
    jobs: int = 0,
    quiet: bool = False,
) -> None:
    """Run a published row again and compare: ours, theirs, and whether they agree; stopped, it can be called again.

    Args:
        experiment: a YAML file, or the name of one in experiments/published.
        out: the folder for runs and comparison.
        data: the data set's folder; without it, the error says which file it is to be made of.
        text: another place of the text encoder.
        jobs: processes at a time; 0 for one per core.
        quiet: show no progress.
    """
    from mitr.bench import reproduce as reproducing
    from mitr.bench.experiments import find_experiment, read_experiment

    row = read_experiment(find_experiment(experiment))
    found = reproducing.reproduce(row, data, out, text=text, jobs=jobs, quiet=quiet, command=command_line())
    reproducing.print_reproduction(found)
    print(f"{Path(out) / 'reproduction.md'}")
    if found.failed:
        raise MitrError(f"{found.failed} runs failed; the same command tries them again")


def words_of(text: str) -> list[str]:
    return [word.strip() for word in text.strip("[]()").split(",") if word.strip()]


def numbers_of(text: str) -> list[int]:
    try:
        return [int(word) for word in words_of(text)]
    except ValueError:
        raise MitrError(f"--seeds {text}: write whole numbers with commas between them, such as 0,1,2") from None
