"""Answers about clips: prediction, interval, missing stretches, and the modalities and moments that mattered."""
