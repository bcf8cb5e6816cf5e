"""A Gold that keeps its inputs is exact whatever happens to them, and reads its upstream no more once it has them."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from kappa_assets import gold
from kappa_assets.errors import DeclarationError, LogicError
from kappa_assets.kinds import kept_rows, rewriting_query
from kappa_assets.kinds.aggregate import AggregateQuery
from kappa_assets.kinds.known_kinds import kind_of
from kappa_assets.place.local.key_order import key_order
from kappa_assets_tests.kinds.gold_scene import GOLDS, Follower, Sale, Scene, kept, scene_at
from kappa_assets_tests.kinds.test_gold_exact import Crash, every_claim_is_true, is_exact
from kappa_assets_tests.kinds.test_gold_in_proportion import BATCH, MANY

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from kappa_assets.faults import Point

TROUBLES = (
    *("none", "state lost", "state older", "state of another table", "state changed by hand"),
    "death between the two commits",
)


def in_proportion(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rewriting_query, "IN_PROPORTION", 1)
    patch.setattr(rewriting_query, "_ONE_FILE", 1)
    patch.setattr(key_order, "_SMALLEST", 250)
    patch.setattr(key_order, "_GROWTH", 1)


def files_opened(patch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which each reading of some groups adds how many files it opens."""
    opened: list[int] = []
    rows_of = key_order.KeyOrder.rows_of

    def counted(self: Any, spark: SparkSession, part: Any, schema: Any) -> DataFrame:
        opened.append(len(part.replaced))
        return rows_of(self, spark, part, schema)

    patch.setattr(key_order.KeyOrder, "rows_of", counted)
    return opened


def inputs(follower: Follower) -> Path:
    return follower.scene.setting.lake.state(follower.gold.name, 1)


def held(follower: Follower) -> Counter[Sale]:
    rows = DeltaTable(inputs(follower)).to_pyarrow_table().to_pylist()
    return Counter((row["shop"], row["units"]) for row in rows)


def everything_is_exact(follower: Follower) -> None:
    """Assert that the table, and what it keeps, are those of all that Silver holds."""
    is_exact(follower)
    every_claim_is_true(follower)
    contents = follower.scene.contents
    assert held(follower) == Counter(contents[max(contents)])


