"""A source of a stranger's: a journal, a file of lines that is only added to. Also a process that dies reading it.

python -m kappa_assets_tests.sources.toy_source <folder with lake and landing> <point>
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition
from pyspark.sql.streaming.datasource import ReadLimit, ReadMaxRows, SupportsTriggerAvailableNow

from kappa_assets import Pipeline, bronze, silver
from kappa_assets.columns import ARRIVED_AT, LINEAGE, SOURCE
from kappa_assets.declare.source import DeclaredSource
from kappa_assets.faults import Point, inject
from kappa_assets.host.host import Host
from kappa_assets.host.session import build_session
from kappa_assets.kinds.query import Setting
from kappa_assets.place.local.lake import Lake
from kappa_assets.sources.known_sources import source_of
from kappa_assets.sources.source import Batch, Given, Offsets, Range, Source, Taken

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


# --- the source: fifty lines, of which Spark's reader is the half -------------------------------------------------
@dataclass(frozen=True)
class Journal(DeclaredSource):
    """A file below the landing folder, each of whose lines is read once."""

    name: str

    @property
    def label(self) -> str:
        return f"journal:{self.name}"


class JournalReader(DataSourceStreamReader, SupportsTriggerAvailableNow):
    def __init__(self, path: str, start: int) -> None:
        self._path, self._start = path, start

    def _lines(self) -> list[str]:
        return Path(self._path).read_text().splitlines()

    def initialOffset(self) -> dict[str, int]:  # noqa: N802 -- Spark's name, as those below
        return {"line": self._start}

    def getDefaultReadLimit(self) -> ReadLimit:  # noqa: N802
        return ReadMaxRows(2)

    def prepareForTriggerAvailableNow(self) -> None:  # noqa: N802
        self._end = len(self._lines())

    def latestOffset(self, start: dict[str, int], limit: ReadLimit) -> dict[str, int]:  # noqa: N802
        end = getattr(self, "_end", None) or len(self._lines())
        return {"line": min(end, start["line"] + limit.max_rows) if isinstance(limit, ReadMaxRows) else end}

    def partitions(self, start: dict[str, int], end: dict[str, int]) -> list[InputPartition]:
        return [InputPartition((start["line"], end["line"]))]

    def read(self, partition: InputPartition) -> Iterator[tuple[int, str]]:
        since, until = partition.value
        yield from enumerate(self._lines()[since:until], since)


class JournalFormat(DataSource):
    @classmethod
    def name(cls) -> str:
        return "journal"

    def schema(self) -> str:
        return "number long, line string"

    def streamReader(self, schema: Any) -> DataSourceStreamReader:  # noqa: N802
        return JournalReader(self.options["path"], int(self.options["start"]))


class JournalSource(Source):
    def __init__(self, declared: Journal, given: Given) -> None:
        self._name, self._path = declared.name, given.landing / declared.name

    def stream(self, spark: SparkSession, stands: Mapping[str, int]) -> DataFrame:
        spark.dataSource.register(JournalFormat)
        reader = spark.readStream.format("journal").option("path", str(self._path))
        return reader.option("start", stands.get("lines", 0)).load()

    def ranges(self, offsets: Offsets) -> Mapping[str, Range]:
        since = offsets.stands.get("lines", 0) if offsets.since is None else offsets.since["line"]
        return {"lines": Range(since, offsets.until["line"])}

    def read(self, batch: Batch) -> Taken:
        where = F.struct(F.lit(self._name).alias("journal"), "number").alias(SOURCE)
        return Taken(rows=batch.rows.select("line", where, F.lit(None).cast("timestamp").alias(ARRIVED_AT)))


@source_of.register(Journal)
def _(declared: Journal, given: Given) -> Source:
    return JournalSource(declared, given)


# --- a pipeline with a tape of it --------------------------------------------------------------------------------
lines = bronze("lines", source=Journal("lines.txt"))


@silver
def words(lines: DataFrame) -> DataFrame:
    """The lines as they came."""
    return lines.select("line", *LINEAGE)


PIPELINE = Pipeline.from_tables("toy", [lines, words])


def write_on(journal: Path, *more: str) -> None:
    with journal.open("a") as stream:
        stream.writelines(f"{line}\n" for line in more)


if __name__ == "__main__":
    folder, at = Path(sys.argv[1]), sys.argv[2]
    met = list[Point]()

    def dies(point: Point, what: str) -> None:
        met.extend([point] if (point, what) == (at, str(lines.name)) else [])
        if len(met) == 2:  # in the second batch
            os.kill(os.getpid(), signal.SIGKILL)

    inject(dies)
    setting = Setting(build_session("toy", cores=1, memory="512m"), Lake.at(folder / "lake"), folder / "landing")
    Host(setting, PIPELINE).drain()
