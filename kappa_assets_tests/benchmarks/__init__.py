"""Ratios measured side by side in one run, answers compared in each round. `make bench` prints them as a table."""
