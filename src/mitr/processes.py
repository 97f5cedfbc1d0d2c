"""Jobs spread over processes: a free process takes the next job, and a job that fails takes no other down."""

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from mitr.errors import MitrError

Job = TypeVar("Job")
JobResult = dict[str, Any]  # `status` is ok, or failed with `error` and `traceback`; the rest is the job's
STARTS = threading.Lock()  # one at a time
BEGUN = "begun"  # what a process says when it begins with a job
STARTING = 60.0  # seconds that a process may take until it begins
LATE = 1.0  # seconds between looks at the clock where jobs have a time limit


class Worker(NamedTuple, Generic[Job]):
    """A process, the job that it was given, and when it began with it (or should have, while it is still starting)."""

    process: Any
    line: Connection
    job: Job
    since: float


def run_jobs(
    jobs: Iterable[Job],
    folder: Path,
    workers: int,
    done: Callable[[Job, JobResult], None],
    work: Callable[[Job, Path], JobResult],
    seconds: float | None = None,
) -> None:
    """Do all jobs.

    Args:
        jobs: in the order in which they begin; each can be pickled.
        folder: given to `work`.
        workers: most processes at a time, each with its share of the cores.
        done: called in this process with each job and its facts; `{"status": "failed", "error": …}` if it failed.
        work: what a process does with a job; importable by name, and not from the script that is running.
        seconds: a job that takes longer is ended, and has failed; None: there is no limit.
    """
    waiting = list(jobs)[::-1]
    context = multiprocessing.get_context("spawn")
    free: list[tuple[Any, Connection]] = []
    busy: list[Worker[Job]] = []
    threads = max(1, (os.cpu_count() or 1) // workers)
    with _threads(threads):
        try:
            while waiting or busy:
                while waiting and len(busy) < workers:
                    process, line = free.pop() if free else _start(context, folder, work)
                    job = waiting.pop()
                    line.send(job)
                    busy.append(Worker(process, line, job, time.monotonic() + STARTING))
                ready = wait([worker.line for worker in busy], None if seconds is None else LATE)
                for worker in [w for w in busy if w.line not in ready and _late(w, seconds)]:
                    busy.remove(worker)
                    worker.process.kill()
                    worker.process.join()
                    done(worker.job, {"status": "failed", "error": f"it took longer than {seconds:g} s and was ended"})
                for worker in [w for w in busy if w.line in ready]:
                    busy.remove(worker)
                    try:
                        facts = worker.line.recv()
                        if facts == BEGUN:
                            busy.append(worker._replace(since=time.monotonic()))
                            continue
                        free.append((worker.process, worker.line))
                    except (EOFError, OSError):
                        worker.process.join()
                        facts = {"status": "failed", "error": _death(worker.process.exitcode)}
                    done(worker.job, facts)
        finally:
            for process, line in [*free, *((w.process, w.line) for w in busy)]:
                line.close()
                process.terminate()
                process.join()


def _start(context: Any, folder: Path, work: Callable[[Any, Path], JobResult]) -> tuple[Any, Connection]:
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, folder, work, os.getpid()), daemon=True)
    with _without_script():
        process.start()
    theirs.close()
    return process, ours


def _serve(line: Connection, folder: Path, work: Callable[[Any, Path], JobResult], parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interruption means
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    while True:
        try:
            job = line.recv()
        except EOFError:
            return
        line.send(BEGUN)
        try:
            facts = work(job, folder)
        except Exception as error:  # whatever it was, the other jobs go on
            message = str(error) if isinstance(error, MitrError) else f"{type(error).__name__}: {error}"
            facts = {"status": "failed", "error": message, "traceback": traceback.format_exc()}
        line.send(facts)


def _late(worker: Worker[Job], seconds: float | None) -> bool:
    return seconds is not None and time.monotonic() - worker.since > seconds


def _end_with(parent: int) -> None:
    """A killed benchmark leaves no process behind that would still write to its folder."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"its process was ended by {signal.Signals(-exitcode).name}" + (
            " (out of memory?)" if exitcode == -signal.SIGKILL else ""
        )
    return f"its process ended with exit status {exitcode}"


@contextmanager
def _without_script() -> Iterator[None]:
    """A new process would run the user's script again up to here, and start processes itself."""
    with STARTS:
        script = vars(sys.modules["__main__"])
        hidden: dict[str, Any] = {name: script.pop(name) for name in ("__file__", "__spec__") if name in script}
        script["__spec__"] = None
        try:
            yield
        finally:
            del script["__spec__"]
            script.update(hidden)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """The libraries of a new process read their number of threads when they are loaded."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(count)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
