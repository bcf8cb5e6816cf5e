"""A batch of a few groups on a table that joins two large upstreams, against the same on a hundredth of both."""

from __future__ import annotations

import operator
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from kappa_assets import gold
from kappa_assets.columns import ADDRESS, ARRIVAL_DATE
from kappa_assets.host.runner import Runner
from kappa_assets.kinds.append import PROPERTIES
from kappa_assets.kinds.kind import Standing
from kappa_assets.kinds.known_kinds import kind_of
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.log.delta_log import last_note
from kappa_assets.log.note import CommitNote, Position
from kappa_assets.log.tape import Tape
from kappa_assets.names import TableName
from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.parquet_files import describe_files
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Generation
from kappa_assets_tests.benchmarks.rounds import Result, say

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_TOUCHED = 50
"""Random customers of a batch."""
_BATCHES = 20
_WARM_UP = 6
_LONGEST = 1_800.0
"""Seconds that the first build may take."""
_ADDRESS = {"_batch_id": "long", "_row": "long", "_arrived_at": "timestamp", ARRIVAL_DATE: "date"}


@gold(keys=["customer"], by={"sales": "customer", "customers": "customer"}, keep_inputs=True)
def revenue(sales: DataFrame, customers: DataFrame) -> DataFrame:
    """What each customer has paid, and the segment that is known."""
    paid = sales.groupBy("customer").agg(F.sum("amount").alias("paid"), F.count("*").alias("sales"))
    return paid.join(customers.groupBy("customer").agg(F.max("segment").alias("segment")), "customer", "left")


