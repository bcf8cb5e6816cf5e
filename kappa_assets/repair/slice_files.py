"""The files that hold one slice of a Silver table, and which of their rows a repair leaves alone."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from kappa_assets.columns import ARRIVAL_DATE, BATCH_ID
from kappa_assets.place.change import Files
from kappa_assets.place.held import held
from kappa_assets.place.port import StoredTable
from kappa_assets.place.sliced_rows import rows_in_files


@dataclass(frozen=True)
class SliceFiles:
    """The files of slice `day` that hold rows of tape batches `first` to `last`."""

    table: StoredTable
    day: dt.date
    first: int
    last: int
    paths: tuple[str, ...]
    """Relative to the table's folder."""
    rows: int
    """All rows in them, those of other batches too."""
    mixed: tuple[str, ...]
    """Those that also hold rows of other batches, or may: a file without statistics may."""

    def content(self, spark: SparkSession, schema: StructType) -> Files:
        """Return what they hold, to be taken away."""
        return Files(self.paths, rows_in_files(spark, self.table, self.paths, schema) if self.paths else None)

    def others(self, spark: SparkSession, schema: StructType) -> DataFrame | None:
        """Return the rows of other batches, which are to be written again as they are, or None when there are none."""
        if not self.mixed:
            return None
        rows = rows_in_files(spark, self.table, self.mixed, schema)
        return rows.where(~F.col(BATCH_ID).between(self.first, self.last))


def slices_of(table: StoredTable) -> set[dt.date]:
    """Return the slices that the newest version of a Silver table has files of."""
    return {action[f"partition.{ARRIVAL_DATE}"] for action in _held(table)}


def slice_files(table: StoredTable, day: dt.date, first: int, last: int) -> SliceFiles:
    """Return the files of the newest version that a repair of slice `day` must replace."""
    paths, mixed, rows = [], [], 0
    for action in _held(table):
        if action[f"partition.{ARRIVAL_DATE}"] != day:
            continue
        low, high = action.get(f"min.{BATCH_ID}"), action.get(f"max.{BATCH_ID}")
        known = low is not None and high is not None
        if known and (high < first or low > last):
            continue
        paths.append(action["path"])
        rows += action["num_records"] or 0
        if not known or low < first or high > last:
            mixed.append(action["path"])
    return SliceFiles(table, day, first, last, tuple(paths), rows, tuple(mixed))


def _held(table: StoredTable) -> list[Any]:
    newest = table.newest()
    return [] if newest is None else held(table.files(newest))
