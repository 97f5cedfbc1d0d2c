"""The pictures of clips at a steady rate."""
