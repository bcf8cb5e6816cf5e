"""Faults that once were, kept as patches that bring them back: the suite must fail on each."""
