"""Missingness: pure functions that say which steps a model sees (`masks`), and which training uses (`schedules`)."""
