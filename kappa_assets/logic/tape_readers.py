"""What the tables on a tape read of it: whether columns that share none with the tape are still theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import (
    DateType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from kappa_assets.columns import ARRIVAL_DATE, ARRIVED_AT, BATCH_ID, INGESTED_AT, ROW, SOURCE
from kappa_assets.logic.logic_check import Answer

_SOURCE = StructType(
    [StructField("file", StringType()), StructField("bytes", LongType()), StructField("modified_at", TimestampType())]
)
_ADDED_BY_THE_TAPE = (
    StructField(SOURCE, _SOURCE),
    StructField(BATCH_ID, LongType()),
    StructField(ROW, LongType()),
    StructField(INGESTED_AT, TimestampType()),
    StructField(ARRIVED_AT, TimestampType()),
    StructField(ARRIVAL_DATE, DateType()),
)


Reader = Callable[[DataFrame], Answer]
"""Gives what a table on the tape makes of rows of it, or raises."""


@dataclass(frozen=True)
class TapeReaders:
    """The tables that stand on one tape, and that tape's payload columns."""

    spark: SparkSession
    readers: tuple[Reader, ...]
    tape: StructType

    def wait_for(self, columns: tuple[str, ...]) -> bool:
        """Return whether the readers work on these columns, and not on those of the tape.

        Then a file that is none of this source made the tape, and one that shares no column with it is no stranger.
        """
        theirs = StructType([StructField(c, StringType()) for c in columns])
        return bool(self.readers) and self._work_on(theirs) and not self._work_on(self.tape)

    def _work_on(self, payload: StructType) -> bool:
        empty = self.spark.createDataFrame([], StructType([*payload, *_ADDED_BY_THE_TAPE]))
        try:
            for reader in self.readers:
                reader(empty)
        except Exception:  # noqa: BLE001 -- the user's function, on columns that it may never have thought of
            return False
        return True
