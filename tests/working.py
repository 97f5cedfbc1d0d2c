"""What a process of the pool does in the tests: a job's key says how it goes."""

import os
import signal
import time
from pathlib import Path

from mitr.bench.plan import Job
from mitr.errors import MitrError
from mitr.processes import JobResult


def act(job: Job, folder: Path) -> JobResult:
    """Leave a trace of the job and do what its key says."""
    with (folder / "log.txt").open("a") as file:
        file.write(f"{job.key} {os.getpid()}\n")
    if job.key.startswith("wrong"):
        raise MitrError("these data are no good")
    if job.key.startswith("bug"):
        raise ZeroDivisionError("by zero")
    if job.key.startswith("dies"):
        os.kill(os.getpid(), signal.SIGKILL)
    if job.key.startswith("slow"):
        time.sleep(0.5)
    if job.key.startswith("hangs"):
        time.sleep(600)
    return {"status": "ok", "process": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"]}
