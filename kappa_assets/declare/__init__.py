"""Declaring tables: values and decorators. No Spark, no Dagster, no I/O."""
