"""A Gold that recomputes touched groups holds what its function gives of all rows, whatever befalls its upstream."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from deltalake import DeltaTable
from pyspark.sql import Window
from pyspark.sql import functions as F

from kappa_assets import gold
from kappa_assets.errors import GroupsMixed
from kappa_assets_tests.kinds.gold_scene import Change, Follower, Sale, Scene, scene_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pyspark.sql import DataFrame, SparkSession

MINUTES = dt.timedelta(minutes=1)


@gold(keys=["shop", "began"], by=["shop"])
def sessions(sales: DataFrame) -> DataFrame:
    """Units are minutes here: those within five of each other are one session."""
    at = F.timestamp_seconds(F.col("units") * 60)
    found = sales.groupBy("shop", F.session_window(at, "5 minutes").alias("session")).agg(F.count("*").alias("lines"))
    return found.select("shop", (F.unix_timestamp("session.start") / 60).cast("long").alias("began"), "lines")


@gold(keys=["shop", "since", "n"], by=["shop"])
def history(sales: DataFrame) -> DataFrame:
    """Each of a shop's units, and what came after it."""
    in_order = Window.partitionBy("shop").orderBy("units", "_batch_id", "_row")
    numbered = sales.withColumn("n", F.row_number().over(in_order))
    return numbered.select("shop", F.col("units").alias("since"), F.lead("units").over(in_order).alias("until"), "n")


@gold(keys=["shop", "rank"])
def best(sales: DataFrame) -> DataFrame:
    """The two largest of each shop."""
    largest_first = Window.partitionBy("shop").orderBy(F.desc("units"), "_batch_id", "_row")
    ranked = sales.withColumn("rank", F.row_number().over(largest_first))
    return ranked.where("rank <= 2").select("shop", "rank", "units")


@gold(keys=["shop"])
def regulars(sales: DataFrame) -> DataFrame:
    """Shops with more than one line."""
    return sales.groupBy("shop").agg(F.count("*").alias("lines")).where("lines > 1")


@gold(keys=["initial"])
def initials(sales: DataFrame) -> DataFrame:
    """A group that is computed."""
    return sales.groupBy(F.upper(F.substring("shop", 1, 1)).alias("initial")).agg(F.sum("units").alias("units"))


def by_shop(rows: Sequence[Sale]) -> Iterator[tuple[str, list[int]]]:
    for shop, sales in groupby(sorted(rows), lambda sale: sale[0]):
        yield shop, [units for _, units in sales]


def in_sessions(units: list[int]) -> Iterator[tuple[int, int]]:
    began = last = units[0]
    lines = 0
    for one in units:
        if one >= last + 5:
            yield began, lines
            began, lines = one, 0
        last, lines = one, lines + 1
    yield began, lines


def of_initials(rows: Sequence[Sale]) -> list[tuple[Any, ...]]:
    sums: Counter[str] = Counter()
    for shop, units in rows:
        sums[shop[0].upper()] += units
    return [(initial, sums[initial]) for initial in {shop[0].upper() for shop, _ in rows}]


ORACLES: dict[Any, Callable[[Sequence[Sale]], list[tuple[Any, ...]]]] = {
    sessions: lambda rows: [(shop, *one) for shop, units in by_shop(rows) for one in in_sessions(units)],
    history: lambda rows: [
        (shop, since, until, n)
        for shop, units in by_shop(rows)
        for n, (since, until) in enumerate(zip(units, [*units[1:], None], strict=True), start=1)
    ],
    best: lambda rows: [
        (shop, rank, one) for shop, units in by_shop(rows) for rank, one in enumerate(units[::-1][:2], start=1)
    ],
    regulars: lambda rows: [(shop, len(units)) for shop, units in by_shop(rows) if len(units) > 1],
    initials: of_initials,
}
"""What each must hold, in plain Python."""
LIFE: list[list[Change]] = [
    [partial(Scene.append, files=[[("anna", 10), ("bob", 1)], [("ada", 7)]])],
    [partial(Scene.append, files=[[("anna", 14), ("anna", 30)], [("bob", 2)]])],  # a session grows; a regular comes
    [partial(Scene.append, files=[[("anna", 18), ("anna", 26), ("anna", 22)]])],  # late ones join two sessions
    [
        partial(Scene.repair, files=[[("anna", 10), ("anna", 14)], [("bob", 5), ("carl", 1)]]),  # ada is gone
        partial(Scene.delete, shop="carl"),
        partial(Scene.append, files=[[("dora", 3)], [("bob", 6)]]),
    ],
]


def test_sessions_histories_the_best_and_regulars_are_exact_whatever_is_committed(
    spark: SparkSession, tmp_path: Path
) -> None:
    scene = scene_at(spark, tmp_path)
    followers = [Follower(scene, one) for one in ORACLES]
    for changes in LIFE:
        for change in changes:
            change(scene)
        for follower in followers:
            follower.drain()
            rows = DeltaTable(follower.folder).to_pyarrow_table().to_pylist()
            found = Counter(tuple(row.values()) for row in rows)
            assert found == Counter(ORACLES[follower.gold](scene.contents[max(scene.contents)])), follower.gold.name


def under_another_name(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(shop=rows.shop.replace({"bob": "anna"})).head(1)


def each_twice(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([rows, rows]) if "bob" in set(rows.shop) else rows


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (under_another_name, 'a row of a group that no row read is in: {"shop":"anna"}'),
        (each_twice, 'a key that comes twice: {"shop":"bob"}'),
    ],
)
def test_rows_of_a_foreign_group_and_keys_that_come_twice_park_the_table_and_nothing_is_written(
    function: Callable[[pd.DataFrame], pd.DataFrame], said: str, spark: SparkSession, tmp_path: Path
) -> None:
    @gold(keys=["shop"])
    def odd(sales: DataFrame) -> DataFrame:
        return sales.select("shop", "units").groupBy("shop").applyInPandas(function, "shop string, units long")

    scene = scene_at(spark, tmp_path)
    follower = Follower(scene, odd)
    scene.append([[("anna", 1)]])
    follower.drain()
    before = DeltaTable(follower.folder).to_pyarrow_table()
    scene.append([[("bob", 2)]])
    with pytest.raises(GroupsMixed) as parked:
        follower.drain()
    assert said in parked.value.what
    assert "leave keys out" in str(parked.value.hint)
    assert DeltaTable(follower.folder).to_pyarrow_table().equals(before)
