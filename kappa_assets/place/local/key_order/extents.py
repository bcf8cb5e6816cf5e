"""Which files of a table may hold a group, told by their bounds; and where new ones are cut."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa

from kappa_assets.place.change import Groups

ORDERED_BY = "kappa.orderedBy"
"""The property of a table whose files lie in the order of its keys: upkeep merges none of them, its writer does."""
Ordered = Any
"""A value as files are ordered by it: a whole number or a text; of dates and times the number that Arrow keeps."""


@dataclass(frozen=True)
class Extent:
    """What one file holds, and between which values of the column that files are ordered by."""

    path: str
    bytes: int
    rows: int
    low: Ordered
    high: Ordered
    """No value in it is outside of these; None where that is not known, and in a file that holds nothing but nulls."""
    nulls: int | None
    """How many values are null; None where that is not known."""

    def may_hold(self, wanted: Sequence[Ordered], *, null: bool) -> bool:
        """Return whether one of the values, which are sorted, may be in it, or a null."""
        if null and self.nulls != 0:
            return True
        if self.low is None or self.high is None:
            return bool(wanted) and self.nulls != self.rows
        return bisect_left(wanted, self.low) < bisect_right(wanted, self.high)


def as_ordered(values: pa.ChunkedArray | pa.Array) -> list[Ordered]:
    """Return values, or bounds, as they are ordered. Parquet compares texts by their bytes; Python does the same."""
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us", values.type.tz)).cast(pa.int64())
    elif pa.types.is_date32(values.type):
        values = values.cast(pa.int32())
    found: list[Ordered] = values.to_pylist()
    return found


def extents(files: pa.Table, column: str) -> list[Extent]:
    """Return what each file holds: first those without bounds, then in the order of their lower ones.

    `files`: path, size_bytes, num_records, and where it is known `min.`, `max.` and `null_count.` of the column.
    """

    def told(what: str) -> list[Ordered]:
        name = f"{what}.{column}"
        return as_ordered(files[name]) if name in files.column_names else [None] * files.num_rows

    plain = (files[name].to_pylist() for name in ("path", "size_bytes", "num_records"))
    found = [Extent(*one) for one in zip(*plain, told("min"), told("max"), told("null_count"), strict=True)]
    without = [one for one in found if one.low is None]
    return without + sorted((one for one in found if one.low is not None), key=lambda one: one.low)


def to_replace(files: Sequence[Extent], values: Sequence[Ordered]) -> list[Extent]:
    """Return the files that may hold a row with one of the values, and those where new rows with them belong.

    `files`: as `extents` gives them.
    """
    wanted = sorted({value for value in values if value is not None})
    null = any(value is None for value in values)
    bounded = [one for one in files if one.low is not None]
    lows = [one.low for one in bounded]
    homes = {bounded[max(bisect_right(lows, value) - 1, 0)].path for value in wanted} if bounded else set()
    return [one for one in files if one.path in homes or one.may_hold(wanted, null=null)]


def cuts(files: Sequence[Extent], replaced: Sequence[Extent]) -> list[Ordered]:
    """Return the values at which rows of replaced files are cut, so that no new file spans one that stays."""
    gone = {one.path for one in replaced}
    bounded = [one for one in files if one.low is not None]
    return sorted({b.low for a, b in pairwise(bounded) if not {a.path, b.path} <= gone})


def that_may_hold(files: pa.Table, groups: Groups) -> list[str]:
    """Return the paths of the files that may hold a row of one of the groups, as bounds and partitions tell.

    `files`: as for `extents`, with `partition.<column>` where there are partitions.
    """
    paths: list[str] = files["path"].to_pylist()
    for column in groups.by:
        values = groups.values[column]
        order = _order(values.type)
        if order is None:
            continue
        wanted, null = sorted(set(as_ordered(values)) - {None}), values.null_count > 0
        if order == "time":  # other writers cut upper bounds down to milliseconds
            wanted = [value - value % 1_000 for value in wanted]
        may_hold = {one.path for one in _told(files, column, values.type) if one.may_hold(wanted, null=null)}
        paths = [path for path in paths if path in may_hold]
    return paths


def _told(files: pa.Table, column: str, kind: pa.DataType) -> list[Extent]:
    """Return what each file holds; of a column whose bounds are of no or another order than `kind`, nothing is told."""
    in_folder, least = f"partition.{column}", f"min.{column}"
    if in_folder in files.column_names and _order(files[in_folder].type) == _order(kind):
        values = zip(files["path"].to_pylist(), as_ordered(files[in_folder]), strict=True)
        return [Extent(path, 0, 1, value, value, int(value is None)) for path, value in values]
    known = least in files.column_names and _order(files[least].type) == _order(kind)
    return extents(files if known else files.select(["path", "size_bytes", "num_records"]), column)


def _order(kind: pa.DataType) -> str | None:
    """Return how values of a type are ordered, where two of one order can be compared; None: their bounds tell little.

    Of floating-point numbers nan is outside of all bounds.
    """
    orders = {
        "text": pa.types.is_string(kind) or pa.types.is_large_string(kind),
        "number": pa.types.is_integer(kind),
        "day": pa.types.is_date32(kind),
        "time": pa.types.is_timestamp(kind),
    }
    return next((name for name, is_it in orders.items() if is_it), None)
