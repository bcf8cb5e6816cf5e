"""Deletes that are forgotten: the table is the same in any split, and its state does not keep them for ever."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, Pipeline, bronze, cdc, silver
from kappa_assets.declare.tables import Silver
from kappa_assets.errors import LogicError
from kappa_assets.host.host import Host
from kappa_assets.kinds.cdc import cdc_query
from kappa_assets.kinds.cdc.check import check_cdc
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.place.local.key_order import key_order
from kappa_assets.place.local.lake import Lake
from kappa_assets.replay import plan_replay, run_replay
from kappa_assets_tests.conftest import WALKED

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SPAN = dt.timedelta(days=10)
FIRST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

changes = bronze("changes", source=Files("changes", header=True, arrived="column:came"))


def table_of(kind: str) -> Silver:
    def held(changes: DataFrame) -> DataFrame:
        """The newest value of each key."""
        at = F.col("at").try_cast(kind).alias("at")
        return changes.select("k", "op", "v", at, *LINEAGE)

    held.__name__ = f"by_{kind.partition(' ')[0]}"
    return silver(cdc=cdc(keys=["k"], sequence_by="at", delete_when="op = 'd'", forget_deletes="10 days"))(held)


TABLES = [table_of("timestamp"), table_of("date")]
SHOP = Pipeline.from_tables("shop", [changes, *TABLES])


@dataclass(frozen=True)
class Told:
    """A change, the day on which it arrives, and how old it is then."""

    key: str
    day: int
    age: dt.timedelta
    deletes: bool = False

    @property
    def came(self) -> dt.datetime:
        return FIRST + dt.timedelta(days=self.day)

    @property
    def at(self) -> dt.datetime:
        return self.came - self.age

    def line(self, number: int) -> str:
        times = f"{self.at:%Y-%m-%d %H:%M:%S},{self.came:%Y-%m-%d %H:%M:%S}"
        return f"{self.key},{'d' if self.deletes else 'u'},{number},{times}"


def sequence(told: Told, table: Silver) -> dt.datetime:
    return told.at if table is TABLES[0] else told.at.replace(hour=0, minute=0, second=0)


def held_of(rows: Sequence[Told], table: Silver) -> dict[str, str]:
    """Return what plain Python, which forgets nothing, says that the table holds: by key, the value told newest."""
    newest: dict[str, tuple[Any, ...]] = {}
    for number, told in enumerate(rows):
        at = sequence(told, table)
        if at >= told.came - SPAN:
            change = (at, told.deletes, str(number))
            newest[told.key] = max(newest.get(told.key, change), change)
    return {key: value for key, (_, deletes, value) in newest.items() if not deletes}


class Scene:
    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.lake, self.landing = Lake.at(folder / "lake"), folder / "landing"
        self.setting = Setting(spark, self.lake, self.landing, Pace(landed_files=1, table_files=1))
        (self.landing / "changes").mkdir(parents=True)

    def land(self, rows: Sequence[Told], first: int) -> None:
        """Land rows that are numbered from `first` on, in one file."""
        lines = [told.line(first + n) for n, told in enumerate(rows)]
        path = self.landing / "changes" / f"{len(list((self.landing / 'changes').iterdir())):03}.csv"
        path.write_text("\n".join(["k,op,v,at,came", *lines]) + "\n")

    def held(self, table: Silver) -> dict[str, str]:
        return {row["k"]: row["v"] for row in rows_of(self.lake.link(table.name).resolve())}

    def too_old(self, table: Silver, generation: int = 1) -> list[int]:
        mine = [r for r in rows_of(self.lake.rejects(table.name)) if r["generation"] == generation]
        assert {(*r["reasons"], r["on_fail"]) for r in mine} <= {("too_old", "quarantine")}
        return sorted(int(json.loads(r["row"])["v"]) for r in mine)

    def deletes_kept(self, table: Silver, generation: int = 1) -> list[Any]:
        return [r["at"] for r in rows_of(self.lake.state(table.name, generation)) if r["_cdc_deletes"]]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return DeltaTable(folder).to_pyarrow_table().to_pylist() if folder.exists() else []


AGES = [
    dt.timedelta(0),
    dt.timedelta(hours=1),
    SPAN,
    SPAN + dt.timedelta(seconds=1),
    SPAN - dt.timedelta(hours=1),
    -SPAN,
]
TOLD = st.builds(Told, st.sampled_from("abc"), st.integers(0, 90), st.sampled_from(AGES), st.booleans())
HOUR = dt.timedelta(hours=1)
LONG: list[Told] = [
    Told("a", 0, HOUR, deletes=True),
    Told("b", 0, HOUR),
    Told("b", 1, HOUR, deletes=True),
    Told("a", 5, AGES[3]),
    Told("a", 9, SPAN),
    Told("c", 20, SPAN, deletes=True),
    Told("c", 21, SPAN + HOUR),
    Told("d", 40, HOUR),
    Told("b", 41, SPAN),
    Told("e", 70, HOUR, deletes=True),
    Told("f", 85, HOUR),
]


@settings(max_examples=3, phases=WALKED)
@given(st.lists(TOLD, min_size=4, max_size=12), st.integers(1, 4))
@example(LONG, 1)
def test_the_table_is_what_it_is_without_forgetting_in_any_split(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, told: list[Told], a_file: int
) -> None:
    rows = sorted(told, key=lambda one: one.day)
    scene = Scene(spark, tmp_path_factory.mktemp("shop"))
    with pytest.MonkeyPatch.context() as patch:  # every state is large, in files of some rows
        patch.setattr(cdc_query, "IN_PROPORTION", 1)
        patch.setattr(key_order, "_SMALLEST", 250)
        for first in range(0, len(rows), a_file):
            scene.land(rows[first : first + a_file], first)
        Host(scene.setting, SHOP).drain()
    too_old = {table: [n for n, one in enumerate(rows) if sequence(one, table) < one.came - SPAN] for table in TABLES}
    for table in TABLES:
        assert scene.held(table) == held_of(rows, table)
        assert scene.too_old(table) == too_old[table]
    if told is LONG:
        kept = [at.replace(tzinfo=dt.UTC) for at in scene.deletes_kept(TABLES[0])]
        assert kept == [FIRST + dt.timedelta(days=70) - HOUR], "those of before day 65 are forgotten"

    at_once = Setting(spark, scene.lake, scene.landing)
    run_replay(at_once, SHOP, plan_replay(scene.lake, SHOP, [t.name for t in TABLES]), progress=lambda _: None)
    for table in TABLES:
        assert scene.held(table) == held_of(rows, table)
        assert scene.too_old(table, 2) == too_old[table]


def test_a_change_of_unknown_arrival_is_too_old_and_a_sequence_that_is_no_time_is_refused(spark: SparkSession) -> None:
    tape = (
        "k string, op string, v string, at string, _batch_id long, _row long, _arrived_at timestamp, _arrival_date date"
    )
    with pytest.raises(LogicError, match="forgets deletes by the age of 'at', which is a string"):
        check_cdc(table_of("string"), spark.createDataFrame([], tape))
    (rule,) = (e for e in TABLES[0].judged_by if e.name == "too_old")
    times = "timestamp '2026-01-10 12:00:00' as at, cast(null as timestamp) as _arrived_at"
    assert spark.sql(f"SELECT {times}").where(f"coalesce({rule.condition}, false)").isEmpty()
    far = "date '+900000-01-01' as at, timestamp '2026-01-10 12:00:00' as _arrived_at"
    assert spark.sql(f"SELECT {far}").where(rule.condition).count() == 1
