"""Models: a view in, predictions and named losses out; `registry` knows them by name."""
