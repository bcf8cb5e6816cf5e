"""Rows of some files of a table that lies in slices of arrival, each with its slice."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from kappa_assets.columns import ARRIVAL_DATE, ARRIVED_AT, quoted
from kappa_assets.place.port import StoredTable

_SLICE = rf"/{ARRIVAL_DATE}=(\d+-\d\d-\d\d)/"
"""In a file's path: the slice of its rows, also of those whose time of arrival nobody knows."""


def rows_in_files(spark: SparkSession, table: StoredTable, paths: Sequence[str], schema: StructType) -> DataFrame:
    """Return the rows of some files of a Silver table, in the columns of `schema`; those they lack are null.

    Read as files: the version they were listed at may be closed to time travel.
    """
    payload = StructType([f for f in schema if f.name != ARRIVAL_DATE])
    rows = table.read_files(spark, paths, payload)
    day = F.coalesce(
        F.col(ARRIVED_AT).cast("date"), F.regexp_extract("_metadata.file_path", _SLICE, 1).try_cast("date")
    )
    return rows.withColumn(ARRIVAL_DATE, day).select(*map(quoted, schema.names))
