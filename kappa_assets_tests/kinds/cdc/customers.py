"""A lake whose landing folder gets files of changes of customers, and a table of them by cdc."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, Pipeline, bronze, cdc, gold, silver
from kappa_assets.declare.tables import OnChange, Silver
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.log.delta_log import commits
from kappa_assets.log.note import CommitNote
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.kinds.cdc.database import Did, all_versions, newest_states

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

changes = bronze("changes", source=Files("changes", format="csv", header=True))


def _logic(changes: DataFrame) -> DataFrame:
    numbers = [F.col(name).cast("int").alias(name) for name in ("s", "a")]
    return changes.select("k", "op", "b", *numbers, *LINEAGE)


def customers_of(
    scd: int,
    /,
    expect: Sequence[Any] = (),
    version: str | None = None,
    on_change: OnChange = "replay",
    **options: Any,
) -> Silver:
    told: dict[str, Any] = {"keys": ["k"], "sequence_by": "s", "delete_when": "op = 'd'", "scd": scd} | options

    def customers(changes: DataFrame) -> DataFrame:
        """What is known of the customers."""
        return _logic(changes)

    return silver(cdc=cdc(**told), expect=list(expect), version=version, on_change=on_change)(customers)


@gold(keys=["a"], combine={"customers": "count"})
def by_a(customers: DataFrame) -> DataFrame:
    """How many rows of the table have each a."""
    return customers.groupBy("a").agg(F.count(F.lit(1)).alias("customers"))


def shop(scd: int, /, **options: Any) -> Pipeline:
    return Pipeline.from_tables("shop", [changes, customers_of(scd, **options), by_a])


CUSTOMERS = customers_of(1).name


def some_changes(dice: random.Random, many: int, keys: int) -> list[Did]:
    """Return changes of some customers, of which every fourth deletes, in no order."""
    return [
        Did((dice.randrange(many),), (f"c{dice.randrange(keys):03}",), dice.random() < 0.25, (dice.randrange(3), "x"))
        for _ in range(many)
    ]


class Scene:
    """A lake whose landing folder gets a file a batch."""

    def __init__(self, spark: SparkSession, folder: Path, batches: Sequence[Sequence[Did]] = ()) -> None:
        self.landing = folder / "landing"
        (self.landing / "changes").mkdir(parents=True)
        self.setting = Setting(spark, Lake.at(folder / "lake"), self.landing, Pace(landed_files=1, table_files=1))
        self.told: list[Did] = []
        for batch in batches:
            self.land(batch)

    @property
    def lake(self) -> Lake:
        return self.setting.lake

    def land(self, batch: Sequence[Did], day: str = "") -> None:
        number = len(list((self.landing / "changes").iterdir()))
        lines = [",".join(["" if v is None else str(v) for v in _fields(one)]) for one in batch]
        (self.landing / "changes" / f"{day}{number:03}.csv").write_text("\n".join(["k,op,b,s,a", *lines]) + "\n")
        self.told += batch

    def rows(self, generation: int | None = None) -> Counter[tuple[Any, ...]]:
        """Return what the table shows, as the database tells it, without which row of the tape told it."""
        folder = self.lake.link(CUSTOMERS).resolve() if generation is None else self.lake.folder(CUSTOMERS, generation)
        table = DeltaTable(folder).to_pyarrow_table().to_pylist()
        return Counter(
            ((r["k"],), (r["a"], r["b"]), *((r["_valid_from"], r["_valid_to"]) if "_valid_from" in r else ()))
            for r in table
        )

    def expected(self, scd: int, told: Sequence[Did] | None = None) -> Counter[tuple[Any, ...]]:
        them = self.told if told is None else told
        if scd == 1:
            return Counter((key, content) for key, content, _ in newest_states(them).elements())
        versions = all_versions(them).elements()
        return Counter((key, content, since[0], until and until[0]) for key, content, _, since, until in versions)

    def by_a(self) -> Counter[int]:
        table = DeltaTable(self.lake.link(by_a.name).resolve()).to_pyarrow_table().to_pylist()
        return Counter({r["a"]: r["customers"] for r in table if r["customers"]})

    def notes(self, generation: int = 1) -> list[CommitNote]:
        found = [c.note for c in commits(self.lake.folder(CUSTOMERS, generation))]
        return [note for note in found if note is not None]


def of_each_a(rows: Counter[tuple[Any, ...]]) -> Counter[int]:
    counted: Counter[int] = Counter()
    for row, times in rows.items():
        counted[row[1][0]] += times
    return counted


def _fields(one: Did) -> tuple[Any, ...]:
    a, b = one.content
    op = "t" if one.key is None else "d" if one.deletes else "u"
    return (one.key[0] if one.key else None, op, b, one.at[0] if one.at else None, a)
