"""Age of what looks back: unique rows and changes after thousands of commits, maintained, against a young lake."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, Pipeline, bronze, cdc, silver
from kappa_assets_tests.benchmarks.rounds import Result, say
from kappa_assets_tests.benchmarks.upkeep import AgingLake, aged

_FIRST_DAY = dt.date(2025, 1, 1)
_FILES_A_DAY = 100
_NEW, _AGAIN = 18, 2
"""Events in a file: new ones, and those that the file before it had."""
_KEYS = 5_000

events = bronze("invoices", source=Files("invoices", format="csv", header=True, archive=True))


@silver(unique=["event_id"], unique_within="7 days")
def once(invoices: DataFrame) -> DataFrame:
    """Events, each once."""
    return invoices.select("event_id", "key", *LINEAGE)


@silver(cdc=cdc(keys=["key"], sequence_by="number", scd=1))
def newest(invoices: DataFrame) -> DataFrame:
    """The newest event of each key."""
    return invoices.select("key", F.col("event_id").cast("bigint").alias("number"), *LINEAGE)


KINDS = Pipeline.from_tables("kinds", [events, once, newest])


class EventsLake(AgingLake):
    """A lake of events with numbers, a hundred files a day, each with two events that the one before had too."""

    def check(self) -> None:
        """Raise AssertionError unless both tables hold what the numbers say."""
        last = self.landed * _NEW
        found = DeltaTable(self.lake.folder(once.name)).to_pyarrow_table(columns=["event_id"]).to_pydict()["event_id"]
        assert sorted(map(int, found)) == list(range(last)), "an event is missing, or there twice"
        kept = DeltaTable(self.lake.folder(newest.name)).to_pyarrow_table(columns=["key", "number"]).to_pylist()
        of_key = {_key(number): number for number in range(last)}
        assert {row["key"]: row["number"] for row in kept} == of_key
        assert len(kept) == len(of_key)

    def _land(self, files: int) -> None:
        for _ in range(files):
            day = _FIRST_DAY + dt.timedelta(days=self.landed // _FILES_A_DAY)
            first = self.landed * _NEW
            lines = [f"{number},{_key(number)}" for number in range(max(0, first - _AGAIN), first + _NEW)]
            spare = self.root / "spare.csv"
            spare.write_text("\n".join(["event_id,key", *lines]) + "\n")
            spare.rename(self.landing / f"{day}-{self.landed:06d}.csv")
            self.landed += 1


def _key(number: int) -> str:
    return f"k{number * 7_919 % _KEYS}"


def aged_kinds(spark: SparkSession, root: Path, *, commits: int, files: int, rounds: int) -> list[Result]:
    """The batch time of unique rows and of changes around commit `commits`, maintained, / around commit 100."""
    say(f"kinds: {commits} commits of {_NEW + _AGAIN} events")
    young, old = (EventsLake(spark, root / name, 0, KINDS) for name in ("young-kinds", "old-kinds"))
    return aged(young, old, commits=commits, files=files, rounds=rounds)
