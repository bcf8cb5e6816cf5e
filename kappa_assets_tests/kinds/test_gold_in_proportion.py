"""A large Gold is written in proportion to what a batch touches, and holds what it would hold written whole."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from kappa_assets.kinds import rewriting_query
from kappa_assets.place.change import Scan
from kappa_assets.place.local.key_order import key_order
from kappa_assets.place.local.upkeep.compaction import small_files
from kappa_assets_tests.kinds.gold_scene import GOLDS, Follower, Sale, Scene, scene_at
from kappa_assets_tests.kinds.test_gold_exact import Crash, every_claim_is_true, is_exact

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from kappa_assets.faults import Point
    from kappa_assets.log.note import CommitNote

MANY: list[Sale] = [(f"{prefix}{n:03}", n) for prefix in ("a", "b" * 40, "ü") for n in range(100)]
"""Three hundred shops, some of which a bound tells apart by 32 letters alone."""
SHOPS = st.sampled_from([shop for shop, _ in MANY[::10]] + ["", "new", "\U0010ffff\U0010ffff"]) | st.none()
BATCH = st.lists(st.tuples(SHOPS, st.integers(-3, 3)), max_size=6)
TURNED = ("combined", "keyed", "kept")


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let every Gold count as large, in files of some twenty rows."""
    monkeypatch.setattr(rewriting_query, "IN_PROPORTION", 1)
    monkeypatch.setattr(rewriting_query, "_ONE_FILE", 1)
    monkeypatch.setattr(key_order, "_SMALLEST", 250)
    monkeypatch.setattr(key_order, "_GROWTH", 1)
    return monkeypatch


def in_order(spark: SparkSession, root: Path, kind: str) -> tuple[Scene, Follower]:
    """Return a Silver of many shops, and a Gold of it that lies in many files since its second batch."""
    scene = scene_at(spark, root)
    follower = Follower(scene, GOLDS[kind])
    for sales in (MANY, [("a001", 1)]):
        scene.append([sales])
        follower.drain()
    return scene, follower


def paths(follower: Follower, version: int | None = None) -> set[str]:
    return set(DeltaTable(follower.folder, version=version).get_add_actions().column("path").to_pylist())


def noted_rows(follower: Follower) -> int | None:
    return newest_note(follower).rows


def newest_note(follower: Follower) -> CommitNote:
    return follower.notes()[max(follower.notes())]


def all_of(folder: Path) -> Scan:
    """Return what to read all of a table opens, as its files tell themselves."""
    files = [folder / path for path in DeltaTable(folder).get_add_actions().column("path").to_pylist()]
    rows = sum(pq.read_metadata(file).num_rows for file in files)
    return Scan(len(files), rows, sum(file.stat().st_size for file in files))


@pytest.mark.parametrize("kind", TURNED)
def test_a_batch_of_few_groups_replaces_few_files(
    spark: SparkSession, tmp_path: Path, large: pytest.MonkeyPatch, kind: str
) -> None:
    scene, follower = in_order(spark, tmp_path, kind)
    is_exact(follower)
    before = paths(follower)
    assert len(before) > 8
    scene.append([[("a001", 5), ("ü098", 7), ("zz", 1)]])
    follower.drain()
    is_exact(follower)
    assert 1 <= len(before - paths(follower)) <= 4
    assert noted_rows(follower) == 301
    note = newest_note(follower)
    touched = note.touched
    assert (touched["groups"], touched["files"]) == (3, len(before - paths(follower)))
    assert 0 < touched["bytes"] < sum(p.stat().st_size for p in (follower.folder / "data").rglob("*.parquet"))
    assert note.landed == 3
    if kind == "combined":  # merged into the rows of the files that it replaces, and of no others
        assert note.scanned is not None
        assert (note.scanned.files, note.scanned.bytes) == (touched["files"], touched["bytes"])
        assert 0 < (note.scanned.rows or 0) < 301 / 2
    if kind == "keyed":  # recomputed from all of Silver; the rows of its own files that stay are copied
        assert note.scanned == all_of(scene.folder)
        assert (note.scanned.files, note.scanned.rows) == (3, 304)
    assert every_claim_is_true(follower) == 3
    assert small_files("gold", follower.folder, before=dt.date(2100, 1, 1), few=2) == [], "upkeep leaves their order"


