"""The jobs of a plan, done one after the other or in several processes; what is finished is not done again."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mitr.bench.plan import Job, Plan
from mitr.bench.work import finished, perform
from mitr.errors import MitrError
from mitr.files import discard_partials, write_json
from mitr.processes import JobResult, run_jobs


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Refuse to work where another call is at work; without such locks (not POSIX), trust the user."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (out / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MitrError(f"another call is at work in {out}: wait for it, or choose another folder") from None
        yield


def perform_all(plan: Plan, out: Path, workers: int, quiet: bool) -> dict[str, JobResult]:
    """Do what is left of the jobs in processes; a job that fails takes no other down.

    Returns:
        Key of a job -> what it was and cost, or how it failed.

    Raises:
        MitrError: interrupted.
    """
    facts = {job.key: known for job in plan.jobs if (known := finished(job, out)) is not None}
    left = [job for job in plan.jobs if job.key not in facts]
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    say = Console(stderr=True, quiet=quiet)
    with Progress(*columns, TimeRemainingColumn(), console=say, disable=quiet) as progress:
        task = progress.add_task("runs", total=len(plan.jobs), completed=len(facts))

        def done(job: Job, what: JobResult) -> None:
            facts[job.key] = what
            progress.advance(task)
            if what["status"] != "ok":
                say.print(f"failed: {job.key}: {what['error']}", style="red", markup=False, highlight=False)
                write_json(out / "runs" / f"{job.key}.failed.json", what)

        try:
            run_jobs(left, out, workers, done, perform)
        except KeyboardInterrupt:
            raise MitrError(f"interrupted; the same command goes on where it stopped in {out}") from None
    return facts


def perform_here(plan: Plan, out: Path, quiet: bool) -> dict[str, JobResult]:
    """Do what is left of the jobs one after the other in this process, each with its progress; the first error ends it.

    Returns:
        Key of a job -> what it was and cost.
    """
    say = Console(stderr=True, quiet=quiet)
    facts: dict[str, JobResult] = {}
    for job in plan.jobs:
        known = finished(job, out)
        if known is None:
            say.print(f"[bold]{job.key}[/bold]")
        facts[job.key] = known if known is not None else perform(job, out, quiet=quiet)
    return facts


def prepare(out: Path) -> None:
    """Discard what an interrupted call left half written."""
    for folder in (out, out / "predictions"):
        if folder.exists():
            discard_partials(folder)


def listed(plan: Plan, facts: dict[str, JobResult]) -> list[JobResult]:
    """One entry per job: what it is, and its facts."""
    return [_described(job) | facts[job.key] for job in plan.jobs]


def _described(job: Job) -> JobResult:
    return {
        "key": job.key,
        "model": job.entry,
        "data": job.data_name,
        "seed": job.seed,
        "training": job.training,
        "protocols": [check.protocol.name for check in job.checks],
    }
