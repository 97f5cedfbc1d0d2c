"""Blocks that models share; all of them take (B, T, D) sequences with a (B, T) mask and never read padding."""
