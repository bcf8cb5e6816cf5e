"""Delta's file statistics, taken from Parquet footers, so that readers skip files as if Delta had written them.

Written here and not by delta-rs, which rounds the bounds of decimals to floating-point numbers.
"""

from __future__ import annotations

import decimal
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kappa_assets.place.local.delta_write.bounds import comparable, lower_bound, upper_bound

_INDEXED_COLUMNS = 32
"""Delta's default `delta.dataSkippingNumIndexedCols`."""


def file_stats(path: Path) -> tuple[int, str]:
    """Return the file's row count and its statistics as the JSON text of the Delta protocol.

    A bound that cannot be told is left out: of infinities, of years outside 1 to 9999, of text that is no UTF-8.
    Columns inside lists and maps get nothing, booleans and binaries null counts at most, as in Delta itself.
    """
    footer = pq.read_metadata(path)
    lows: dict[str, Any] = {}
    highs: dict[str, Any] = {}
    nulls: dict[str, Any] = {}
    for index, leaf in enumerate(stored_columns(footer)[:_INDEXED_COLUMNS]):
        if leaf.repeated:
            continue
        count, low, high = _over_row_groups(footer, index, leaf.kind)
        for tree, value in (
            (nulls, count),
            (lows, lower_bound(low, leaf.kind)),
            (highs, upper_bound(high, leaf.kind)),
        ):
            if value is not None:
                _put(tree, leaf.path, value)
    stats = {"numRecords": footer.num_rows, "minValues": lows, "maxValues": highs, "nullCount": nulls}
    return footer.num_rows, _encode(stats)


@dataclass(frozen=True)
class StoredColumn:
    """A column as Parquet stores it, a leaf of a struct or list too.

    `path` is in parts, since a name may hold a dot: a column `a.b` beside a struct `a` is another one than its `b`.
    """

    path: tuple[str, ...]
    kind: pa.DataType
    repeated: bool
    """Whether it lies in a list or a map."""


def stored_columns(footer: pq.FileMetaData) -> list[StoredColumn]:
    """Return a file's columns in their order; none where Arrow and Parquet do not count the same ones."""
    schema = footer.schema.to_arrow_schema()
    found = [leaf for f in schema for leaf in _leaves((f.name,), f.type, repeated=False)]
    return found if len(found) == footer.num_columns else []


def _leaves(path: tuple[str, ...], kind: pa.DataType, *, repeated: bool) -> Iterator[StoredColumn]:
    if pa.types.is_struct(kind):
        inner = [kind.field(n) for n in range(kind.num_fields)]
    elif pa.types.is_map(kind):
        inner, repeated = [kind.key_field, kind.item_field], True
    elif pa.types.is_nested(kind):
        inner, repeated = [kind.value_field], True
    else:
        yield StoredColumn(path, kind, repeated)
        return
    for field in inner:
        yield from _leaves((*path, field.name), field.type, repeated=repeated)


def _over_row_groups(footer: pq.FileMetaData, index: int, kind: pa.DataType) -> tuple[int | None, Any, Any]:
    """Return null count, least and greatest value over all row groups; None for what is not known everywhere."""
    nulls = 0
    lows: list[Any] = []
    highs: list[Any] = []
    for group in range(footer.num_row_groups):
        chunk = footer.row_group(group).column(index)
        stats = chunk.statistics
        if stats is None or not stats.has_null_count:
            return None, None, None
        nulls += stats.null_count
        if stats.null_count < chunk.num_values:
            lows.append(comparable(stats.min_raw, kind) if stats.has_min_max else None)
            highs.append(comparable(stats.max_raw, kind) if stats.has_min_max else None)
    known = lows and None not in lows
    return nulls, (min(lows) if known else None), (max(highs) if known else None)


def _put(tree: dict[str, Any], parts: tuple[str, ...], value: Any) -> None:
    for part in parts[:-1]:
        tree = tree.setdefault(part, {})
    tree[parts[-1]] = value


def _encode(value: Any) -> str:
    """Return JSON with decimals as exact numbers, which `json.dumps` cannot write."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_json(k)}:{_encode(v)}" for k, v in value.items()) + "}"
    return format(value, "f") if isinstance(value, decimal.Decimal) else _json(value)


def _json(value: Any) -> str:
    """Return JSON that keeps letters as they are: delta-rs 1.6.6 reads an escaped U+1F600 as U+F600."""
    return json.dumps(value, ensure_ascii=False)
