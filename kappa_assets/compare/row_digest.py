"""Values of two contents brought into one form, and digests of rows that are equal whatever their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

from kappa_assets.columns import quoted

WHOLE_NUMBERS = ("tinyint", "smallint", "int", "bigint")


def comparable(columns: Sequence[str], own: Mapping[str, str], other: Mapping[str, str]) -> list[Column]:
    """Return columns in a form that equal values have on both sides, and that can be grouped and hashed.

    Values of a column whose type changed are compared as people read them: a decimal that only got more digits is no
    change. `own` and `other` are the types of all columns on this and on the other side.
    """
    return [_comparable(F.col(quoted(c)), own[c], other[c]) for c in columns]


def row_digest(values: Sequence[Column]) -> Column:
    """Return a hash of a row, to be summed: equal sums are equal rows in any order, repeated ones counted.

    It hashes what is null too: a hash of columns leaves nulls out, and would not see a value move to its neighbour.
    A decimal, since sums of 64-bit hashes leave 64 bits.
    """
    if not values:
        return F.lit(0).cast("decimal(38,0)")
    return F.xxhash64(*[part for v in values for part in (F.isnull(v), v)]).cast("decimal(38,0)")


def _comparable(value: Column, kind: str, other: str) -> Column:
    if kind == other:
        return F.to_json(F.struct(value)) if "map<" in kind or "variant" in kind else value
    if _is_exact_number(kind) and _is_exact_number(other):
        return F.regexp_replace(value.cast("string"), r"(?:(\.\d*?[1-9])0+|\.0+)$", "$1")
    return F.to_json(F.struct(value)) if "<" in kind or "variant" in kind else value.cast("string")


def _is_exact_number(kind: str) -> bool:
    return kind.startswith("decimal") or kind in WHOLE_NUMBERS
