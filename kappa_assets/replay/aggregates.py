"""What two contents of a table add up to: rows, sums of numeric columns and a digest, in all and by slice."""

from __future__ import annotations

import decimal
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from kappa_assets.replay.comparable import WHOLE_NUMBERS, comparable, row_digest
from kappa_assets.replay.comparison import MOST_SLICES, Aggregate

_ROWS = "rows"
_DIGEST = "digest of the rows"
_FLOATING = ("float", "double")
_EXACT = decimal.Context(prec=80)

Sums = Mapping[str, decimal.Decimal | float | None]


@dataclass(frozen=True)
class Aggregates:
    """What both contents add up to, and which of their slices differ in a row."""

    measures: tuple[Aggregate, ...]
    """Totals of every measure, then the measures that differ of MOST_SLICES slices."""
    live_rows: int
    candidate_rows: int
    differing: tuple[str, ...] = ()
    """The slices with a row that differs in the columns both have; `""` is a table without slices."""
    slice_column: str | None = None

    @property
    def slices_differ(self) -> int:
        return 0 if self.slice_column is None else len(self.differing)

    def of_differing_slices(self, rows: DataFrame) -> DataFrame:
        """Return the rows that are worth a comparison row by row."""
        return rows if self.slice_column is None else rows.where(_slice(self.slice_column).isin(*self.differing))


def aggregates(
    live: DataFrame | None, candidate: DataFrame, keys: Sequence[str], slice_column: str | None
) -> Aggregates:
    """Return what both contents add up to, and which slices differ: one pass over each side, without a shuffle of rows.

    Measures are `rows` and the numeric columns that both sides have and that are no keys. A sum too large for
    decimal(38) is None; of floating point numbers, ten digits count, for their sum depends on the order.
    """
    other = candidate if live is None else live
    own, others = dict(candidate.dtypes), dict(other.dtypes)
    measures = [
        c for c, kind in own.items() if c not in keys and _is_number(kind) and c in others and _is_number(others[c])
    ]
    new = _sums(candidate, other, measures, slice_column)
    old = {} if live is None else _sums(live, candidate, measures, slice_column)
    names = [_ROWS, *measures]
    before, after = _total(old.values(), names), _total(new.values(), names)
    totals = [Aggregate(None, m, None if live is None else _text(before[m]), _text(after[m])) for m in names]
    rows = int(before[_ROWS] or 0), int(after[_ROWS] or 0)
    if live is None:
        return Aggregates(tuple(totals), *rows)
    differing = tuple(day for day in sorted(old.keys() | new.keys()) if not _same(old.get(day, {}), new.get(day, {})))
    shown = [] if slice_column is None else [_measured(day, old, new, names) for day in differing]
    shown = [found for found in shown if found][:MOST_SLICES]
    return Aggregates((*totals, *(a for found in shown for a in found)), *rows, differing, slice_column)


def _same(old: Sums, new: Sums) -> bool:
    return (old.get(_ROWS), old.get(_DIGEST)) == (new.get(_ROWS), new.get(_DIGEST))


def _measured(day: str, old: Mapping[str, Sums], new: Mapping[str, Sums], names: Sequence[str]) -> list[Aggregate]:
    """Return the measures of a slice that differ."""
    found = [Aggregate(day, m, _text(old.get(day, {}).get(m)), _text(new.get(day, {}).get(m))) for m in names]
    return [a for a in found if a.differs]


def _sums(rows: DataFrame, other: DataFrame, measures: Sequence[str], slice_column: str | None) -> dict[str, Sums]:
    """Return the measures by slice, and a digest of its rows; by `""` for a table without slices."""
    kinds = dict(rows.dtypes)
    shared = sorted(c for c in rows.columns if c in other.columns)
    digest = F.sum(row_digest(comparable(shared, kinds, dict(other.dtypes))))
    sums = [_sum(c, kinds[c]).alias(f"_s{i}") for i, c in enumerate(measures)]
    by = F.lit("") if slice_column is None else _slice(slice_column)
    counted = [F.count(F.lit(1)).alias("_n"), digest.alias("_d")]
    found = rows.groupBy(by.alias("_slice")).agg(*counted, *sums).collect()
    return {
        row["_slice"]: {
            _ROWS: decimal.Decimal(row["_n"]),
            _DIGEST: row["_d"],
            **{c: row[f"_s{i}"] for i, c in enumerate(measures)},
        }
        for row in found
    }


def _slice(column: str) -> Column:
    return F.coalesce(F.col(column).cast("string"), F.lit("unknown"))


def _sum(column: str, kind: str) -> Column:
    """Return a sum that gives null, not an error, when it grows too large; of nothing but nulls it is 0."""
    value = F.col(f"`{column}`")
    if kind in WHOLE_NUMBERS:
        value = value.cast("decimal(38,0)")
    return F.try_sum(F.coalesce(value, F.lit(0).cast(kind if kind not in WHOLE_NUMBERS else "decimal(38,0)")))


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
    return kind in (*WHOLE_NUMBERS, *_FLOATING) or kind.startswith("decimal")
