"""Dagster: tables as assets, the streams' switch, lineage from the Delta logs. The one room that is built on it."""
