"""Values of two contents brought into one form, and digests of rows that are equal whatever their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StringType, StructType

from kappa_assets.columns import quoted
from kappa_assets.place.row_hash import hash_parts

WHOLE_NUMBERS = ("tinyint", "smallint", "int", "bigint")


@dataclass(frozen=True)
class Value:
    """A column in a form that equal values have on both sides of a comparison, and that can be grouped and hashed."""

    column: Column
    kind: DataType

    @property
    def hashed(self) -> list[Column]:
        """What of it is hashed."""
        return hash_parts(self.column, self.kind)


def comparable(columns: Sequence[str], own: StructType, other: StructType) -> list[Value]:
    """Return columns in a form that equal values have on both sides.

    Values of a column whose type changed are compared as people read them: a decimal that only got more digits is no
    change. `own` and `other` are the schemas of this and of the other side.
    """
    return [_comparable(F.col(quoted(c)), own[c].dataType, other[c].dataType) for c in columns]


def row_digest(values: Sequence[Value]) -> Column:
    """Return a hash of a row, to be summed: equal sums are equal rows in any order, repeated ones counted.

    A decimal, since sums of 64-bit hashes leave 64 bits.
    """
    if not values:
        return F.lit(0).cast("decimal(38,0)")
    return F.xxhash64(*[part for v in values for part in v.hashed]).cast("decimal(38,0)")


def _comparable(value: Column, own: DataType, other: DataType) -> Value:
    kind, others = own.simpleString(), other.simpleString()
    has_no_hash = "map<" in kind or "variant" in kind
    if kind == others and not has_no_hash:
        return Value(value, own)
    if _is_exact_number(kind) and _is_exact_number(others):
        text = F.regexp_replace(value.cast("string"), r"(?:(\.\d*?[1-9])0+|\.0+)$", "$1")
    else:
        text = F.to_json(F.struct(value)) if "<" in kind or has_no_hash else value.cast("string")
    return Value(text, StringType())


def _is_exact_number(kind: str) -> bool:
    return kind.startswith("decimal") or kind in WHOLE_NUMBERS
