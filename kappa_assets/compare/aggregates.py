"""What two contents of a table add up to: rows, sums of numeric columns and a digest, in all and by slice."""

from __future__ import annotations

import decimal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from kappa_assets.columns import quoted
from kappa_assets.compare.comparison import MOST_SLICES, Aggregate
from kappa_assets.compare.float_sum import float_sum
from kappa_assets.compare.row_digest import WHOLE_NUMBERS, comparable, row_digest

_ROWS = "rows"
_FLOATING = ("float", "double")
_EXACT = decimal.Context(prec=80)

_Sum = decimal.Decimal | float | None


@dataclass(frozen=True)
class _Sums:
    """What the rows of one slice add up to."""

    rows: int = 0
    digest: decimal.Decimal = decimal.Decimal(0)
    columns: Mapping[str, _Sum] = field(default_factory=dict)

    def is_like(self, other: _Sums) -> bool:
        """Return whether both hold the same rows, in the columns that both sides have."""
        return (self.rows, self.digest) == (other.rows, other.digest)

    def measured(self, columns: Sequence[str]) -> list[tuple[str, str | None]]:
        """Return each measure and its value as text; None for a sum that is not known, or is of a slice not there."""
        return [(_ROWS, str(self.rows)), *((c, _text(self.columns.get(c))) for c in columns)]


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
        """How many slices hold a row that differs; 0 for a table without slices."""
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
    new = _by_slice(candidate, other, measures, slice_column)
    old = {} if live is None else _by_slice(live, candidate, measures, slice_column)
    before, after = _total(old.values(), measures), _total(new.values(), measures)
    if live is None:
        totals = [Aggregate(None, m, None, value) for m, value in after.measured(measures)]
        return Aggregates(tuple(totals), 0, after.rows)
    totals = _side_by_side(None, before, after, measures)
    nothing = _Sums()
    sides = {day: (old.get(day, nothing), new.get(day, nothing)) for day in sorted(old.keys() | new.keys())}
    differing = tuple(day for day, (a, b) in sides.items() if not a.is_like(b))
    shown = [] if slice_column is None else [_side_by_side(day, *sides[day], measures) for day in differing]
    shown = [found for found in ([a for a in of_slice if a.differs] for of_slice in shown) if found][:MOST_SLICES]
    told = (*totals, *(a for found in shown for a in found))
    return Aggregates(told, before.rows, after.rows, differing, slice_column)


def _side_by_side(day: str | None, live: _Sums, candidate: _Sums, columns: Sequence[str]) -> list[Aggregate]:
    pairs = zip(live.measured(columns), candidate.measured(columns), strict=True)
    return [Aggregate(day, measure, old, new) for (measure, old), (_, new) in pairs]


def _by_slice(rows: DataFrame, other: DataFrame, measures: Sequence[str], slice_column: str | None) -> dict[str, _Sums]:
    """Return what each slice adds up to; a table without slices is one, `""`."""
    kinds = dict(rows.dtypes)
    shared = sorted(c for c in rows.columns if c in other.columns)
    digest = F.sum(row_digest(comparable(shared, rows.schema, other.schema)))
    sums = [_sum(c, kinds[c]).alias(f"_s{i}") for i, c in enumerate(measures)]
    by = F.lit("") if slice_column is None else _slice(slice_column)
    counted = [F.count(F.lit(1)).alias("_n"), digest.alias("_d")]
    found = rows.groupBy(by.alias("_slice")).agg(*counted, *sums).collect()
    return {
        row["_slice"]: _Sums(row["_n"], row["_d"], {c: row[f"_s{i}"] for i, c in enumerate(measures)}) for row in found
    }


def _slice(column: str) -> Column:
    return F.coalesce(F.col(column).cast("string"), F.lit("unknown"))


def _sum(column: str, kind: str) -> Column:
    """Return a sum that gives null, not an error, when it grows too large; of nothing but nulls it is 0."""
    value = F.col(quoted(column))
    if kind in WHOLE_NUMBERS:
        value = value.cast("decimal(38,0)")
    return F.try_sum(F.coalesce(value, F.lit(0).cast(kind if kind not in WHOLE_NUMBERS else "decimal(38,0)")))


def _total(slices: Iterable[_Sums], measures: Sequence[str]) -> _Sums:
    found = list(slices)
    sums = {name: _added([s.columns[name] for s in found]) for name in measures}
    return _Sums(sum(s.rows for s in found), columns=sums)


def _added(values: Sequence[_Sum]) -> _Sum:
    known = [v for v in values if v is not None]
    if len(known) < len(values):
        return None
    exact = [v for v in known if isinstance(v, decimal.Decimal)]
    return reduce(_EXACT.add, exact, decimal.Decimal(0)) if len(exact) == len(known) else float_sum(map(float, known))


def _text(value: _Sum) -> str | None:
    if isinstance(value, decimal.Decimal):
        plain = format(value, "f")
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    return None if value is None else f"{value + 0.0:.10g}"  # -0.0 and 0.0 are one value


def _is_number(kind: str) -> bool:
    return kind in (*WHOLE_NUMBERS, *_FLOATING) or kind.startswith("decimal")
