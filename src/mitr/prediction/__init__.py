"""What a run says of a clip: the answer, how sure it is, what was missing, and what mattered."""
