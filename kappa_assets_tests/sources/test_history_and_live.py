"""History and live on one tape: files and a topic, in one order, each told apart, added to it and retired from it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql.types import BinaryType, LongType, StringType, StructField, StructType

from kappa_assets import Files, Kafka, Pipeline, bronze
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.kinds.tape.addressed import columns_of_all
from kappa_assets.log.delta_log import notes_back
from kappa_assets.log.note import RANGES, CommitNote
from kappa_assets.place.local.lake import Lake
from kappa_assets.replay import plan_replay, run_replay
from kappa_assets.sources.standings import are_told_apart, carried_on, standing_of
from kappa_assets_tests.sources.history_shop import ARCHIVE, LINES, TOPIC, pipeline_of, revenue, sales
from kappa_assets_tests.sources.kafka_broker import Client

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from kappa_assets.declare.source import DeclaredSource

PROJECT = Path(__file__).parents[2]
ORDERS = pipeline_of(ARCHIVE).bronzes[0].name
LONE = (Files("archive"), Kafka("a"), Kafka("b"))


class Desk:
    """A lake of orders, and all orders that were sent to it, by the source that they came from."""

    def __init__(self, spark: SparkSession, root: Path, topics: Client) -> None:
        self.root, self._topics = root, topics
        self.version: str | None = None
        self.sent = Counter[tuple[str | None, str, int]]()
        self.setting = Setting(spark, Lake.at(root / "lake"), root / "landing", Pace(landed_files=1))
        for folder in ("archive", "lines"):
            (root / "landing" / folder).mkdir(parents=True)

    def land(self, name: str, customer: str, count: int, *, named: bool = True) -> None:
        orders = [(customer, 100 + number) for number in range(count)]
        text = "customer,cents\n" + "".join(f"{who},{cents}\n" for who, cents in orders)
        if name.startswith("lines"):
            text = "".join(f"{json.dumps({'customer': who, 'cents': cents})}\n" for who, cents in orders)
        (self.root / "landing" / name).write_text(text)
        folder = name.partition("/")[0]
        self.sent.update(((f"files:{folder}" if named else None), who, cents) for who, cents in orders)

    def send(self, customer: str, count: int, *, named: bool = True) -> None:
        orders = [(customer, 500 + number) for number in range(count)]
        self._topics.send("orders", [json.dumps({"customer": w, "cents": c}).encode() for w, c in orders])
        self.sent.update(("kafka:orders" if named else None, who, cents) for who, cents in orders)

    def drain(self, *sources: DeclaredSource) -> None:
        Host(self.setting, pipeline_of(*sources, version=self.version)).drain()

    def tape(self) -> list[dict[str, Any]]:
        rows = DeltaTable(self.setting.lake.folder(ORDERS)).to_pyarrow_table().to_pylist()
        return sorted(rows, key=lambda row: (row["_batch_id"], row["_row"]))

    def notes(self) -> list[CommitNote]:
        found = notes_back(self.setting.lake.folder(ORDERS))
        return [note for _, note in found if note.tape_batch is not None][::-1]

    def holds_every_order_once(self, *, but: Collection[str] = ()) -> None:
        """`but`: customers whose orders were sent, and are not read."""
        sent = Counter({one: n for one, n in self.sent.items() if one[1] not in but})
        found = Counter[tuple[str | None, str, int]]()
        for row in self.tape():
            order = json.loads(row["value"]) if row.get("value") is not None else row
            found[row["_source"].get("name"), order["customer"], int(order["cents"])] += 1
        assert found == sent
        assert [note.tape_batch for note in self.notes()] == list(range(len(self.notes()))), "one order"
        orders = Counter[tuple[str, int]]()
        paid = Counter[str]()
        for (_, who, cents), n in sent.items():
            orders[who, cents] += n
            paid[who] += cents * n
        assert Counter((row["customer"], row["cents"]) for row in self.rows(sales.name)) == orders
        assert {row["customer"]: row["cents"] for row in self.rows(revenue.name)} == dict(paid)

    def rows(self, table: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = DeltaTable(self.setting.lake.link(table).resolve()).to_pyarrow_table().to_pylist()
        return found


@pytest.fixture
def desk(spark: SparkSession, tmp_path: Path, topics: Client) -> Desk:
    return Desk(spark, tmp_path, topics)


@pytest.mark.slow
def test_an_archive_and_a_topic_are_one_tape_through_deaths_a_replay_and_the_retirement_of_each(
    desk: Desk, topics: Client
) -> None:
    topics.make("orders")
    for day in range(3):
        desk.land(f"archive/2026-01-0{day + 1}.csv", f"archived{day}", 5)
    desk.send("live", 45)
    command = [sys.executable, "-m", "kappa_assets_tests.sources.history_shop", str(desk.root), "after_commit"]
    died = subprocess.run(command, check=False, capture_output=True, env=os.environ | {"PYTHONPATH": str(PROJECT)})
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-3000:]
    desk.drain(ARCHIVE, TOPIC)
    desk.holds_every_order_once()
    days = {str(row["_arrival_date"]) for row in desk.tape() if row["_source"]["name"] == "files:archive"}
    assert days == {"2026-01-01", "2026-01-02", "2026-01-03"}, "an archive's file says when it arrived"

    # A replay plays both, and gives what live gave.
    desk.version = "replayed"
    corrected = pipeline_of(ARCHIVE, TOPIC, version=desk.version)
    result = run_replay(desk.setting, corrected, plan_replay(desk.setting.lake, corrected, [sales.name]))
    assert result.state == "promoted"
    assert [(t.only_live, t.only_candidate, t.changed) for t in result.comparison.tables] == [(0, 0, 0)] * 2

    # Retired, the topic is asked no more, though records come; its note stays, and it goes on where it was.
    desk.send("meanwhile", 7)
    desk.land("archive/2026-01-04.csv", "archived", 4)
    desk.drain(ARCHIVE)
    desk.holds_every_order_once(but={"meanwhile"})
    assert standing_of(desk.notes()[-1], "kafka:orders") == standing_of(desk.notes()[-2], "kafka:orders")
    desk.land("archive/2026-01-05.csv", "unread", 3)
    desk.drain(TOPIC)
    desk.holds_every_order_once(but={"unread"})
    desk.drain(TOPIC, ARCHIVE)
    desk.holds_every_order_once()


@pytest.mark.slow
def test_a_topic_is_added_to_a_tape_of_lines_and_lines_to_one_of_a_topic_in_the_form_that_the_tape_has(
    desk: Desk, topics: Client
) -> None:
    """A tape's `value` keeps its type for ever: bytes come as text of the same bytes, and text as its bytes."""
    topics.make("orders")
    desk.land("lines/1.json", "lines", 3, named=False)
    desk.drain(LINES)
    desk.send("live", 30)
    desk.drain(LINES, TOPIC)
    desk.holds_every_order_once()
    topics.send("orders", [b"\xff\x00 no text"])
    tape = Pipeline.from_tables("tape", pipeline_of(LINES, TOPIC).bronzes)
    Host(desk.setting, tape).drain()
    rows = desk.setting.spark.read.format("delta").load(str(desk.setting.lake.folder(ORDERS)))
    assert rows.schema["value"].dataType == StringType()
    found = {bytes(row[0]) for row in rows.selectExpr("cast(value AS binary)").collect()}
    assert b"\xff\x00 no text" in found
    assert bytes(json.dumps({"customer": "lines", "cents": 100}), "utf-8") in found

    # The other way round: a topic was there first, lines took its place, and it came back beside files with columns.
    other = Desk(desk.setting.spark, desk.root / "other", topics)
    other.drain(TOPIC)
    other.land("lines/ä.json", "größe", 3)
    other.drain(LINES)
    other.land("archive/2026-01-01.csv", "archived", 3)
    other.drain(TOPIC, LINES, ARCHIVE)
    kinds = {field.name: field.type for field in DeltaTable(other.setting.lake.folder(ORDERS)).schema().fields}
    assert (str(kinds["value"]), str(kinds["customer"])) == (
        'PrimitiveType("binary")',
        'PrimitiveType("string")',
    )
    customers = Counter(row["customer"] for row in other.rows(sales.name))
    assert customers == {None: 1, "live": 30, "größe": 3, "archived": 3}


