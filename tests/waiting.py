"""How long a test waits for another process: on a busy machine even an import can take minutes."""

LONGEST = 600.0  # seconds
