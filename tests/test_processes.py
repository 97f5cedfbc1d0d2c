"""Jobs over processes: all are done, and what goes wrong with one stays with that one."""

import os
from pathlib import Path

import pytest

from mitr.bench.plan import Job
from mitr.processes import JobResult, run_jobs
from mitr.runs.config import RunConfig
from working import act


def job(key: str) -> Job:
    return Job(key, "a", "data", "data", 0, "one-model", RunConfig(), ())


def done_by(keys: list[str], folder: Path, workers: int) -> dict[str, JobResult]:
    found: dict[str, JobResult] = {}
    run_jobs([job(key) for key in keys], folder, workers, lambda j, facts: found.update({j.key: facts}), act)
    return found


def test_every_job_is_done_once_and_in_order_by_one_process(tmp_path: Path) -> None:
    found = done_by(["a", "b", "c"], tmp_path, 1)
    assert [facts["status"] for facts in found.values()] == ["ok"] * 3
    lines = [line.split() for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert [key for key, _ in lines] == ["a", "b", "c"]
    assert len({process for _, process in lines}) == 1  # what it remembers of texts serves the next job
    assert lines[0][1] != str(os.getpid())


def test_two_processes_share_the_jobs_and_the_cores(tmp_path: Path) -> None:
    found = done_by(["slow1", "slow2", "slow3", "slow4"], tmp_path, 2)
    assert len({facts["process"] for facts in found.values()}) == 2
    assert {facts["threads"] for facts in found.values()} == {str(max(1, (os.cpu_count() or 1) // 2))}
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_that_fails_takes_no_other_down(tmp_path: Path, workers: int) -> None:
    found = done_by(["a", "wrong", "b", "dies", "c", "bug", "d"], tmp_path, workers)
    assert {key for key, facts in found.items() if facts["status"] == "ok"} == {"a", "b", "c", "d"}
    assert found["wrong"]["error"] == "these data are no good"
    assert found["bug"]["error"] == "ZeroDivisionError: by zero"
    assert "act" in found["bug"]["traceback"]
    assert "SIGKILL" in found["dies"]["error"]


def test_the_environment_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    done_by([], tmp_path, 2)
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    done_by([], tmp_path, 2)
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_a_job_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    found: dict[str, JobResult] = {}
    run_jobs([job("hangs"), job("a")], tmp_path, 1, lambda j, facts: found.update({j.key: facts}), act, seconds=3)
    assert found["hangs"] == {"status": "failed", "error": "it took longer than 3 s and was ended"}
    assert found["a"]["status"] == "ok"
