"""What a model is given: samples of a split, views of them with and without the hidden steps, and batches."""
