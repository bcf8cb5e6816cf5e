"""What is done with a batch is a value: sent to another process, it is done and committed there, and counts here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable
from pyspark import cloudpickle
from pyspark.errors import StreamingQueryException
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, Pipeline, bronze, expect, gold, silver
from kappa_assets.errors import BatchFailed
from kappa_assets.host.assemble import query_of, register, tapes_of
from kappa_assets.host.batch_work import BatchWork
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Setting
from kappa_assets.log.delta_log import last_note
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PROJECT = Path(__file__).parents[2]
orders = bronze("orders", source=Files("orders", format="csv", header=True))


@silver(expect=[expect("sold", "units > 0")])
def sales(orders: DataFrame) -> DataFrame:
    """What was sold; what was given back is set aside."""
    return orders.select("shop", F.col("units").cast("bigint").alias("units"), *LINEAGE)


@gold(keys=["shop"], combine={"units": "sum"})
def totals(sales: DataFrame) -> DataFrame:
    """Merged."""
    return sales.groupBy("shop").agg(F.sum("units").alias("units"))


@gold(keys=["shop"])
def largest(sales: DataFrame) -> DataFrame:
    """Recomputed by group."""
    return sales.groupBy("shop").agg(F.max("units").alias("units"))


@gold
def units(sales: DataFrame) -> DataFrame:
    """Recomputed whole."""
    return sales.agg(F.sum("units").alias("units"))


@silver
def deliveries(orders: DataFrame) -> DataFrame:
    """Units that must be numbers."""
    units = F.col("units").cast("bigint")  # the line that an error names
    return orders.select("shop", units.alias("units"), *LINEAGE)


SHOP = Pipeline.from_tables("shop", [orders, sales, totals, largest, units])
TAPE = Pipeline.from_tables("shop", [orders])


@pytest.fixture
def setting(spark: SparkSession, tmp_path: Path) -> Setting:
    (tmp_path / "landing" / "orders").mkdir(parents=True)
    return Setting(spark, Lake.at(tmp_path / "lake"), tmp_path / "landing")


def land(setting: Setting, name: str, *rows: tuple[str, int]) -> None:
    lines = "\n".join(f"{shop},{sold}" for shop, sold in rows)
    (setting.landing / "orders" / f"{name}.csv").write_text(f"shop,units\n{lines}\n")


def held(setting: Setting, table: TableName) -> list[tuple[object, ...]]:
    rows = DeltaTable(setting.lake.link(table).resolve()).to_pyarrow_table().to_pylist()
    return sorted(tuple(value for name, value in row.items() if not name.startswith("_")) for row in rows)


def test_every_batch_of_a_host_may_be_done_by_what_was_pickled_of_it(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, number_of_bytes = BatchWork.__call__, []

    def pickled(work: BatchWork, batch: DataFrame, number: int) -> None:
        if not work.query.table.is_tape:
            sent = cloudpickle.dumps(work)  # type: ignore[no-untyped-call]  # pyspark does not type it
            number_of_bytes.append(len(sent))
            work = cloudpickle.loads(sent)
        done(work, batch, number)

    monkeypatch.setattr(BatchWork, "__call__", pickled)
    land(setting, "1", ("a", 1), ("b", 2), ("b", -1))
    Host(setting, SHOP).drain()
    land(setting, "2", ("b", 5), ("c", 7))
    Host(setting, SHOP).drain()
    assert held(setting, sales.name) == [("a", 1), ("b", 2), ("b", 5), ("c", 7)]
    assert held(setting, totals.name) == [("a", 1), ("b", 7), ("c", 7)]
    assert held(setting, largest.name) == [("a", 1), ("b", 5), ("c", 7)]
    assert held(setting, units.name) == [(15,)]
    assert DeltaTable(setting.lake.rejects(sales.name)).to_pyarrow_table().num_rows == 1
    assert len(number_of_bytes) == 8
    assert max(number_of_bytes) < 50_000


@pytest.mark.slow
def test_a_batch_that_another_process_has_committed_is_in_and_the_stream_goes_on(
    setting: Setting, tmp_path: Path
) -> None:
    land(setting, "1", ("a", 1), ("b", 2), ("b", -1))
    Host(setting, TAPE).drain()
    live = register(Registry(setting.lake), SHOP).live(sales.name)
    assert live is not None
    query = query_of(setting, SHOP, live, tapes_of(setting, SHOP))
    query.prepare()

    def send(batch: DataFrame, number: int) -> None:
        assert number == 0
        sent = cloudpickle.dumps(BatchWork(query))  # type: ignore[no-untyped-call]  # pyspark does not type it
        (tmp_path / "work").write_bytes(sent)
        raise ConnectionError

    writer = query.stream().writeStream.foreachBatch(send).option("checkpointLocation", query.checkpoint.location)
    with pytest.raises(StreamingQueryException):
        writer.trigger(availableNow=True).start().awaitTermination()
    assert last_note(setting.lake.table(sales.name)) is None

    command = [sys.executable, "-m", "kappa_assets_tests.kinds.batch_elsewhere", str(tmp_path / "work")]
    done = subprocess.run(command, check=False, capture_output=True, env=os.environ | {"PYTHONPATH": str(PROJECT)})
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    version, note = last_note(setting.lake.table(sales.name)) or pytest.fail("nothing was committed")
    assert (note.batch, note.rows, note.rejected) == (0, 2, {"sold": 1})

    Host(setting, SHOP).drain()
    assert setting.lake.table(sales.name).newest() == version
    land(setting, "2", ("c", 7))
    Host(setting, SHOP).drain()
    assert held(setting, sales.name) == [("a", 1), ("b", 2), ("c", 7)]
    assert held(setting, units.name) == [(10,)]


def test_what_fails_inside_of_spark_names_the_table_its_batch_what_that_reads_and_the_line(setting: Setting) -> None:
    pipeline = Pipeline.from_tables("shop", [orders, deliveries])
    land(setting, "1", ("a", 1))
    Host(setting, pipeline).drain()
    (setting.landing / "orders" / "2.csv").write_text("shop,units\nb,many\n")
    line = 1 + next(n for n, text in enumerate(Path(__file__).read_text().splitlines()) if "# the line that" in text)
    with pytest.raises(BatchFailed) as failed:
        Host(setting, pipeline).drain()
    told = str(failed.value)
    assert re.match(
        r"silver.deliveries g1 failed at its micro-batch 1 \(version \d of bronze.orders, _batch_id 1 ", told
    )
    assert f"its function is at {deliveries.origin}): [CAST_INVALID_INPUT]" in told
    assert f"{Path(__file__).name}:{line}\nHint: Nothing of it is written." in told
    assert held(setting, deliveries.name) == [("a", 1)]
