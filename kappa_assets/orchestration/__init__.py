"""Dagster: tables as assets, the streams' switch, lineage from the Delta logs. The only room that knows it."""
