"""Which rows are late: the row alone tells, so that live, repaired and replayed each is judged alike."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, Pipeline, bronze, expect, late, silver
from kappa_assets.declare.tables import Late, Silver
from kappa_assets.host.host import Host
from kappa_assets.kinds.judging.lateness import untimely
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.log.delta_log import commits
from kappa_assets.log.note import CommitNote
from kappa_assets.place.local.lake import Lake
from kappa_assets.repair import plan_repair, run_repair
from kappa_assets.replay import plan_replay, run_replay
from kappa_assets_tests.conftest import WALKED

if TYPE_CHECKING:
    import pytest
    from pyspark.sql import DataFrame, SparkSession

events = bronze(
    "events",
    sources=[
        Files("archive", header=True, arrived="column:came"),
        Files("live", header=True),  # by the name of the file
        Files("old", header=True, arrived="unknown"),
    ],
)
AFTER, AHEAD = dt.timedelta(days=2), dt.timedelta(minutes=10)
OPTIONS: Mapping[str, Late] = {
    "kept": late("at", after="48 hours", ahead="600 seconds"),
    "dropped": late("at", after="2 days", policy="drop", ahead="10 minutes", ahead_policy="quarantine"),
    "by_day": late("day", after="2 days", policy="quarantine"),
}


def silver_of(name: str, judged: Late) -> Silver:
    def logic(events: DataFrame) -> DataFrame:
        """Events as they are told."""
        at = F.col("told").try_cast("timestamp")
        return events.select("n", at.alias("at"), at.cast("date").alias("day"), F.col("q").cast("int"), *LINEAGE)

    logic.__name__ = name
    return silver(expect=[expect("held", "q > 0", on_fail="quarantine")], late=judged)(logic)


TABLES = {name: silver_of(name, judged) for name, judged in OPTIONS.items()}
SHOP = Pipeline.from_tables("shop", [events, *TABLES.values()])


_WRITTEN = "%Y-%m-%d %H:%M:%S.%f"


@dataclass(frozen=True)
class Event:
    """A row, as its source tells it."""

    source: str
    arrived: dt.datetime
    delay: dt.timedelta | None
    """None: the time of the event does not parse."""
    sound: bool = True

    @property
    def at(self) -> dt.datetime | None:
        return None if self.delay is None else self.arrived - self.delay

    def line(self, number: int) -> str:
        told = "soon" if self.at is None else f"{self.at:{_WRITTEN}}"
        return f"{number},{told},{int(self.sound)},{self.arrived:{_WRITTEN}}"


def as_told(event: Event, judged: Late) -> dt.datetime | None:
    if event.at is None or judged.event_time == "at":
        return event.at
    return event.at.replace(hour=0, minute=0, second=0, microsecond=0)


def verdict(event: Event, judged: Late) -> str:
    """Return what plain Python says of a row: late, ahead, or nothing."""
    at = as_told(event, judged)
    if at is None or event.source == "old":
        return ""
    if at < event.arrived - AFTER:
        return "late"
    return "ahead" if judged.ahead is not None and at > event.arrived + AHEAD else ""


def fate(event: Event, judged: Late) -> str:
    policies = {"late": judged.policy, "ahead": judged.ahead_policy, "": "update"}
    policy = policies[verdict(event, judged)]
    return policy if policy != "update" else "table" if event.sound else "quarantine"


def delay_of(event: Event, judged: Late) -> str:
    at = as_told(event, judged)
    if at is None or event.source == "old":
        return "unknown"
    days = max((event.arrived - at) // dt.timedelta(days=1), 0)
    return str(days) if days < 7 else "7_to_29" if days < 30 else "30_or_more"


def told_of(rows: Sequence[Event], judged: Late) -> dict[str, dict[str, int]]:
    """Return what the notes of a table that was given these rows add up to."""
    found: dict[str, Counter[str]] = {"judged": Counter(given=len(rows)), "rejected": Counter(), "delays": Counter()}
    for event in rows:
        said, became = verdict(event, judged), fate(event, judged)
        found["delays"][delay_of(event, judged)] += 1
        found["judged"][said] += said != ""
        if became != "table":
            by_time = said != "" and (judged.policy if said == "late" else judged.ahead_policy) != "update"
            found["judged"]["out_of_time" if by_time else "quarantined"] += 1
            found["rejected"][said if by_time else "held"] += 1
    return {what: {name: n for name, n in counts.items() if n} for what, counts in found.items()}


class Scene:
    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.lake, self.landing = Lake.at(folder / "lake"), folder / "landing"
        self.setting = Setting(spark, self.lake, self.landing, Pace(landed_files=1, table_files=1))
        for source in ("archive", "live", "old"):
            (self.landing / source).mkdir(parents=True)

    def land(self, rows: Sequence[Event]) -> None:
        """Land the rows, a file for each source and each second in which its rows arrived by the name of it."""
        files: dict[tuple[str, str], list[str]] = {}
        for number, event in enumerate(rows):
            name = f"{event.arrived:%Y-%m-%dT%H%M%S}" if event.source == "live" else "all"
            files.setdefault((event.source, name), []).append(event.line(number))
        for (source, name), lines in files.items():
            text = "\n".join(["n,told,q,came", *lines]) + "\n"
            (self.landing / source / f"{name}.csv").write_text(text)

    def table(self, table: Silver) -> Counter[int]:
        return Counter(int(row["n"]) for row in rows_of(self.lake.link(table.name).resolve()))

    def aside(self, table: Silver, generation: int) -> Counter[tuple[int, str, tuple[str, ...]]]:
        """Return the number in the row, its fate and its reasons."""
        rows = [row for row in rows_of(self.lake.rejects(table.name)) if row["generation"] == generation]
        return Counter((number_in(row["row"]), row["on_fail"], tuple(row["reasons"])) for row in rows)

    def notes(self, table: Silver, generation: int) -> Iterator[CommitNote]:
        found = (commit.note for commit in commits(self.lake.folder(table.name, generation)))
        return (note for note in found if note is not None and note.repair is None)

    def told(self, table: Silver, generation: int) -> dict[str, dict[str, int]]:
        sums: dict[str, Counter[str]] = {"judged": Counter(), "rejected": Counter(), "delays": Counter()}
        for note in self.notes(table, generation):
            for what, counts in sums.items():
                counts.update(getattr(note, what))
            assert note.judged["given"] == (note.rows or 0) + sum(
                note.judged.get(name, 0) for name in ("dropped", "quarantined", "out_of_time")
            )
        return {what: {name: n for name, n in counts.items() if n} for what, counts in sums.items()}


def number_in(row: str) -> int:
    return int(json.loads(row)["n"])


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return DeltaTable(folder).to_pyarrow_table().to_pylist() if folder.exists() else []


def as_python_says(scene: Scene, rows: Sequence[Event], name: str, generation: int) -> None:
    table, judged = TABLES[name], OPTIONS[name]
    fates = {number: fate(event, judged) for number, event in enumerate(rows)}
    assert scene.table(table) == Counter(number for number, became in fates.items() if became == "table")
    assert {(number, became) for number, became, _ in scene.aside(table, generation)} == {
        (number, became) for number, became in fates.items() if became != "table"
    }
    assert scene.aside(table, generation).total() == len([f for f in fates.values() if f != "table"])
    assert scene.told(table, generation) == told_of(rows, judged)


NOON = dt.datetime(2024, 5, 7, 12, tzinfo=dt.UTC)
TICK = dt.timedelta(microseconds=1)
DELAYS = [
    *(dt.timedelta(days=days) + more for days in (0, 1, 2, 6, 7, 29, 30, 400) for more in (-TICK, TICK - TICK, TICK)),
    -AHEAD,
    -AHEAD - TICK,
    dt.timedelta(days=-3),
    None,
]
ARRIVALS = [NOON, NOON.replace(hour=0), NOON - dt.timedelta(days=9)]
EACH = [Event(s, a, d) for s, a in zip(("live", "archive", "old"), ARRIVALS, strict=True) for d in DELAYS]
UNSOUND = [Event("archive", NOON, d, sound=False) for d in (dt.timedelta(), dt.timedelta(5), -3 * AHEAD, None)]
DELAY = st.none() | st.sampled_from(DELAYS) | st.timedeltas(dt.timedelta(days=-9), dt.timedelta(days=60))
EVENT = st.builds(Event, st.sampled_from(["archive", "live", "old"]), st.sampled_from(ARRIVALS), DELAY, st.booleans())


@settings(max_examples=3, phases=WALKED)
@given(st.lists(EVENT, min_size=1, max_size=30))
@example([*EACH, *UNSOUND])
def test_a_row_is_late_by_itself_live_repaired_and_replayed(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, rows: list[Event]
) -> None:
    scene = Scene(spark, tmp_path_factory.mktemp("shop"))
    scene.land(rows)
    Host(scene.setting, SHOP).drain()
    for name in TABLES:
        as_python_says(scene, rows, name, 1)

    slices = sorted({row["_arrival_date"] for row in rows_of(scene.lake.folder(events.name))})
    for name in ("dropped", "by_day"):
        if scene.table(TABLES[name]):
            DeltaTable(scene.lake.folder(TABLES[name].name)).delete("_row % 2 = 0")
            plan = plan_repair(scene.lake, SHOP, TABLES[name].name, slices)
            list(run_repair(scene.setting, SHOP, plan, progress=lambda _: None))
        as_python_says(scene, rows, name, 1)

    at_once, chosen = Setting(spark, scene.lake, scene.landing), [table.name for table in TABLES.values()]
    run_replay(at_once, SHOP, plan_replay(scene.lake, SHOP, chosen), progress=lambda _: None)
    for name, table in TABLES.items():
        as_python_says(scene, rows, name, 2)
        assert len(list(scene.notes(table, 2))) == 1


def test_a_date_that_no_timestamp_reaches_is_judged_too(spark: SparkSession) -> None:
    told = [
        ("+294248-01-01", "ahead"),
        ("-290400-01-01", "late"),
        ("2024-05-05", "late"),
        ("2024-05-06", ""),
        (None, ""),
    ]
    rows = spark.createDataFrame(told, "day string, said string").selectExpr(
        "said", "CAST(day AS date) AS day", "TIMESTAMP'2024-05-07 12:00:00' AS _arrived_at"
    )
    said = untimely(late("day", after="2 days", ahead="1 day"))
    found = rows.select("said", *[is_so.alias(name) for name, is_so in said.items()]).collect()
    assert [(r["said"] == "late", r["said"] == "ahead") for r in found] == [(r["late"], r["ahead"]) for r in found]
