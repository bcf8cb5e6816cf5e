"""Columns that hold a nan get no statistics in a Parquet file.

Arrow leaves nan out of a column's bounds. For Spark it is greater than any number, so it would skip the file when asked
for large ones. Spark's own writer gives such a column no bounds either.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def nan_columns(rows: pa.Table) -> set[str]:
    """Return the paths of the columns that hold a nan, also inside structs, as Parquet writes them: `in.x`.

    What lies in a list or a map is left out: it has no statistics that a reader skips by.
    """
    fields = [(field.name, rows.column(n)) for n, field in enumerate(rows.schema)]
    floating = [leaf for path, values in fields for leaf in _floating(path, values)]
    return {path for path, values in floating if pc.any(pc.is_nan(values)).as_py()}


def may_hold_nan(kind: pa.DataType) -> bool:
    """Return whether a column of this type is, or has in a struct, one of floating-point numbers."""
    if pa.types.is_struct(kind):
        return any(may_hold_nan(kind.field(n).type) for n in range(kind.num_fields))
    return bool(pa.types.is_floating(kind))


def columns_with_statistics(schema: pa.Schema, with_nan: set[str]) -> bool | list[str]:
    """Return what to tell Arrow's writer as `write_statistics`: True for all columns, or the others by their paths."""
    if not with_nan:
        return True
    empty = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), empty)
    stored = pq.read_metadata(pa.BufferReader(empty.getvalue())).schema
    return [path for i in range(len(stored)) if (path := stored.column(i).path) not in with_nan]


def _floating(path: str, values: Any) -> Iterator[tuple[str, Any]]:
    """Yield the floating-point columns at and below `path`. By number, since two of a table may share a path."""
    if pa.types.is_struct(values.type):
        for n in range(values.type.num_fields):
            yield from _floating(f"{path}.{values.type.field(n).name}", pc.struct_field(values, [n]))
    elif pa.types.is_floating(values.type):
        yield path, values
