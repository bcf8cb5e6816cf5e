"""Types of columns that Spark and Arrow hold alike: rows in them go through this process as they are."""

from __future__ import annotations

SAME_IN_ARROW = frozenset(
    {
        "binary",
        "boolean",
        "byte",
        "date",
        "decimal",
        "double",
        "float",
        "integer",
        "long",
        "short",
        "string",
        "timestamp",
        "timestamp_ntz",
    }
)
"""By the names that Spark and the schema of a Delta table have for them, without a decimal's digits."""
