"""Folders of clips as data sets."""