def test_a_new_tape_has_the_columns_that_its_sources_are_known_to_give() -> None:
    sources = {one: one.gives for one in (ARCHIVE, LINES, TOPIC, Files("a", header=True, columns=("x", "value")))}
    archive, lines, topic, declared = sources.values()
    alone = StructType([StructField("n", LongType())])
    assert columns_of_all(alone, [lines]) == alone
    bytes_of_it = StructField("value", BinaryType())
    assert columns_of_all(alone, [archive, topic]) == StructType([*alone, bytes_of_it])
    assert columns_of_all(StructType(), [topic, lines]) == StructType([bytes_of_it])
    assert columns_of_all(StructType(), [lines, topic]) == StructType([bytes_of_it])
    assert columns_of_all(StructType(), [declared, topic]) == StructType([StructField("x", StringType()), bytes_of_it])


@given(st.lists(st.tuples(st.sampled_from(LONE), st.integers(1, 5)), min_size=1, max_size=8))
def test_a_lone_source_in_the_place_of_another_leaves_what_was_read_of_it_in_mind(
    commits: list[tuple[Files | Kafka, int]],
) -> None:
    newest: CommitNote | None = None
    read: dict[str, int] = {}
    for source, count in commits:
        label = source.label
        standing = standing_of(newest, label)
        assert (0 if standing is None else standing.stands.get("0", 0)) == read.get(label, 0)
        since = read.get(label, 0)
        told: dict[str, Any] = {"name": label}
        if isinstance(source, Kafka):
            read[label] = since + count
            told[RANGES] = {"0": (since, since + count)}
        if are_told_apart(bronze("orders", source=source), newest):
            told |= carried_on(newest, label)
        note = CommitNote("bronze.orders", 1, 0, "", tape_batch=1, source=told, checkpoint=label)
        newest = CommitNote.from_json(note.to_json())
