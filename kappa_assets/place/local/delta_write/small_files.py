"""Small batches written by this process: Spark's result as an Arrow table, one Parquet file per slice.

A write job of Spark costs 200 to 250 ms however small the batch is (commit protocol, a task's set-up per file); its
result fetched as Arrow and written here 60 to 90, on 4 cores and 1 000 rows. That is most of what a live batch costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # py4j ships no types
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql.types import (
    ArrayType,
    DataType,
    MapType,
    StructType,
)

from kappa_assets.place.local.delta_write.nan_columns import columns_with_statistics, nan_columns
from kappa_assets.place.local.delta_write.table_schema import SAME_IN_ARROW

SMALL_BATCH = 1 << 20
"""Bytes of Parquet or of landed files up to which a batch is small: its rows then fit a driver many times over."""
_TOO_LARGE = "spark.driver.maxResultSize"
NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"
"""The name of the folder of rows that have no value for a partition, after its column."""


class ResultTooLarge(Exception):
    """A function makes so much of a small input that it exceeds `spark.driver.maxResultSize`."""


def fetch_small(df: DataFrame) -> pa.Table | None:
    """Return the rows of a small batch, or None where only Spark can write them: Arrow has no equal of their types.

    Raises ResultTooLarge. An Observation of `df` is spent then: it counts nothing when Spark writes the rows after all.
    """
    if not fits_arrow(df.schema):
        return None
    try:
        return df.toArrow()
    except (Py4JJavaError, PySparkException) as error:
        if _TOO_LARGE in str(error):
            raise ResultTooLarge from error
        raise


def write_small(rows: pa.Table, folder: Path, partition_by: tuple[str, ...]) -> None:
    """Write `rows` as one Parquet file per partition below `folder`, laid out as Spark lays its own out."""
    for where, part in _partitions(rows, partition_by):
        target = folder / where
        target.mkdir(parents=True, exist_ok=True)
        write_part(part, target / "part-0.parquet")


def write_part(rows: pa.Table, path: Path) -> None:
    """Write one Parquet file as Spark writes its own, with statistics of the columns that have true ones."""
    pq.write_table(
        rows,
        path,
        compression="snappy",
        coerce_timestamps="us",
        write_statistics=columns_with_statistics(rows.schema, nan_columns(rows)),
    )


def _partitions(rows: pa.Table, partition_by: tuple[str, ...]) -> Iterator[tuple[str, pa.Table]]:
    if not rows.num_rows:
        return
    if not partition_by:
        yield "", rows
        return
    column, *others = partition_by
    for value in pc.unique(rows[column]).to_pylist():
        mine = pc.is_null(rows[column]) if value is None else pc.equal(rows[column], value)
        part = rows.filter(mine).drop_columns([column])
        text = NO_PARTITION if value is None else quote(_as_spark_writes(value), safe="")
        for where, rest in _partitions(part, tuple(others)):
            yield f"{column}={text}/{where}", rest


def _as_spark_writes(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def fits_arrow(kind: DataType) -> bool:
    """Return whether Arrow has an equal of a type of Spark's."""
    match kind:
        case StructType():
            return all(fits_arrow(field.dataType) for field in kind)
        case ArrayType():
            return fits_arrow(kind.elementType)
        case MapType():
            return fits_arrow(kind.keyType) and fits_arrow(kind.valueType)
    return kind.typeName() in SAME_IN_ARROW
