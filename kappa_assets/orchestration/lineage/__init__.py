"""Lineage: the news in the Delta logs as Dagster events, each reported once."""
