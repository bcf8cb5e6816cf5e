"""Several Parquet files written as one, value for value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kappa_assets.place.local.delta_write.nan_columns import columns_with_statistics, may_hold_nan, nan_columns
from kappa_assets.place.local.delta_write.table_schema import SAME_IN_ARROW

_ROW_GROUP = 64 << 20
"""Bytes in memory of the rows that go into one row group."""


def can_be_merged(kind: Any) -> bool:
    """Return whether Arrow has an equal of a type of a Delta schema, given as JSON; it has none of variant."""
    match kind:
        case str():
            return kind.partition("(")[0] in SAME_IN_ARROW
        case {"type": "struct", "fields": fields}:
            return all(can_be_merged(field["type"]) for field in fields)
        case {"type": "array", "elementType": element}:
            return can_be_merged(element)
        case {"type": "map", "keyType": key, "valueType": value}:
            return can_be_merged(key) and can_be_merged(value)
    return False


def merge_files(files: Sequence[Path], into: Path) -> int:
    """Write the rows of `files`, in order, to one file, and return how many there are.

    A column that some of them lack is null there.
    """
    schema = _common_schema(files)
    count = 0
    with pq.ParquetWriter(
        into,
        schema,
        compression="snappy",
        coerce_timestamps="us",
        write_statistics=columns_with_statistics(schema, _nan_columns(files)),
    ) as writer:
        for rows in _row_groups(files, schema):
            writer.write_table(rows, row_group_size=max(rows.num_rows, 1))
            count += rows.num_rows
    return count


def _nan_columns(files: Sequence[Path]) -> set[str]:
    """Return the columns that hold a nan in any file. Their bounds do not tell: of another writer they leave it out."""
    found: set[str] = set()
    for path in files:
        floating = [f.name for f in pq.read_schema(path) if may_hold_nan(f.type)]
        if floating:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(columns=floating):
                    found |= nan_columns(pa.table(batch))
    return found


def _row_groups(files: Sequence[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    size = 0
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                rows = _fitted(pa.table(batch), schema)
                waiting.append(rows)
                size += rows.nbytes
                if size >= _ROW_GROUP:
                    yield pa.concat_tables(waiting).combine_chunks()
                    waiting, size = [], 0
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _fitted(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        rows.column(f.name).cast(f.type) if f.name in rows.column_names else pa.nulls(rows.num_rows, f.type)
        for f in schema
    ]
    return pa.table(columns, schema=schema)


def _common_schema(files: Sequence[Path]) -> pa.Schema:
    """Return all columns of the files, in the order they first appear, each nullable through and through.

    Spark and Arrow differ in what they mark as required, which says nothing about the values.
    """
    fields: Mapping[str, pa.Field] = {}
    for path in files:
        found = {f.name: pa.field(f.name, _nullable(f.type)) for f in pq.read_schema(path)}
        fields = {**found, **fields} if len(found) > len(fields) else {**fields, **found}
    return pa.schema(list(fields.values()))


def _nullable(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, _nullable(f.type)) for f in kind])
    if pa.types.is_map(kind):
        return pa.map_(_nullable(kind.key_type), _nullable(kind.item_type))
    if pa.types.is_list(kind):
        return pa.list_(pa.field("element", _nullable(kind.value_type)))
    return kind
