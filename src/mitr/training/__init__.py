"""Training: one loop for all models, checkpoints that survive a crash, and the run folder."""
