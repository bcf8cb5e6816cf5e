"""A column that comes to the tape while a table is built from it: the drain goes on, as a stream does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from kappa_assets import Files, Pipeline, bronze, silver
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.host.assemble import query_of, register, tapes_of
from kappa_assets.host.host import Host
from kappa_assets.host.runner import Runner
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

orders = bronze("orders", source=Files("orders", format="csv", header=True))


@silver
def paid(orders: DataFrame) -> DataFrame:
    return orders


BOTH = Pipeline.from_tables("shop", [orders, paid], start=dt.date(2026, 1, 1))
TAPE = Pipeline.from_tables("shop", [orders], start=dt.date(2026, 1, 1))


@pytest.mark.parametrize("when", ["planned", "playing"])
def test_a_drain_takes_a_new_column_in(spark: SparkSession, tmp_path: Path, when: str) -> None:
    landing = tmp_path / "landing" / "orders"
    landing.mkdir(parents=True)
    setting = Setting(spark, Lake.at(tmp_path / "lake"), tmp_path / "landing", Pace(landed_files=1, table_files=1))
    for number in range(3):
        (landing / f"{number}.csv").write_text(f"customer\nc{number}\n")
    Host(setting, TAPE).drain()
    live = register(Registry(setting.lake), BOTH).live(paid.name)
    assert live is not None
    assert live.code_version == code_version(paid)
    query = query_of(setting, BOTH, live, tapes_of(setting, BOTH))
    stream, apply = query.stream, query.apply

    def widen() -> None:
        if not (landing / "wide.csv").exists():
            (landing / "wide.csv").write_text("customer,channel\nc9,web\n")
            Host(setting, TAPE).drain()

    def after(what: Callable[..., object]) -> Callable[..., object]:
        def do(*args: object) -> object:
            found = what(*args)
            widen()
            return found

        return do

    if when == "planned":
        query.stream = after(stream)  # type: ignore[method-assign,assignment]  # a test's own moment in between
    else:
        query.apply = after(apply)  # type: ignore[method-assign,assignment]  # as above
    Runner(query).drain(lambda: None)
    Runner(query_of(setting, BOTH, live, tapes_of(setting, BOTH))).drain(lambda: None)
    rows = DeltaTable(setting.lake.folder(paid.name)).to_pyarrow_table().select(["customer", "channel"]).to_pylist()
    assert sorted((row["customer"], row["channel"]) for row in rows) == [
        ("c0", None),
        ("c1", None),
        ("c2", None),
        ("c9", "web"),
    ]
