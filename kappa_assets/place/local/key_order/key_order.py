"""A table's files in the order of its keys: the few that may hold some groups are replaced, the others stay.

A commit then writes in proportion to the groups that it touches, not to the table. New files are cut where those that
stay begin, and where they grow large, so that bounds go on to tell files apart.
"""

from __future__ import annotations

import math
import uuid
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from kappa_assets.columns import quoted
from kappa_assets.place.change import Groups, Scan, sum_of_known
from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter
from kappa_assets.place.local.delta_write.parquet_files import WrittenFiles, describe_files, write_files
from kappa_assets.place.local.delta_write.small_files import ResultTooLarge, fetch_small, write_part
from kappa_assets.place.local.key_order.extents import Extent, Ordered, as_ordered, cuts, extents, to_replace
from kappa_assets.place.local.spark_paths import literal_path

_FETCHED = 32 << 20
"""Bytes of files up to which their rows are sorted and written by this process; they are some ten times as many there.
Beyond, Spark sorts and writes the whole table."""
_SMALLEST = 64 << 10
"""Bytes of a file at least, where a table has enough rows."""
_GROWTH = 144
"""A file has the root of this times the table's bytes: 72 KB of 36 MB, 720 KB of 3.6 GB. So what a batch of scattered
groups rewrites, and how many files there are to list and to open, both grow with the root of the table."""
_SORTED_AT_ONCE = 64 << 20
"""Bytes that one task of Spark sorts."""


@dataclass(frozen=True)
class Part:
    """What a change of some groups does to the files of a table."""

    replaced: tuple[Extent, ...]
    cuts: tuple[Ordered, ...]
    """The values at which new files begin, whatever their size."""
    rows_a_file: int
    kept_rows: int
    """Rows of the files that stay."""

    @property
    def bytes(self) -> int:
        """The size of the files that are replaced."""
        return sum(one.bytes for one in self.replaced)

    @property
    def scan(self) -> Scan:
        """What to read the files opens that are replaced."""
        return Scan(len(self.replaced), sum_of_known([one.rows for one in self.replaced]), self.bytes)


class KeyOrder:
    """The files of one table in the order of some of its columns."""

    def __init__(self, writer: DeltaWriter, by: tuple[str, ...]) -> None:
        self._writer = writer
        self._by = by

    def part_of(self, groups: Groups) -> Part:
        """Return which files a change of these groups replaces: all that may hold one, and all where that is most."""
        files = self._writer.held()
        column = self._by[0]  # of groups too, which name all columns that files are ordered by
        found = extents(files, column)
        size, rows = sum(one.bytes for one in found), sum(one.rows or 0 for one in found)
        replaced = found
        if all(one.rows is not None for one in found):
            replaced = to_replace(found, as_ordered(groups.values[column]))
        if 2 * sum(one.bytes for one in replaced) > size or not _is_fetched(replaced):
            replaced = found
        wanted = max(math.isqrt(_GROWTH * size), _SMALLEST)
        return Part(
            tuple(replaced),
            tuple(cuts(found, replaced)),
            max(1, wanted * rows // max(size, 1)) if rows else 1_000_000,
            rows - sum(one.rows or 0 for one in replaced),
        )

    def rows_of(self, spark: SparkSession, part: Part, schema: StructType) -> DataFrame:
        """Return the rows of the files that are replaced."""
        paths = [literal_path(self._writer.folder / one.path) for one in part.replaced]
        if not paths:
            return spark.range(0).select(*[F.lit(None).cast(f.dataType).alias(f.name) for f in schema])
        return spark.read.schema(schema).option("recursiveFileLookup", "true").parquet(*paths)

    def write(
        self, rows: DataFrame, part: Part, counted: tuple[str, ...] = ()
    ) -> tuple[WrittenFiles, Mapping[str, int]]:
        """Write the rows that are in the place of a part's from now on, in order; return the files to add.

        And how many are true of the columns `counted`, which the table does not have.
        """
        try:
            fetched = fetch_small(rows) if _is_fetched(part.replaced) else None
        except ResultTooLarge:
            fetched = None
        if fetched is not None:
            counts = {name: pc.sum(fetched[name]).as_py() or 0 for name in counted}
            return self.write_sorted(fetched.drop_columns(list(counted)), part), counts
        tasks = math.ceil(part.bytes / _SORTED_AT_ONCE)
        order = [F.col(quoted(name)) for name in self._by]
        apart = rows.repartitionByRange(tasks, *order) if tasks > 1 else rows.coalesce(1)
        observation = Observation()
        if counted:  # behind the exchange, for which Spark computes rows twice: once to see where to cut
            apart = apart.observe(observation, *[F.count_if(F.col(name)).alias(name) for name in counted])
        ordered = apart.sortWithinPartitions(*order).drop(*counted)
        files = write_files(ordered, self._writer.folder, rows_a_file=part.rows_a_file)
        return files, observation.get if counted else {}

    def write_sorted(self, rows: pa.Table, part: Part) -> WrittenFiles:
        """Write fetched rows, in order, as files that are cut where a part's are."""
        rows = rows.take(pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in self._by]))
        relative = f"data/{uuid.uuid4().hex}"
        folder = self._writer.folder / relative
        folder.mkdir(parents=True)
        paths = []
        for number, (start, end) in enumerate(_pieces(rows[self._by[0]], part)):
            name = f"part-{number}.parquet"
            write_part(rows.slice(start, end - start), folder / name)
            paths.append(f"{relative}/{name}")
        return describe_files(self._writer.folder, paths, ())


def in_groups(rows: DataFrame, groups: Groups, *, kept: bool) -> DataFrame:
    """Return the rows that are in one of the groups, or `kept`: all others. Null equals null."""
    named = groups.values.rename_columns([f"_group_{n}" for n in range(len(groups.by))])
    known = F.broadcast(rows.sparkSession.createDataFrame(named))
    same: Column = F.lit(True)
    for n, name in enumerate(groups.by):
        same &= F.col(quoted(name)).eqNullSafe(F.col(f"_group_{n}"))
    return rows.join(known, same, "left_anti" if kept else "left_semi")


def _is_fetched(files: Sequence[Extent]) -> bool:
    return sum(one.bytes for one in files) <= _FETCHED


def _pieces(column: pa.ChunkedArray, part: Part) -> Iterator[tuple[int, int]]:
    """Yield where each new file begins and ends in sorted rows; nulls are at their end."""
    values = as_ordered(column.drop_null())
    borders = [0, *(bisect_left(values, cut) for cut in part.cuts), len(column)]
    for start, end in pairwise(borders):
        files = max(1, round((end - start) / part.rows_a_file))
        for n in range(files):
            first, last = start + (end - start) * n // files, start + (end - start) * (n + 1) // files
            if last > first:
                yield first, last
