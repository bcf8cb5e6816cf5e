"""Dagster: every table an asset, the streams behind a switch, lineage from the Delta logs. The only room that knows it."""
