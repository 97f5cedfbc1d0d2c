"""Data sets: what a store holds, how one is imported, cleaned, inspected, made and normalised."""
