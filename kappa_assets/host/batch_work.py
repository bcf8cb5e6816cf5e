"""What is done with a micro-batch, as a value; what fails inside of Spark is told with its table and its batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pyspark.errors import PySparkException, utils
from pyspark.sql import DataFrame, SparkSession

from kappa_assets.errors import BatchFailed
from kappa_assets.kinds.query import TableQuery, TellsOfBatches
from kappa_assets.place.local import durable

_CONTEXT = "spark.sql.dataFrameQueryContext.enabled"
_MOST_LINES = 12
"""Lines of Spark's message that are told."""


@dataclass(frozen=True)
class BatchWork:
    """What is done with every micro-batch of a prepared query, as a value: in another process it does the same.

    Pickled with `pyspark.cloudpickle`, since a table holds its function, it brings along the lake, the table, its
    generation, the fence, and what was seen when the query was started. Tables and tapes are opened anew there, and the
    Spark session is the batch's. So nothing that a commit is decided on lies in the memory of the host.
    """

    query: TableQuery

    def __call__(self, batch: DataFrame, number: int) -> None:
        """Write the batch, once, however often and wherever it is tried.

        Raises BatchFailed where Spark fails, and else what `TableQuery.apply` raises.
        """
        if durable.is_synced(str(self.query.table)):
            self.query.checkpoint.sync(number)
        try:
            self.query.apply(batch, number)
        except PySparkException as error:
            if not error.getQueryContext():  # no expression failed
                raise _failed(self.query, batch, number, error) from error
            self._again(batch, number)

    def _again(self, batch: DataFrame, number: int) -> None:
        """Try a batch at which an expression failed once more, so that the error says in which line that is."""
        with _lines_named(batch.sparkSession):
            try:
                self.query.apply(batch, number)
            except PySparkException as error:
                raise _failed(self.query, batch, number, error) from error


def words_of_spark(error: BaseException) -> str:
    """Return what an error of Spark says, without its frames of Java."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.lstrip().startswith("at ")]
    return "\n".join(lines[:_MOST_LINES]) or type(error).__name__


def _failed(query: TableQuery, batch: DataFrame, number: int, error: PySparkException) -> BatchFailed:
    told = f" ({query.told_of(batch, number)})" if isinstance(query, TellsOfBatches) else ""
    return BatchFailed(
        f"{query.table} g{query.generation} failed at its micro-batch {number}{told}: {words_of_spark(error)}",
        hint="Nothing of it is written. Mend what made it fail, and start the stream again: it goes on there.",
    )


@contextmanager
def _lines_named(spark: SparkSession) -> Iterator[None]:
    """Have Spark note the line of code of every column while a function describes a batch.

    It is off otherwise, because it doubles the time that this takes. PySpark asks its setting once in a process.
    """
    debugging: Any = utils
    known, cached = spark.conf.get(_CONTEXT), debugging._enable_debugging_cache  # noqa: SLF001 -- as below
    spark.conf.set(_CONTEXT, "true")
    debugging._enable_debugging_cache = True  # noqa: SLF001 -- nothing public makes PySpark ask its setting again
    try:
        yield
    finally:
        debugging._enable_debugging_cache = cached  # noqa: SLF001
        spark.conf.set(_CONTEXT, known or "false")
