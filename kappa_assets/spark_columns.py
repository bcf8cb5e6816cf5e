"""Columns as Spark takes them by name: to it, `a.b` is a field `b` of `a`, and `*` is all of them."""

from __future__ import annotations


def quoted(column: str) -> str:
    """Return the name that `F.col`, `select` and `groupBy` take for this column, whatever is in it."""
    return f"`{column.replace('`', '``')}`"
