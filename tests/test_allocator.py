"""Memory that is kept from step to step."""

import os
import platform
import subprocess
import sys

import pytest

from mitr.allocator import keep_memory
from waiting import LONGEST

HELD = """
import resource
import torch
from mitr.allocator import keep_memory
{call}
def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() >> 20
before = held()
blocks = [torch.ones(2 << 20) for _ in range(32)]  # 8 MB each
del blocks
print(held() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep memory")
def test_blocks_that_were_freed_stay_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]:
        monkeypatch.delenv(name)
    assert _held("") < 64
    assert _held("assert keep_memory()") >= 250
    assert _held("assert keep_memory()\nassert keep_memory(False)") < 64


def test_what_the_environment_says_of_memory_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert not keep_memory()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert not keep_memory()


def _held(call: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", HELD.format(call=call)], capture_output=True, text=True, check=True, timeout=LONGEST
    )
    return int(done.stdout)
