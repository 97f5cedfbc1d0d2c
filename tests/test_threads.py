"""Threads: one where layers are small, and none that spins."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from mitr import threads
from mitr.threads import use_threads


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("asked", "dims", "expected"),
    [
        (3, {"text": 768}, 3),
        (0, {"text": 32, "audio": 74}, 1),
        (0, {"text": 384, "audio": 5}, threads._DEFAULT),
        (1, {"text": 768}, 1),
    ],
)
def test_threads(asked: int, dims: dict[str, int], expected: int) -> None:
    torch.set_num_threads(2)
    use_threads(asked, dims)
    assert torch.get_num_threads() == expected


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_the_environment_says_more(given: str | None, expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {} if given is None else {"OMP_WAIT_POLICY": given}
    shown = {**environment, "OMP_DISPLAY_ENV": "TRUE"}
    done = subprocess.run([sys.executable, "-c", "import mitr, torch"], env=shown, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if "OMP_WAIT_POLICY" in done.stderr:  # OpenMP libraries of some systems show nothing
        assert f"OMP_WAIT_POLICY = '{expected}'" in done.stderr
    code = "import os, mitr; print(os.environ['OMP_WAIT_POLICY'])"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
