"""The first file that lands is the wrong one, and what follows is odd: the tape takes the good ones all the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, Pipeline, bronze, expect, silver
from kappa_assets.errors import LogicError
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Setting
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.whole.verify import read

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow

orders = bronze("orders", source=Files("orders", format="csv", header=True))
coupons = bronze("coupons", source=Files("coupons", format="parquet"))
events = bronze("events", source=Files("events", format="json"))


@silver(expect=[expect("named", "customer IS NOT NULL")])
def purchases(orders: DataFrame) -> DataFrame:
    """One row per order."""
    return orders.select("customer", F.col("amount").try_cast("decimal(9,2)").alias("amount"), *LINEAGE)


@silver
def cities(events: DataFrame) -> DataFrame:
    """One row per event."""
    return events.select(F.get_json_object("value", "$.city").alias("city"), *LINEAGE)


PIPELINE = Pipeline.from_tables("shop", [orders, coupons, events, purchases, cities])
WRONG = {"0 page.csv": "<html><body>504 Gateway Time-out</body></html>\n", "1 semicolons.csv": "customer;amount\na;1\n"}
ODD = {
    "3.csv": "customer,amount,*,_change_type,μ\nbob,2,star,kind,micro\n",
    "4.csv": "µ,customer,amount\nmu,mia,3\n",
    "5.csv": 'customer,amount\neve,"1\nnobody,900\n"\n',
    "6.csv": "sensor,reading\n8,9\n",
    "7.csv": "sensor kind,value\n8,9\n",
}


def test_later_files_are_taken_whatever_the_first_one_was(spark: SparkSession, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    for folder in ("orders", "coupons", "events"):
        (landing / folder).mkdir(parents=True)
    setting = Setting(spark, Lake.at(tmp_path / "lake"), landing)

    def land(files: dict[str, str], folder: str = "orders") -> None:
        for name, content in files.items():
            (landing / folder / name).write_text(content)

    def tape(table: Any) -> list[dict[str, Any]]:
        return list(read(setting.lake.folder(table.name)).to_pylist())

    def aside(table: Any) -> dict[str, str]:
        rows = read(setting.lake.rejects(table.name)).to_pylist()
        return {row["file"]: row["reason"] for row in rows}

    land(WRONG | {"2 strange.csv": "sensor,reading\n7,21.5\n"})
    pq.write_table(pa.table({"id": [1, 2], "coupon": pa.nulls(2)}), landing / "coupons" / "a.parquet")
    (landing / "events" / "a.json").write_bytes(b'{"city":"A"}\n{"city":"C\xf4te"}\n')
    (landing / "events" / "b.json").write_text('{"city":"Côte"}\n')
    with pytest.raises(LogicError, match="does not fit its upstream"):  # the strange file alone made the tape
        Host(setting, PIPELINE).drain()
    assert "sep=';'" in aside(orders)["1 semicolons.csv"]

    land({"2.csv": "customer,amount\nanna,2\n"})
    pq.write_table(pa.table({"id": [3.0, None], "coupon": ["X10", "X11"]}), landing / "coupons" / "b.parquet")
    Host(setting, PIPELINE).drain()
    land(ODD)
    Host(setting, PIPELINE).drain()

    sales = read(setting.lake.link(purchases.name)).to_pylist()
    assert sorted((r["customer"], int(r["amount"])) for r in sales) == [("anna", 2), ("bob", 2), ("mia", 3)]
    kept = [(r["customer"], r["μ"], r["*"], r["_change_type"]) for r in tape(orders) if r["customer"]]
    assert sorted(kept) == [("anna", None, None, None), ("bob", "micro", "star", "kind"), ("mia", "mu", None, None)]
    assert sorted(r["reading"] for r in tape(orders) if r["reading"]) == ["21.5", "9"]
    assert sorted(aside(orders)) == ["0 page.csv", "1 semicolons.csv", "5.csv", "7.csv"]
    assert "shares no column with the tape; it has sensor_kind, value" in aside(orders)["7.csv"]

    assert sorted(((r["id"], r["coupon"]) for r in tape(coupons)), key=str) == [
        (1, None),
        (2, None),
        (3, "X10"),
        (None, "X11"),
    ]
    assert [r["city"] for r in read(setting.lake.link(cities.name)).to_pylist()] == ["Côte"]
    assert "line 2 has the byte f4 at 23" in aside(events)["a.json"]
