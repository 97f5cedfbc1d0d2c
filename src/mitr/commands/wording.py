"""The command line as text."""

import shlex
import sys


def command_line() -> str:
    """The command as it was typed, to record with a result."""
    return shlex.join(["mitr", *sys.argv[1:]])