def large_join(spark: SparkSession, root: Path, *, customers: int) -> list[Result]:
    """Seconds from a commit of 50 sales to that of the joined table, with ten sales of each of `customers`.

    And on a hundredth of both. Both are checked against what was landed, added up in plain Python.
    """
    few, many = (_measured(spark, root / str(n), n) for n in (customers // 100, customers))
    what = f"a batch of {_TOUCHED} random groups of {10 * customers:,} x {customers:,} rows joined / of a hundredth"
    times = Result(what, f"{many[0]:.2f} s", f"{few[0]:.2f} s", many[0] / few[0], "<= 3")
    return [times, Result("files opened by it, and MB", _opened(many[1]), _opened(few[1]), None, "")]


@dataclass
class _Upstream:
    """A Silver of which every commit is one file, as if it were one batch of a tape of its own."""

    lake: Lake
    name: TableName
    columns: Mapping[str, str]
    batches: int = 0
    _writer: DeltaWriter = field(init=False)

    def __post_init__(self) -> None:
        schema = StructType()
        for column, kind in {**_ADDRESS, **self.columns}.items():
            schema = schema.add(column, kind)
        folder = self.lake.folder(self.name)
        self._writer = DeltaWriter(str(self.name), folder, partition_by=(ARRIVAL_DATE,), properties=PROPERTIES)
        self._writer.prepare(schema)

    @property
    def tape(self) -> TableName:
        return TableName.parse(f"bronze.{self.name.name}")

    def land(self, **columns: pa.Array) -> None:
        count = len(next(iter(columns.values())))
        path = f"data/{self.batches}/{ARRIVAL_DATE}=2026-01-05/part-0.parquet"
        address = {
            "_batch_id": pa.array([self.batches] * count, pa.int64()),
            "_row": pa.array(range(count), pa.int64()),
            "_arrived_at": pa.array([0] * count, pa.timestamp("us", tz="UTC")),
        }
        (self._writer.folder / path).parent.mkdir(parents=True)
        pq.write_table(pa.table({**address, **columns}), self._writer.folder / path)
        position = {str(self.tape): Position(self.batches, self.batches + 1)}
        note = CommitNote(str(self.name), 1, self.batches, "", position=position).to_json()
        written = describe_files(self._writer.folder, [path], (ARRIVAL_DATE,))
        self._writer.commit(written, Once("main", self.batches), note)
        self.batches += 1


def _measured(spark: SparkSession, root: Path, customers: int) -> tuple[float, CommitNote]:
    """Return the median seconds of a batch, and the note of the last one."""
    lake, dice = Lake.at(root / "lake"), random.Random(7)
    sales = _Upstream(lake, TableName.parse("silver.sales"), {"customer": "string", "amount": "long"})
    people = _Upstream(lake, TableName.parse("silver.customers"), {"customer": "string", "segment": "string"})
    say(f"large join: {customers:,} customers")
    _land_all(sales, people, customers)
    runner = _runner(spark, root, (sales, people))
    _await(runner, lake, partial(operator.le, 1), _LONGEST)
    paid: Counter[int] = Counter()
    took = []
    for _ in range(_WARM_UP + _BATCHES):
        touched = [dice.randrange(customers) for _ in range(_TOUCHED)]
        paid.update(touched)
        before = lake.table(revenue.name).newest() or 0
        began = time.perf_counter()
        sales.land(customer=_named(pa.array(touched, pa.int64())), amount=pa.array([1] * _TOUCHED, pa.int64()))
        _await(runner, lake, partial(operator.lt, before), 120.0)
        took.append(time.perf_counter() - began)
    runner.stop()
    return statistics.median(took[_WARM_UP:]), _checked(lake, customers, paid)


def _land_all(sales: _Upstream, people: _Upstream, customers: int) -> None:
    """Commit every customer once, and ten sales of each, in 400 files that each hold sales of customers everywhere."""
    known = pa.array(range(customers), pa.int64())
    for start in range(0, customers, max(customers // 40, 1)):
        some = known.slice(start, max(customers // 40, 1))
        people.land(customer=_named(some), segment=pc.cast(pc.bit_wise_and(some, 7), pa.string()))
    rows = 10 * customers // 400
    for number in range(400):
        some = pa.array([(number * rows + n) % customers for n in range(rows)], pa.int64())
        sales.land(customer=_named(some), amount=pa.array([1] * rows, pa.int64()))


def _named(numbers: pa.Array) -> pa.Array:
    """Return customers' names, whose order is not that of their numbers."""
    return pa.array([f"{number * 7919 % 10_000_019:08}" for number in numbers.to_pylist()])


def _runner(spark: SparkSession, root: Path, upstreams: tuple[_Upstream, ...]) -> Runner:
    lake = upstreams[0].lake
    setting = Setting(spark, lake, root / "landing", Pace())
    names = tuple(one.name for one in upstreams)
    generation = Generation(revenue.name, 1, "", 1, 0, None, None, "2026-01-05T00:00:00+00:00")
    tapes = tuple(Tape(lake, one.tape) for one in upstreams)
    standing = Standing(names, tapes, "", frozenset(names), (ADDRESS, ADDRESS))
    return Runner(kind_of(revenue).query(setting, revenue, generation, standing))


def _await(runner: Runner, lake: Lake, is_there: Callable[[int], bool], patience: float) -> None:
    """Keep the query running until the table has come to a version. Raises where it fails, or takes too long."""
    deadline = time.monotonic() + patience
    while not is_there(lake.table(revenue.name).newest() or 0):
        runner.tend()
        if runner.status.error or time.monotonic() > deadline:
            raise RuntimeError(f"the joined table does not come: {runner.status}")
        time.sleep(0.01)


def _checked(lake: Lake, customers: int, paid: Counter[int]) -> CommitNote:
    """Return the newest note of the table, once it holds what was landed. Raises AssertionError."""
    stored = lake.table(revenue.name)
    rows = DeltaTable(stored.location).to_pyarrow_table()
    dearest = max(paid.values(), default=0) + 10
    got = rows.num_rows, pc.sum(rows["paid"]).as_py(), pc.max(rows["paid"]).as_py(), rows["segment"].null_count
    expected = customers, 10 * customers + sum(paid.values()), dearest, 0
    found = last_note(stored)
    if got != expected or found is None:
        raise AssertionError(f"the joined table holds {got}, not {expected}: its times mean nothing")
    return found[1]


def _opened(note: CommitNote) -> str:
    scan = note.scanned
    return "not noted" if scan is None else f"{scan.files:,} files, {scan.bytes / 1e6:.2f} MB"
