"""The first rows of a Delta table, whatever statistics it has."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from kappa_assets.place.local.delta_write.held_files import held_files


def first_rows(table: DeltaTable, folder: Path, limit: int) -> pa.Table:
    """Return the first rows of a table as it was opened, with its partition columns."""
    try:
        return table.to_pyarrow_dataset().head(limit)
    except ValueError:  # statistics of Spark's with days outside the years 1 to 9999, which delta-rs makes Python's of
        return _read(table, folder, limit)


def rows_of_file(path: Path, limit: int) -> pa.Table:
    """Return first rows of a table's file; one that is not there any more, or is damaged, has none."""
    try:
        with pq.ParquetFile(path) as file:
            return pa.Table.from_batches(islice(file.iter_batches(limit), 1), file.schema_arrow)
    except (OSError, pa.ArrowInvalid):
        return pa.table({})


def _read(table: DeltaTable, folder: Path, limit: int) -> pa.Table:
    schema = pa.schema(table.schema().to_arrow())
    found, count = [schema.empty_table()], 0
    for held in held_files(table):
        with pq.ParquetFile(folder / held["path"]) as file:
            for batch in file.iter_batches(limit):
                if count < limit:
                    found.append(_fitted(pa.table(batch), held, schema))
                    count += batch.num_rows
    return pa.concat_tables(found).slice(0, limit)


def _fitted(rows: pa.Table, held: dict[str, Any], schema: pa.Schema) -> pa.Table:
    columns = [
        rows.column(f.name).cast(f.type)
        if f.name in rows.column_names
        else pa.chunked_array([pa.repeat(pa.scalar(held.get(f"partition.{f.name}"), f.type), rows.num_rows)])
        for f in schema
    ]
    return pa.table(columns, schema=schema)
