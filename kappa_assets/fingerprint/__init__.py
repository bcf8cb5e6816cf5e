"""The code version of a table: a short hash of all that its function reaches. No Spark, no Dagster, no I/O."""
