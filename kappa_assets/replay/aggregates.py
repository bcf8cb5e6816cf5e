"""What two contents of a table add up to: rows and sums of numeric columns, in all and by slice."""

from __future__ import annotations

import decimal
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from kappa_assets.replay.comparison import MOST_SLICES, Aggregate

_ROWS = "rows"
_WHOLE = ("tinyint", "smallint", "int", "bigint")
_FLOATING = ("float", "double")
_EXACT = decimal.Context(prec=80)

Sums = Mapping[str, decimal.Decimal | float | None]


def aggregates(
    live: DataFrame | None, candidate: DataFrame, keys: Sequence[str], slice_column: str | None
) -> tuple[tuple[Aggregate, ...], int]:
    """Return totals of every measure, then the measures of slices that differ, and how many slices differ.

    Measures are `rows` and the numeric columns that both sides have and that are no keys. A sum too large for
    decimal(38) is None; of floating point numbers, ten digits count, for their sum depends on the order.
    """
    own, others = dict(candidate.dtypes), dict(candidate.dtypes if live is None else live.dtypes)
    measures = [
        c for c, kind in own.items() if c not in keys and _is_number(kind) and c in others and _is_number(others[c])
    ]
    old = {} if live is None else _sums(live, measures, slice_column)
    new = _sums(candidate, measures, slice_column)
    names = [_ROWS, *measures]
    before, after = _total(old.values(), names), _total(new.values(), names)
    totals = [Aggregate(None, m, None if live is None else _text(before[m]), _text(after[m])) for m in names]
    if slice_column is None or live is None:
        return tuple(totals), 0
    by_slice = [
        [Aggregate(day, m, _text(old.get(day, {}).get(m)), _text(new.get(day, {}).get(m))) for m in names]
        for day in sorted(old.keys() | new.keys(), key=str)
    ]
    differing = [[a for a in found if a.differs] for found in by_slice]
    differing = [found for found in differing if found]
    return (*totals, *(a for found in differing[:MOST_SLICES] for a in found)), len(differing)


def _sums(rows: DataFrame, measures: Sequence[str], slice_column: str | None) -> dict[str, Sums]:
    """Return the measures by slice; by `""` for a table without slices."""
    kinds = dict(rows.dtypes)
    by = F.lit("") if slice_column is None else F.coalesce(F.col(slice_column).cast("string"), F.lit("unknown"))
    sums = [_sum(c, kinds[c]).alias(f"_s{i}") for i, c in enumerate(measures)]
    found = rows.groupBy(by.alias("_slice")).agg(F.count(F.lit(1)).alias("_n"), *sums).collect()
    return {
        row["_slice"]: {_ROWS: decimal.Decimal(row["_n"]), **{c: row[f"_s{i}"] for i, c in enumerate(measures)}}
        for row in found
    }


def _sum(column: str, kind: str) -> Column:
    """Return a sum that gives null, not an error, when it grows too large; of nothing but nulls it is 0."""
    value = F.col(f"`{column}`")
    if kind in _WHOLE:
        value = value.cast("decimal(38,0)")
    return F.try_sum(F.coalesce(value, F.lit(0).cast(kind if kind not in _WHOLE else "decimal(38,0)")))


def _total(slices: Iterable[Sums], names: Sequence[str]) -> Sums:
    found = list(slices)
    return {name: _added([s[name] for s in found]) for name in names}


def _added(values: Sequence[decimal.Decimal | float | None]) -> decimal.Decimal | float | None:
    known = [v for v in values if v is not None]
    if len(known) < len(values):
        return None
    exact = [v for v in known if isinstance(v, decimal.Decimal)]
    return reduce(_EXACT.add, exact, decimal.Decimal(0)) if len(exact) == len(known) else math.fsum(known)


def _text(value: decimal.Decimal | float | None) -> str | None:
    if isinstance(value, decimal.Decimal):
        plain = format(value, "f")
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    return None if value is None else f"{value:.10g}"


def _is_number(kind: str) -> bool:
    return kind in (*_WHOLE, *_FLOATING) or kind.startswith("decimal")
