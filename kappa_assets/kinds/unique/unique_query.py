"""Silver, row by row, whose rows are unique: those that are there already go aside, the others are added."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import replace

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from kappa_assets.columns import ARRIVAL_DATE, ARRIVED_AT
from kappa_assets.declare.tables import Silver
from kappa_assets.errors import LakeError
from kappa_assets.kinds.append import APPEND, AppendQuery, explained
from kappa_assets.kinds.judging.verdicts import IS_DUPLICATE, stays
from kappa_assets.kinds.kind import Explanation, Kind, Standing
from kappa_assets.kinds.query import Setting
from kappa_assets.kinds.unique.duplicates import Once, with_duplicates
from kappa_assets.log.note import InputRange
from kappa_assets.log.positions import holds_all_read
from kappa_assets.logic.logic_check import Answer
from kappa_assets.place.held import held
from kappa_assets.place.port import StoredTable
from kappa_assets.place.registry import Generation
from kappa_assets.place.sliced_rows import rows_in_files

_FEW = 16 << 20
"""Bytes of the tape whose keys every task may hold: those of the table are then not sorted to find them."""
_ALL_AT_ONCE = {"maxFilesPerTrigger": str(2**31 - 1)}


class UniqueQuery(AppendQuery):
    """The query that writes one generation of a Silver whose rows are unique.

    What is kept depends on what came before. Spark reads the files of a first snapshot in the order in which they were
    written, which compaction changes, and may cut a commit in two: so a batch takes all there is, and ends with a
    commit of the tape. Then any batches there may be are in the order of addresses.
    """

    @property
    def limits(self) -> dict[str, str]:
        """All there is, whatever the pace."""
        return _ALL_AT_ONCE

    def judged(self, rows: DataFrame, read: InputRange, *, size: float) -> DataFrame:
        """Return the rows with whether each is there already. Raises LakeError when they end within a commit."""
        if read.until.starting or read.version != holds_all_read(read.until):
            raise LakeError(
                f"a batch of {self.table} ends within a commit of the tape, at {read.until}",
                hint=f"Its checkpoint is of another kind of table: replay {self.table}.",
            )
        silver, few = self._silver, size <= _FEW
        once = Once(silver.unique, silver.unique_within)
        return with_duplicates(rows, once, stays(silver), self._there(rows, read), IS_DUPLICATE, few=few)

    def _there(self, rows: DataFrame, read: InputRange) -> DataFrame | None:
        """Return the keys and slices of the table's rows within reach of the batch; None where there are none."""
        version, silver = self._target.version(), self._silver
        days = None if silver.unique_within is None else self._days_read(read)
        return keys_there(rows.sparkSession, self._written, version, silver, rows.schema, days)

    def _days_read(self, read: InputRange) -> set[dt.date] | None:
        """Return the slices that the batch has rows of, as the tape's index tells; None where it does not."""
        since = -1 if read.since is None else holds_all_read(read.since)
        taken = self._tape.commits(self._generation.from_batch, self._generation.to_batch, after=since)
        days = {day for commit in taken if commit.version <= read.version for day in commit.slices}
        return None if "" in days else {dt.date.fromisoformat(day) for day in days}


def keys_there(
    spark: SparkSession,
    written: StoredTable,
    version: int,
    silver: Silver,
    schema: StructType,
    days: Collection[dt.date] | None,
) -> DataFrame | None:
    """Return the keys and slices of a table's rows within reach of rows that arrived on `days`; None: there are none.

    `version`: of the table; -1 where it has none. `schema`: the table's columns. `days`: None where they are not known.
    """
    files = held(written.files(version)) if version >= 0 else []
    within = silver.unique_within
    if days is not None and within is not None:
        near = within_reach({file[f"partition.{ARRIVAL_DATE}"] for file in files}, days, within)
        files = [file for file in files if file[f"partition.{ARRIVAL_DATE}"] in near]
    if not files:
        return None
    wanted = StructType([schema[name] for name in dict.fromkeys((*silver.unique, ARRIVED_AT, ARRIVAL_DATE))])
    found = rows_in_files(spark, written, [file["path"] for file in files], wanted)
    return found.select(*dict.fromkeys((*silver.unique, ARRIVAL_DATE)))


def within_reach(there: Collection[dt.date], days: Collection[dt.date], within: int) -> set[dt.date]:
    """Return those of the days `there` that lie at most so many days from one of `days`."""
    ordered: Sequence[dt.date] = sorted(days)
    span = dt.timedelta(days=within)

    def is_near(day: dt.date) -> bool:
        place = bisect_left(ordered, day - span)
        return place < len(ordered) and ordered[place] <= day + span

    return {day for day in there if is_near(day)}


def _query(setting: Setting, silver: Silver, generation: Generation, standing: Standing) -> UniqueQuery:
    return UniqueQuery(setting, silver, generation, standing.tapes[0], standing.code_version)


def _explained(silver: Silver, upstream: str, answer: Answer | None) -> Explanation:
    of_append, columns = explained(silver, upstream, answer), ", ".join(silver.unique)
    within = silver.unique_within
    reach = "all slices" if within is None else f"the slices up to {within} days from those of the batch"
    cheaper = "Say unique_within='7 days', if what is one never arrives further apart: then only near slices are read."
    return replace(
        of_append,
        batch=f"{of_append.batch} Of rows with one {columns} the first on the tape stays, and others are set aside.",
        writes=f"The columns {columns} of {reach} are read. A batch adds a file for each day of arrival that it has "
        "rows of; upkeep merges them.",
        cheaper=(cheaper,) if within is None else (),
    )


UNIQUE: Kind = replace(APPEND, name="unique", query=_query, repairable=False, explain=_explained)
"""Row by row, and each row once. No slice is done over alone: which of two rows is kept, another slice may tell."""
