"""What tables expect of rows that take the place of others: they are counted, or nothing of the batch is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, Pipeline, bronze, expect, gold, silver
from kappa_assets.errors import ExpectationFailed, LogicError
from kappa_assets.host.host import Host
from kappa_assets.kinds import rewriting_query
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.log.delta_log import commits
from kappa_assets.log.note import REWRITTEN
from kappa_assets.logic.logic_check import check_groups, check_whole
from kappa_assets.place.local.key_order import key_order
from kappa_assets.place.local.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from kappa_assets.declare.tables import Gold

orders = bronze("orders", source=Files("orders", format="csv", header=True))
WAYS = {"all of it": (1 << 40, None), "groups, by this process": (1, 32 << 20), "groups, by Spark": (1, 0)}


@silver
def lines(orders: DataFrame) -> DataFrame:
    return orders.select("customer", F.col("pieces").cast("long").alias("pieces"), *LINEAGE)


@silver(
    keys=["_batch_id", "_row"],
    by={"lines": "customer", "names": "customer"},
    expect=[expect("named", "name IS NOT NULL", on_fail="warn")],
)
def named(lines: DataFrame, names: DataFrame) -> DataFrame:
    return lines.join(names.select("customer", "name"), "customer", "left").select(
        "customer", "name", "_batch_id", "_row"
    )


@silver
def names(orders: DataFrame) -> DataFrame:
    return orders.where("name <> ''").select("customer", "name", *LINEAGE)


FEW = expect("few", "n <= 1", on_fail="warn")
NEGATIVE = expect("not_negative", "pieces >= 0", on_fail="fail")


def counted(lines: DataFrame) -> DataFrame:
    return lines.groupBy("customer").agg(F.countDistinct("pieces").alias("n"))


def added(lines: DataFrame) -> DataFrame:
    return lines.groupBy("customer").agg(F.sum("pieces").alias("pieces"))


def total(lines: DataFrame) -> DataFrame:
    return lines.agg(F.sum("pieces").alias("pieces"))


def shop(*, strict: Any = NEGATIVE) -> Pipeline:
    by_customer = gold(keys=["customer"], expect=[FEW])(counted)
    summed = gold(keys=["customer"], combine={"pieces": "sum"}, expect=[strict])(added)
    whole = gold(expect=[expect("some", "pieces > 100", on_fail="warn")])(total)
    return Pipeline.from_tables("shop", [orders, lines, names, named, by_customer, summed, whole])


class Scene:
    """A lake whose landing folder gets a file a batch."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.landing = folder / "landing"
        (self.landing / "orders").mkdir(parents=True)
        self.setting = Setting(spark, Lake.at(folder / "lake"), self.landing, Pace(landed_files=1, table_files=1))

    def land(self, *rows: tuple[str, int, str]) -> None:
        number = len(list((self.landing / "orders").iterdir()))
        text = "\n".join(["customer,pieces,name", *(",".join(map(str, row)) for row in rows)])
        (self.landing / "orders" / f"{number:03}.csv").write_text(text + "\n")

    def said(self, table: str) -> list[tuple[int, dict[str, int]]]:
        """Return, by commit of a table, how many rows were judged and how many failed what warns."""
        found = [c.note for c in commits(self.folder(table))]
        return [(note.judged[REWRITTEN], dict(note.warned)) for note in found if note is not None and note.judged]

    def folder(self, table: str) -> Path:
        layer = "silver" if table == "named" else "gold"
        return (self.setting.lake.root / layer / table).resolve()

    def pieces(self) -> dict[str, int]:
        rows = DeltaTable(self.folder("added")).to_pyarrow_table().to_pylist()
        return {row["customer"]: row["pieces"] for row in rows}


@pytest.fixture(params=WAYS)
def scene(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Scene:
    proportion, fetched = WAYS[request.param]
    monkeypatch.setattr(rewriting_query, "IN_PROPORTION", proportion)
    if fetched is not None:
        monkeypatch.setattr(key_order, "_FETCHED", fetched)
        monkeypatch.setattr(key_order, "_SORTED_AT_ONCE", 400)  # several tasks: Spark computes rows twice, to cut them
    return Scene(spark, tmp_path)


def test_rows_that_fail_are_counted_or_refuse_their_batch(scene: Scene, request: pytest.FixtureRequest) -> None:
    whole = "all of it" in request.node.name
    scene.land(("ann", 1, "Ann"), ("bob", 2, ""), ("cid", 3, ""), ("dan", 4, "Dan"))
    Host(scene.setting, shop()).drain()
    scene.land(("ann", 5, ""), ("ann", 6, ""), ("bob", 2, ""))
    Host(scene.setting, shop()).drain()
    # In proportion, only the groups that a batch touches are judged again.
    assert scene.said("counted") == [(4, {}), (4 if whole else 2, {"few": 1})]
    assert scene.said("added") == [(4, {}), (4 if whole else 2, {})]
    assert scene.said("total") == [(1, {"some": 1}), (1, {"some": 1})]
    assert [named for _, named in scene.said("named")] == [{"named": 2}, {"named": 3 if whole else 2}]
    assert scene.pieces() == {"ann": 12, "bob": 4, "cid": 3, "dan": 4}

    held = files(scene.folder("added")), scene.pieces()
    scene.land(("bob", -9, ""), ("cid", -4, ""), ("dan", 1, ""))
    with pytest.raises(ExpectationFailed) as refused:
        Host(scene.setting, shop()).drain()
    of = 4 if whole else 3
    assert f"takes nothing of its batch 2: 2 of {of} rows fail 'not_negative' (pieces >= 0)" in str(refused.value)
    assert (files(scene.folder("added")), scene.pieces()) == held

    scene.land(("bob", 9, ""))
    Host(scene.setting, shop(strict=expect("not_negative", "pieces >= 0", on_fail="warn"))).drain()
    last = (4, {"not_negative": 1}) if whole else (1, {})
    assert scene.said("added")[2:] == [(of, {"not_negative": 2}), last]
    assert scene.pieces() == {"ann": 12, "bob": 4, "cid": -1, "dan": 5}


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts}


WRONG = {
    "of a column that is not there": ("price > 0", "cannot meet its expectation 'e'"),
    "that gives another answer each time": ("n > rand()", "rand"),
    "that reads another table": ("n IN (SELECT count(*) FROM parquet.`/x`)", "e"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_condition_that_cannot_be_judged_is_refused(spark: SparkSession, what: str) -> None:
    condition, said = WRONG[what]
    rule = expect("e", condition, on_fail="warn")
    frame = spark.createDataFrame([], "customer string, pieces long, _batch_id long, _row long")
    for table in (gold(keys=["customer"], expect=[rule])(counted), gold(expect=[rule])(counted)):
        with pytest.raises(LogicError, match=said):
            refused(table, frame)


def refused(table: Gold, frame: DataFrame) -> None:
    (check_groups if table.keys else check_whole)(table, frame)


def test_a_column_of_a_name_that_judging_needs_is_refused(spark: SparkSession) -> None:
    def odd(lines: DataFrame) -> DataFrame:
        return lines.agg(F.count("*").alias("_fails_e"))

    frame = spark.createDataFrame([], "customer string, _batch_id long, _row long")
    check_whole(gold(odd), frame)
    with pytest.raises(LogicError, match="a name that is used while its rows are judged"):
        check_whole(gold(expect=[expect("e", "_fails_e > 0", on_fail="warn")])(odd), frame)
