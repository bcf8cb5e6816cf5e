"""Upkeep's work on the files of a table in a local folder: what it finds, rewrites and removes. It decides nothing."""
