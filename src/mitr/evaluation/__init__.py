"""Metrics as the field defines them, their uncertainty, and summaries over missing rates and seeds."""
