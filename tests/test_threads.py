"""Threads: one where layers are small."""

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