def test_a_batch_of_few_groups_reads_and_replaces_few_files_and_its_upstream_is_not_read(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_proportion(monkeypatch)
    scene = scene_at(spark, tmp_path)
    follower = Follower(scene, kept)
    scene.append([MANY])
    follower.drain()
    scene.append([[("a001", 1)]])
    follower.drain()
    everything_is_exact(follower)

    def read(*_: object) -> None:
        raise AssertionError("the upstream is read")

    monkeypatch.setattr(AggregateQuery, "_scan_upstream", read)
    opened = files_opened(monkeypatch)
    files = len(DeltaTable(inputs(follower)).file_uris())
    assert files > 8
    scene.append([[("a001", 5), ("ü098", 7), ("zz", 1)]])
    scene.delete("a003")
    follower.drain()
    everything_is_exact(follower)
    assert opened
    assert max(opened) <= files // 2


@pytest.mark.slow
@settings(max_examples=3, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    st.booleans(),
    st.lists(
        st.tuples(st.sampled_from(["append", "repair", "delete"]), BATCH, st.integers(1, 3), st.sampled_from(TROUBLES)),
        min_size=3,
        max_size=5,
    ),
)
def test_inputs_that_are_lost_older_or_another_table_s_are_kept_anew(
    spark: SparkSession,
    tmp_path_factory: pytest.TempPathFactory,
    large: bool,  # noqa: FBT001 -- hypothesis gives it by place
    steps: list[tuple[str, list[Sale], int, str]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if large:
            in_proportion(patch)
        scene = scene_at(spark, tmp_path_factory.mktemp("kept"))
        follower, other = Follower(scene, kept), Follower(scene, another)
        scene.append([MANY])
        for one in (follower, other):
            one.drain()
        for how, sales, files, trouble in steps:
            older = inputs(follower).with_name("older")
            shutil.copytree(inputs(follower), older)
            happens(scene, how, sales)
            if trouble == "death between the two commits":
                dies_between(follower, files)
            else:
                follower.drain(files)
            befalls(trouble, follower, older, inputs(other))
            shutil.rmtree(older)
            scene.append([[("a000", 1)], [("new", 2)]])
            follower.drain(files)
            everything_is_exact(follower)


@gold(keys=["shop"], keep_inputs=True)
def another(sales: DataFrame) -> DataFrame:
    """Which keeps the same columns."""
    return sales.groupBy("shop").agg(F.max("units").alias("units"), F.count("*").alias("lines"))


def happens(scene: Scene, how: str, sales: list[Sale]) -> None:
    match how:
        case "append":
            scene.append([sales, sales[:1]])
        case "repair":
            scene.repair([[*MANY[::2], *sales]])
        case "delete":
            scene.delete(MANY[len(sales)][0])


def befalls(trouble: str, follower: Follower, older: Path, others: Path) -> None:
    if trouble in ("state lost", "state older", "state of another table"):
        shutil.rmtree(inputs(follower))
    if trouble == "state changed by hand":
        DeltaTable(inputs(follower)).delete("shop = 'a001'")
    if trouble == "state older":
        shutil.copytree(older, inputs(follower))
    if trouble == "state of another table":
        shutil.copytree(others, inputs(follower))


def dies_between(follower: Follower, files: int) -> None:
    """Let the inputs be at the end of the next batch, and the table not, unless there is no batch."""

    def dies(point: Point, table: str) -> None:
        if point == "after_commit":
            raise Crash

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_rows, "fault_point", dies)
        follower.is_interrupted(files, Crash)


def test_a_table_that_begins_to_keep_its_inputs_goes_on_where_it_was(spark: SparkSession, tmp_path: Path) -> None:
    scene = scene_at(spark, tmp_path)

    def totals(sales: DataFrame) -> DataFrame:
        return GOLDS["keyed"](sales)

    scene.append([[("a", 1), ("b", 2)]])
    Follower(scene, gold(keys=["shop"])(totals)).drain()
    scene.append([[("a", 10), ("a", 10)]])
    follower = Follower(scene, gold(keys=["shop"], keep_inputs=True)(totals))
    follower.drain()
    everything_is_exact(follower)
    assert [note.batch for note in follower.notes().values()] == [0, 1]


def test_inputs_that_cannot_be_kept_are_refused(spark: SparkSession) -> None:
    rows = spark.createDataFrame([], "_batch_id long, _row long, shop string, units long, told map<string, string>")

    @gold(keys=["first"], keep_inputs=True)
    def computed(sales: DataFrame) -> DataFrame:
        return sales.groupBy(F.substring("shop", 1, 1).alias("first")).agg(F.sum("units").alias("units"))

    @gold(keys=["shop"], keep_inputs=True)
    def mapped(sales: DataFrame) -> DataFrame:
        return sales.groupBy("shop").agg(F.sum(F.size("told")).alias("told"))

    with pytest.raises(LogicError, match=r"needs groups that are columns of its upstream; they are computed: substr"):
        kind_of(computed).check(computed, rows)
    with pytest.raises(LogicError, match=r"cannot tell rows apart by told \(map<string,string>\)"):
        kind_of(mapped).check(mapped, rows)


def test_to_keep_inputs_is_said_of_groups_that_are_recomputed() -> None:
    def totals(sales: DataFrame) -> DataFrame:
        return sales

    def joined(sales: DataFrame, customers: DataFrame) -> DataFrame:
        return sales

    with pytest.raises(DeclarationError, match="and it has no keys"):
        gold(keep_inputs=True)(totals)
    with pytest.raises(DeclarationError, match="and it is merged by combine"):
        gold(keys=["shop"], combine={"units": "sum"}, keep_inputs=True)(totals)
    with pytest.raises(DeclarationError, match="and it has no keys"):
        gold(keep_inputs=True)(joined)
    with pytest.raises(DeclarationError, match="is True or False; got 'yes'"):
        gold(keys=["shop"], keep_inputs="yes")(totals)  # type: ignore[call-overload]
