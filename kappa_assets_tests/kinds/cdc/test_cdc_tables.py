"""A table of changes in a real lake: live, killed, its state lost, replayed; what lies below follows it."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from kappa_assets import expect
from kappa_assets.errors import ExpectationFailed, ReplayError
from kappa_assets.host.host import Host
from kappa_assets.kinds import rewriting_query
from kappa_assets.kinds.cdc import cdc_query
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.log.note import DROPPED, GIVEN, QUARANTINED, TAKEN
from kappa_assets.place.local.key_order import key_order
from kappa_assets.repair import plan_repair
from kappa_assets.replay import plan_replay, rollback, run_replay
from kappa_assets_tests.kinds.cdc.customers import CUSTOMERS, Scene, of_each_a, shop, some_changes
from kappa_assets_tests.kinds.cdc.database import Did

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from kappa_assets import Pipeline
    from kappa_assets.faults import Point


class Crash(Exception):
    """Stands for a kill at a named point."""


def is_exact(scene: Scene, scd: int) -> None:
    assert scene.rows() == scene.expected(scd)
    assert scene.by_a() == of_each_a(scene.expected(scd))


@pytest.fixture
def in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every state count as large, in files of some twenty rows."""
    monkeypatch.setattr(cdc_query, "IN_PROPORTION", 1)
    monkeypatch.setattr(key_order, "_SMALLEST", 250)
    monkeypatch.setattr(key_order, "_GROWTH", 1)


def is_killed(scene: Scene, pipeline: Pipeline, point: Point, what: str) -> None:
    """See that a host dies at a point of the work on a table."""

    def dies(at: Point, of: str) -> None:
        if (at, of) == (point, what):
            raise Crash(at)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kappa_assets.faults._hooks", [dies])
        with pytest.raises(Crash):
            Host(scene.setting, pipeline).drain()


STATE, TABLE = f"state of {CUSTOMERS}", str(CUSTOMERS)
KILLS: dict[int, list[tuple[Point, str]]] = {
    1: [("after_commit", STATE)],
    2: [("after_commit", STATE), ("after_commit", TABLE)],
}
"""By scd: where a batch dies. Both are killed between the two commits."""


@pytest.mark.parametrize("scd", [1, 2])
@pytest.mark.usefixtures("in_proportion")
def test_a_table_of_changes_is_exact_whatever_happens_to_it_and_to_its_state(
    spark: SparkSession, tmp_path: Path, scd: int
) -> None:
    dice = random.Random(scd)
    scene, pipeline = Scene(spark, tmp_path), shop(scd)
    scene.land(some_changes(dice, 300, 60))
    Host(scene.setting, pipeline).drain()
    is_exact(scene, scd)
    state = scene.lake.state_of(CUSTOMERS)
    for point, of in KILLS[scd]:
        scene.land(some_changes(dice, 4, 60))
        held, kept, noted = scene.rows(), state.newest(), len(scene.notes())
        is_killed(scene, pipeline, point, of)
        assert (state.newest() or 0) > (kept or 0)
        assert (scene.rows() == held) is (of == STATE)
        Host(scene.setting, pipeline).drain()
        is_exact(scene, scd)
        touched = [note.touched["groups"] for note in scene.notes()[noted:]]
        assert 0 < sum(touched) <= 4, "the others stay as they are"

    older = shutil.copytree(scene.lake.state(CUSTOMERS), tmp_path / "older")
    scene.land(some_changes(dice, 4, 60))
    Host(scene.setting, pipeline).drain()
    shutil.rmtree(scene.lake.state(CUSTOMERS))
    if scd == 2:  # of the other it is lost
        shutil.copytree(older, scene.lake.state(CUSTOMERS))
    scene.land(some_changes(dice, 4, 60))
    noted = len(scene.notes())
    Host(scene.setting, pipeline).drain()
    is_exact(scene, scd)
    assert not scene.notes()[noted].touched, "all is built anew"


@pytest.mark.parametrize("scd", [1, 2])
def test_a_table_that_several_tasks_write_is_exact_though_its_first_batch_dies_between_the_two_commits(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scd: int
) -> None:
    monkeypatch.setattr(rewriting_query, "_ONE_FILE", 1)
    session = spark.newSession()
    session.conf.set("spark.sql.adaptive.coalescePartitions.enabled", "false")  # it would leave one task for so little
    scene, pipeline = Scene(session, tmp_path), shop(scd)
    changes = some_changes(random.Random(scd), 300, 60)
    scene.land([*changes, *changes[:150]])
    is_killed(scene, pipeline, "after_commit", STATE)
    assert not scene.rows(), "the state is written first"
    kept = DeltaTable(scene.lake.state(CUSTOMERS)).file_uris()
    Host(scene.setting, pipeline).drain()
    is_exact(scene, scd)
    shown = DeltaTable(scene.lake.table(CUSTOMERS).folder).file_uris()
    assert DeltaTable(scene.lake.state(CUSTOMERS)).file_uris() == kept, "what it holds is not written again"
    assert len(kept) > 1 < len(shown)


