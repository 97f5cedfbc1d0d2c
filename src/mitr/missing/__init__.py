"""Missingness: pure functions that say which steps a model sees (`masks`), and when training uses which (`schedules`)."""
