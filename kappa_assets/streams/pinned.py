"""A Delta table read at one version, whatever is committed to it while the rows are read."""

from __future__ import annotations

import logging
from pathlib import Path

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from kappa_assets.delta_log import latest_version

log = logging.getLogger("kappa_assets.host")


def read_pinned(spark: SparkSession, table: Path, version: int) -> tuple[DataFrame, int]:
    """Return a table's rows as of `version`, and that version; of its newest, where `version` cannot be read any more.

    Delta refuses versions over a week old, but for the newest, whether their files are there or not. The newest is
    asked for by its number too: rows that are read without one are those of the moment in which a plan runs. To open
    it so takes no longer (10 ms either way); one before it 170, as its state is rebuilt. Raises AnalysisException when
    the newest cannot be read either.
    """
    while True:
        try:
            return _as_of(spark, table, version), version
        except AnalysisException as error:
            newest = latest_version(table)
            if newest is None or newest <= version:
                raise
            # Refused again, the newest was no newest any more: somebody committed between the two calls.
            log.warning(
                "version %d of %s cannot be read any more, so version %d is: %s",
                version,
                table.name,
                newest,
                str(error).partition("\n")[0],
            )
            version = newest


def _as_of(spark: SparkSession, table: Path, version: int) -> DataFrame:
    return spark.read.format("delta").option("versionAsOf", version).load(str(table))