def test_a_table_of_changes_is_replayed_compared_promoted_and_rolled_back(spark: SparkSession, tmp_path: Path) -> None:
    dice, pipeline, corrected = random.Random(5), shop(2), shop(2, version="corrected")
    scene = Scene(spark, tmp_path, [some_changes(dice, 40, 8), some_changes(dice, 6, 8)])
    lake = scene.lake
    Host(scene.setting, pipeline).drain()
    with pytest.raises(ReplayError, match=r"has no slices to repair\nHint: Replay silver.customers: "):
        plan_repair(lake, pipeline, CUSTOMERS, [])
    at_once = Setting(spark, lake, scene.landing)
    plan = plan_replay(lake, corrected, [CUSTOMERS])
    (step,) = (step for step in plan.steps if step.table == CUSTOMERS)
    assert step.bytes_to_write == lake.table(CUSTOMERS).open().size() + lake.state_of(CUSTOMERS).open().size()
    result = run_replay(at_once, corrected, plan, progress=lambda _: None)
    assert result.state == "promoted", result.comparison.faults
    compared = {one.table: one for one in result.comparison.tables}[CUSTOMERS]
    assert (compared.not_comparable, compared.keys) == (None, ("k", "_valid_from"))
    assert compared.live_rows == compared.candidate_rows == scene.rows().total()
    assert (compared.only_live, compared.only_candidate, compared.changed) == (0, 0, 0)
    scene.land(some_changes(dice, 6, 8))
    Host(scene.setting, corrected).drain()
    is_exact(scene, 2)
    assert scene.rows(2) == scene.rows()
    rollback(lake)
    Host(scene.setting, pipeline).drain()
    is_exact(scene, 2)
    assert scene.rows(1) == scene.rows()


def test_changes_that_are_to_be_merged_otherwise_from_now_on_are_all_merged_so(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Nothing that was kept says what another condition deletes. What is built anew is ahead of half a commit."""
    dice, scene = random.Random(7), Scene(spark, tmp_path)
    scene.land(some_changes(dice, 40, 8))
    Host(scene.setting, shop(1)).drain()
    for day in ("2026-01-05-", "2026-01-06-"):
        scene.land(some_changes(dice, 3, 8), day)
    in_halves = replace(scene.setting, pace=Pace(landed_files=2, table_files=1))
    Host(in_halves, shop(1, delete_when="op = 'd' OR a = 2", on_change="forward")).drain()
    otherwise = [replace(one, deletes=one.deletes or one.content[0] == 2) for one in scene.told]
    assert scene.rows() == scene.expected(1, otherwise) != scene.expected(1)
    (_, half, whole) = scene.notes()
    (read,) = half.reads.values()
    assert (half.recomputed, whole.recomputed) == (read.version + 1, None)


X, Y, Z = ("x",), ("y",), ("z",)


def test_what_cannot_be_merged_is_set_aside_and_each_change_is_accounted_for(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Truncates come with and without what they delete; changes lack a key or a sequence, or fail an expectation."""
    small, even = expect("small", "a IS NULL OR a < 3", on_fail="drop"), expect("even", "a != 1", on_fail="warn")
    pipeline = shop(2, truncate_when="op = 't'", expect=[small, even])
    good = [
        Did((1,), X, content=(0, "p")),
        Did((2,), Y, content=(1, "p")),
        Did((5,), None),
        Did((7,), X, content=(2, "p")),
    ]
    scene = Scene(spark, tmp_path, [[*good[:2], Did((1,), ("",), content=(0, "p"))]])
    Host(scene.setting, pipeline).drain()
    scene.land([Did((), Z, content=(0, "p")), Did((), None), good[2], Did((6,), Z, content=(3, "p"))])
    scene.land([Did((3,), Z, content=(0, "p")), good[3]])
    Host(scene.setting, pipeline).drain()
    good.append(Did((3,), Z, content=(0, "p")))
    assert scene.rows() == scene.expected(2, good)
    assert scene.by_a() == of_each_a(scene.expected(2, good))
    told = [note.judged for note in scene.notes()]
    assert told == [
        {GIVEN: 3, QUARANTINED: 1, TAKEN: 2},
        {GIVEN: 4, DROPPED: 1, QUARANTINED: 2, TAKEN: 1},
        {GIVEN: 2, TAKEN: 2},
    ]
    assert [note.warned for note in scene.notes()] == [{"even": 1}, {"even": 2}, {}]
    aside = DeltaTable(scene.lake.rejects(CUSTOMERS)).to_pyarrow_table().to_pylist()
    assert sorted((r["batch"], *r["reasons"], r["on_fail"]) for r in aside) == [
        (0, "has_k", "quarantine"),
        (1, "has_s", "quarantine"),
        (1, "has_s", "quarantine"),
        (1, "small", "drop"),
    ]

    scene.land([Did((8,), Y, content=(0, "bad")), Did((9,), X, content=(0, "p")), Did((), X)])
    rules = expect("sound", "b IS NULL OR b <> 'bad'", on_fail="fail"), expect("sound", "true", on_fail="warn")
    strict, mended = (shop(2, truncate_when="op = 't'", expect=[small, even, rule]) for rule in rules)
    before = scene.rows(), scene.lake.state_of(CUSTOMERS).newest(), scene.lake.set_aside(CUSTOMERS).newest()
    with pytest.raises(ExpectationFailed, match=r"takes nothing of bronze\.changes batches 3 to 3: 1 of 3 rows fail"):
        Host(scene.setting, strict).drain()
    assert (scene.rows(), scene.lake.state_of(CUSTOMERS).newest(), scene.lake.set_aside(CUSTOMERS).newest()) == before
    Host(scene.setting, mended).drain()
    assert scene.rows() == scene.expected(2, [*good, *scene.told[-3:-1]])
