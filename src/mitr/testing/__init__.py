"""Contracts that whatever plugs into mitr must keep, as test classes for pytest (docs/adding_a_model.md).

A model's test is three lines: a subclass of `ModelContract` that gives the model's name.
"""

import pytest

pytest.register_assert_rewrite("mitr.testing.models")

from mitr.testing.models import ModelContract  # noqa: E402 (asserts are rewritten before they are imported)

__all__ = ["ModelContract"]
