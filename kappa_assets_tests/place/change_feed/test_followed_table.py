"""Who follows a table by its change feed, row by row, has the table after each of its versions, and no row too many."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import example, given, settings
from pyspark.sql.types import LongType, StructField

from kappa_assets.log.delta_log import read_commit
from kappa_assets.log.logs import ON_DISK
from kappa_assets.log.note import Offset
from kappa_assets.log.unread import unread_after
from kappa_assets.place.change import Applied, Conflict, Everything, Write
from kappa_assets.place.local.change_feed import change_files
from kappa_assets.place.local.change_feed.change_files import ChangeFiles
from kappa_assets.place.local.key_order import key_order
from kappa_assets_tests.conftest import WALKED
from kappa_assets_tests.place.change_feed.followed_table import (
    ARROW,
    EACH_STEP,
    MANY,
    STEPS,
    WITH_MAP,
    FollowedTable,
    Follower,
    Row,
    counted,
    row,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import SparkSession

Steps = list[tuple[str, list[Row]]]


@pytest.fixture(autouse=True)
def _files_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_order, "_SMALLEST", 250)
    monkeypatch.setattr(key_order, "_GROWTH", 1)


def in_spark(patch: pytest.MonkeyPatch) -> None:
    """Let everything be large."""
    patch.setattr(change_files, "_COMPARED", -1)
    patch.setattr(change_files, "_SEARCHED", -1)
    patch.setattr(key_order, "_FETCHED", 0)


@pytest.fixture
def table(spark: SparkSession, tmp_path: Path) -> FollowedTable:
    """A table of sixty rows, in many files since its second change."""
    made = FollowedTable(spark, tmp_path / "t")
    made.everything(MANY)
    made.groups([row("030", 7), row("031", 7)], more=[f"{n:03}" for n in range(40)])
    return made


@settings(max_examples=2)
@given(STEPS)
@example(EACH_STEP)
def test_the_feed_of_a_small_table_is_the_table(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, steps: Steps
) -> None:
    table = FollowedTable(spark, tmp_path_factory.mktemp("t"), WITH_MAP)
    table.everything(MANY)
    for how, rows in steps:
        table.step(how, rows)
    # What is repaired is compared by Spark, which groups by no maps.
    table.is_told(exactly=not any(how == "repair" for how, _ in steps))


@settings(max_examples=3, phases=WALKED)
@given(STEPS)
@example(EACH_STEP)
def test_the_feed_of_a_large_table_is_the_table(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, steps: Steps
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        in_spark(patch)
        table = FollowedTable(spark, tmp_path_factory.mktemp("t"))
        table.everything(MANY)
        for how, rows in steps:
            table.step(how, rows)
        table.is_told()


def test_groups_of_a_large_table_are_told_whole_where_spark_knows_no_equality(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_spark(monkeypatch)
    table = FollowedTable(spark, tmp_path / "t", WITH_MAP)
    table.everything(MANY)
    table.groups([row("003", 0), row("004", 9)])
    table.everything(MANY)
    table.is_told(exactly=False)
    feed = table.spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", 2)
    said = feed.option("endingVersion", 2).load(str(table.stored.folder)).collect()
    assert sorted((r["k"], r["_change_type"]) for r in said) == [
        (key, what) for key in ("003", "004") for what in ("delete", "insert")
    ]


@pytest.mark.parametrize("large", [False, True], ids=["by this process", "by Spark"])
def test_a_query_that_follows_sees_rows_that_differ_alone_also_across_a_new_column(
    table: FollowedTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, large: bool
) -> None:
    if large:
        in_spark(monkeypatch)
    follower = Follower(table, tmp_path / "checkpoint")
    assert follower.drain() == 1
    assert follower.rows == table.rows()
    table.groups([row("030", 8), row("zz"), row("zz")])
    table.everything(table.held_rows())  # which changes no row
    assert follower.drain() == 1
    assert follower.rows == table.rows()
    held = table.held_rows()
    table.arrow = ARROW.append(pa.field("wide", pa.int64()))
    schema = table.open.schema()
    assert schema is not None
    table.open.prepare(schema.add(StructField("wide", LongType())))
    table.groups([row("030", 8) | {"wide": None}, row("031", 7) | {"wide": 1}])
    table.everything([one | {"wide": len(one["k"])} for one in held])
    follower.rows = type(follower.rows)({(*values, None): n for values, n in follower.rows.items()})
    follower.drain()
    assert follower.rows == table.rows()
    table.is_told()


def test_rows_that_are_carried_along_are_nobody_s_news(table: FollowedTable) -> None:
    before = table.paths()
    assert len(before) > 3
    table.groups([row("030", 8)])
    removed = before - table.paths()
    assert 0 < len(removed) < len(before) / 2
    files = table.stored.files(table.open.version())
    rows = dict(zip(files["path"].to_pylist(), files["num_records"].to_pylist(), strict=True))
    assert sum(rows[path] for path in table.paths() - before) > 3, "rows beside it are written anew"
    said = table.spark.read.format("delta").option("readChangeFeed", "true")
    told = said.option("startingVersion", table.open.version()).load(str(table.stored.folder)).collect()
    assert sorted((r["k"], r["N"], r["_change_type"]) for r in told) == [("030", 7, "delete"), ("030", 8, "insert")]


@pytest.mark.parametrize("large", [False, True], ids=["by this process", "by Spark"])
@pytest.mark.parametrize(
    "same",
    [lambda t: t.everything(t.held_rows()[::-1]), lambda t: t.groups([row("030", 7)]), lambda t: t.groups([], ["new"])],
    ids=["everything", "groups", "groups that are not there"],
)
def test_a_change_by_which_no_row_differs_is_its_note_alone(
    table: FollowedTable,
    monkeypatch: pytest.MonkeyPatch,
    same: Callable[[FollowedTable], Any],
    *,
    large: bool,
) -> None:
    if large:
        in_spark(monkeypatch)
    version, rows, files, on_disk = table.open.version(), table.rows(), table.paths(), table.on_disk()
    applied = same(table)
    assert (applied, table.open.version()) == (Applied(version + 1, applied.counts), version + 1)
    assert (table.rows(), table.paths()) == (rows, files)
    assert table.on_disk() == on_disk, "what was written to be compared is gone"
    assert not {"add", "remove", "cdc", "metaData"} & {kind for a in table.stored.actions(version + 1) for kind in a}
    assert applied.counts.held in (None, rows.total())
    assert table.open.is_in(Write("gold.t", 1, "main", table.changes - 1))


def test_a_commit_without_data_brings_readers_nothing_but_its_version(table: FollowedTable, tmp_path: Path) -> None:
    follower = Follower(table, tmp_path / "checkpoint")
    follower.drain()
    version = table.open.version()
    table.everything(table.held_rows())
    commit = read_commit(table.stored, version + 1)
    assert (commit.adds_data, commit.removes_data, commit.stream_files, commit.rows) == (False, False, 0, 0)
    assert ON_DISK.first_data_after(table.stored, version) is None
    assert unread_after(table.stored, Offset(version + 1, -1, False)).data is None
    follower.drain()  # Delta's stream makes an empty batch of it, as of OPTIMIZE
    assert follower.rows == table.rows()
    table.groups([row("030", 8)])
    assert ON_DISK.first_data_after(table.stored, version) == version + 2
    assert unread_after(table.stored, Offset(version + 1, -1, False)).data == version + 2
    assert follower.drain() == 1
    assert follower.rows == table.rows()


def test_a_table_that_nobody_followed_before_is_followed_from_then_on(spark: SparkSession, tmp_path: Path) -> None:
    table = FollowedTable(spark, tmp_path / "t", feed=False)
    table.everything(MANY)
    assert "cdc" not in {kind for action in table.stored.actions(1) for kind in action}
    schema = table.open.schema()
    assert schema is not None
    table.open = table.stored.open(ordered_by=("k",), feed=True)
    table.open.prepare(schema)
    follower = Follower(table, tmp_path / "checkpoint")
    follower.drain()
    table.everything([*MANY[1:], row("b", x=math.nan)])
    assert follower.drain() == 1
    assert follower.rows == table.rows()


def meanwhile(patch: pytest.MonkeyPatch, table: FollowedTable, does: Callable[[DeltaTable], object]) -> list[int]:
    """Let somebody commit between the comparison of rows and the next commit, once; return when it was done."""
    compare, done = ChangeFiles.of, list[int]()

    def then(*args: Any) -> Any:
        found = compare(*args)
        if not done:
            does(DeltaTable(table.stored.folder))
            done.append(table.open.version())
        return found

    patch.setattr(ChangeFiles, "of", then)
    return done


@pytest.mark.parametrize(
    "does",
    [
        lambda delta: delta.optimize.compact(),
        lambda delta: delta.delete("k = '030'"),
        lambda delta: delta.delete("k = '059'"),
        lambda delta: write_deltalake(delta, pa.Table.from_pylist([row("x")], schema=ARROW), mode="append"),
    ],
    ids=["optimizes", "deletes a touched row", "deletes another row", "adds a row"],
)
def test_rows_are_compared_anew_when_somebody_commits_meanwhile(
    table: FollowedTable, monkeypatch: pytest.MonkeyPatch, does: Callable[[DeltaTable], object]
) -> None:
    done = meanwhile(monkeypatch, table, does)
    rows = [*table.held_rows()[1:], row("a")]
    assert isinstance(table.everything(rows), Applied)
    assert table.rows() == counted(rows, table.names)
    assert done
    done.clear()
    found = table.groups([row("030", 9)])
    if isinstance(found, Conflict):  # a file that it replaces is gone, so the kind makes the change anew
        found = table.groups([row("030", 9)])
    assert isinstance(found, Applied)
    assert done
    table.is_told(exactly=True)


def test_a_table_that_nobody_follows_is_left_as_it_is_where_that_is_told_at_no_cost(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = FollowedTable(spark, tmp_path / "t", feed=False)
    table.everything(MANY)
    files, on_disk = table.paths(), table.on_disk()
    table.everything(MANY[::-1])
    assert (table.paths(), table.on_disk()) == (files, on_disk)
    monkeypatch.setattr(change_files, "_COMPARED_ANYWAY", 0)
    table.everything(MANY)
    assert table.paths() == files, "the same bytes"
    table.everything(MANY[::-1])
    assert not table.paths() & files, "it was not looked"
    table.everything([*MANY[1:], row("000", 9)])
    assert ("000", 9) in {(values[0], values[1]) for values in table.rows()}


def test_files_of_several_tasks_are_the_same_where_each_is(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_files, "_COMPARED_ANYWAY", 0)
    table = FollowedTable(spark, tmp_path / "t", feed=False)

    def written(rows: list[Row]) -> set[str]:
        assert isinstance(table.change(rows, Everything(), small=False), Applied)
        return table.paths()

    files, on_disk = written(MANY), table.on_disk()
    assert len(files) == 2
    assert written(MANY) == files, "the same bytes"
    assert table.on_disk() == on_disk
    changed = [*MANY[:-1], row("059", 9)]
    assert not written(changed) & files, "one of them is another"
    assert table.rows() == counted(changed, table.names)
