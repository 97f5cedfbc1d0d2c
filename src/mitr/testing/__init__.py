"""Contracts that whatever plugs into mitr must keep, as test classes for pytest (docs/plugins.md).

A test is three lines: a subclass of a contract that gives a name.
"""

import pytest

pytest.register_assert_rewrite("mitr.testing.extractors", "mitr.testing.models", "mitr.testing.protocols")

# asserts are rewritten before they are imported
from mitr.testing.extractors import ExtractorContract  # noqa: E402
from mitr.testing.models import ModelContract  # noqa: E402
from mitr.testing.protocols import ProtocolContract  # noqa: E402

__all__ = ["ExtractorContract", "ModelContract", "ProtocolContract"]
