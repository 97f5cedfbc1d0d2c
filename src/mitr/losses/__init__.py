"""Losses: functions of tensors and masks that know nothing of models or of the training loop."""
