"""The sound of clips, and the features made of it."""
