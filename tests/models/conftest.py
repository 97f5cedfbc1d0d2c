"""Failures inside the contract tests are explained like any other."""

import pytest

pytest.register_assert_rewrite("models.cases")
