"""What Spark logs while streams run, cut down to what the host does not say better itself."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_CHATTY = (
    # "CSV header does not conform to the schema": files with other headers are read at once, as columns c0, c1, ...
    "org.apache.spark.sql.catalyst.csv.CSVHeaderChecker",
    # "adaptive execution is not supported in streaming": said at every start of a query.
    "org.apache.spark.sql.execution.streaming.runtime.ResolveWriteToStream$",
    "org.apache.spark.sql.execution.streaming.runtime.ResolveWriteToStream",
    # "current batch is falling behind": the host's own batch times and lag say it better.
    "org.apache.spark.sql.execution.streaming.runtime.ProcessingTimeExecutor",
    # "Converting duplicated key": Spark's own, of each option with which a range of a change feed is read.
    "org.apache.spark.sql.util.CaseInsensitiveStringMap",
    # "No Partition Defined for Window operation": a Gold that is recomputed whole may well rank all of its rows.
    "org.apache.spark.sql.execution.window.WindowExec",
)
# The host reports every failure itself, in a few lines; Spark adds a hundred lines of Java frames to each.
_SAID_BY_THE_HOST = ("org.apache.spark.sql.execution.streaming.runtime.MicroBatchExecution",)


def quiet_streams(spark: SparkSession) -> None:
    """Silence what Spark's streams log at every start and every slow batch, and failures the host reports itself."""
    logging.getLogger("py4j.clientserver").setLevel(logging.CRITICAL)
    log4j = spark._jvm.org.apache.logging.log4j  # type: ignore[union-attr]  # noqa: SLF001 -- pyspark has no other way to its loggers
    for name in _CHATTY:
        log4j.core.config.Configurator.setLevel(name, log4j.Level.ERROR)
    for name in _SAID_BY_THE_HOST:
        log4j.core.config.Configurator.setLevel(name, log4j.Level.OFF)
