"""Media files: opened safely, their limits, damage and clocks."""
