"""The benchmark: models, protocols, seeds and data sets in one plan, one table and one report."""