def test_a_gold_whose_groups_come_in_order_reads_the_files_of_silver_that_may_hold_one(
    spark: SparkSession, tmp_path: Path, large: pytest.MonkeyPatch
) -> None:
    scene = scene_at(spark, tmp_path)
    follower = Follower(scene, GOLDS["keyed"])
    for letter in "abcdef":
        scene.append([[(f"{letter}{n}", n) for n in range(10)]])
    follower.drain()
    scene.append([[("c3", 5)]])
    follower.drain()
    is_exact(follower)
    scanned = newest_note(follower).scanned
    assert scanned is not None
    assert (scanned.files, scanned.rows) == (2, 11)
    scene.delete("e5")
    follower.drain()
    is_exact(follower)
    scanned = newest_note(follower).scanned
    assert scanned is not None
    assert (scanned.files, scanned.rows) == (1, 9)


@pytest.mark.parametrize("kind", ["combined", "keyed", "whole"])
def test_a_small_gold_notes_all_that_it_read(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    scene = scene_at(spark, tmp_path)
    follower = Follower(scene, GOLDS[kind])
    for sales in (MANY, [("a001", 1)]):
        scene.append([sales])
        follower.drain()
    assert follower.notes()[min(follower.notes())].landed is None, "a first snapshot"
    of_gold = all_of(follower.folder)
    scene.append([[("a001", 5)], [("ü098", 7), ("zz", 1)]])
    follower.drain()
    is_exact(follower)
    of_silver = all_of(scene.folder)
    assert ((of_silver.files, of_silver.rows), of_gold.rows) == ((4, 304), 300)
    expected = {"combined": of_gold, "keyed": of_silver + of_gold, "whole": of_silver}
    note = newest_note(follower)
    assert (note.landed, note.scanned) == (3, expected[kind])
    scene.delete("a001")
    follower.drain()
    assert newest_note(follower).landed is None, "nothing counts the rows of a commit that took some away"


@pytest.mark.parametrize("fetched", [0, 1 << 20], ids=["by Spark", "by this process"])
@settings(max_examples=4)
@given(
    st.sampled_from(TURNED),
    st.lists(st.tuples(st.sampled_from(["append", "repair", "delete"]), BATCH, st.booleans()), min_size=2, max_size=5),
)
def test_a_gold_in_order_is_exact_whatever_is_committed(
    spark: SparkSession,
    tmp_path_factory: pytest.TempPathFactory,
    fetched: int,
    kind: str,
    steps: list[tuple[str, list[Sale], bool]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rewriting_query, "IN_PROPORTION", 1)
        patch.setattr(key_order, "_SMALLEST", 250)
        patch.setattr(key_order, "_GROWTH", 1)
        patch.setattr(key_order, "_FETCHED", fetched)
        scene = scene_at(spark, tmp_path_factory.mktemp("gold"))
        follower = Follower(scene, GOLDS[kind])
        scene.append([MANY])
        follower.drain()
        for how, sales, drained in steps:
            match how:
                case "append":
                    scene.append([sales] if sales else [])
                case "repair":
                    scene.repair([[*MANY[::2], *sales]])
                case "delete":
                    scene.delete(MANY[len(sales)][0])
            if drained:
                follower.drain(files=1)
        follower.drain()
        is_exact(follower)
        every_claim_is_true(follower)
        assert noted_rows(follower) == follower.rows().total()


@pytest.mark.parametrize("kind", TURNED)
@pytest.mark.parametrize("at", ["after_rejects", "after_commit"])
def test_a_batch_that_dies_is_in_once(
    spark: SparkSession, tmp_path: Path, large: pytest.MonkeyPatch, kind: str, at: Point
) -> None:
    from kappa_assets.place.local import local_table

    scene = scene_at(spark, tmp_path)
    follower = Follower(scene, GOLDS[kind])
    scene.append([MANY])
    follower.drain()

    def dies(point: Point, table: str) -> None:
        if point == at:
            raise Crash

    scene.append([[("a001", 5), ("ü098", 7)]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_table, "fault_point", dies)
        patch.setattr(rewriting_query, "fault_point", dies)
        assert follower.is_interrupted(1_000, Crash)
    follower.drain()
    is_exact(follower)


@pytest.mark.parametrize("kind", TURNED)
def test_files_that_somebody_rewrote_meanwhile_are_looked_up_anew(
    spark: SparkSession, tmp_path: Path, large: pytest.MonkeyPatch, kind: str
) -> None:
    scene, follower = in_order(spark, tmp_path, kind)
    write = key_order.KeyOrder.write
    met = Counter[str]()

    def optimized(*args: object) -> object:
        if not met["once"]:
            met["once"] += 1
            DeltaTable(follower.folder).optimize.compact()
        return write(*args)  # type: ignore[arg-type]

    large.setattr(key_order.KeyOrder, "write", optimized)
    scene.append([[("a001", 5)]])
    follower.drain()
    is_exact(follower)
    assert met["once"]
