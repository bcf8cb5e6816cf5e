"""A Gold that others follow tells them each row that differs, whatever its kind; when none does it is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kappa_assets.kinds import rewriting_query
from kappa_assets.log.delta_log import read_commit
from kappa_assets.place.local.key_order import key_order
from kappa_assets.place.local.stored_table import LocalStoredTable
from kappa_assets_tests.conftest import WALKED
from kappa_assets_tests.kinds.gold_scene import GOLDS, Follower, Sale, scene_at
from kappa_assets_tests.kinds.test_gold_exact import every_claim_is_true, is_exact
from kappa_assets_tests.place.change_feed.followed_table import is_told

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MANY: list[Sale] = [(f"shop {n:03}", n) for n in range(100)]
SALES = st.lists(st.tuples(st.sampled_from(["shop 001", "shop 050", "", "new"]), st.integers(-3, 3)), max_size=5)
STEPS = st.lists(st.tuples(st.sampled_from(["append", "append", "repair", "delete", "optimize"]), SALES), max_size=4)
EACH_STEP: list[tuple[str, list[Sale]]] = [
    ("append", [("shop 001", 5), ("new", 0)]),
    ("optimize", []),
    ("repair", [("shop 001", 5)]),
    ("append", []),
    ("delete", [("shop 002", 1)]),
    ("append", [("shop 050", -3), ("", 1)]),
]


@pytest.mark.parametrize("proportion", [1 << 40, 1], ids=["written whole", "written in proportion"])
@settings(max_examples=3, phases=WALKED)
@given(st.sampled_from(sorted(GOLDS)), STEPS)
@example("combined", EACH_STEP)
@example("keyed", EACH_STEP[2:5])
@example("whole", EACH_STEP[:2])
def test_the_feed_of_a_gold_is_the_gold(
    spark: SparkSession,
    tmp_path_factory: pytest.TempPathFactory,
    proportion: int,
    kind: str,
    steps: list[tuple[str, list[Sale]]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rewriting_query, "IN_PROPORTION", proportion)
        patch.setattr(key_order, "_SMALLEST", 250)
        patch.setattr(key_order, "_GROWTH", 1)
        scene = scene_at(spark, tmp_path_factory.mktemp("gold"))
        follower = Follower(scene, GOLDS[kind], is_read=True)
        scene.append([MANY])
        follower.drain()
        for how, sales in steps:
            match how:
                case "append":
                    scene.append([sales] if sales else [])
                case "repair":
                    scene.repair([[*MANY[::2], *sales]])
                case "delete":
                    scene.delete(MANY[len(sales)][0])
                case "optimize":
                    scene.optimize()
            follower.drain()
        is_exact(follower)
        every_claim_is_true(follower)
        is_told(spark, LocalStoredTable(follower.folder), ["shop", "units", "lines"])


@pytest.mark.parametrize("is_read", [True, False], ids=["followed", "not followed"])
@pytest.mark.parametrize("kind", GOLDS)
def test_a_batch_that_changes_no_row_moves_the_position_and_no_file(
    spark: SparkSession, tmp_path: Path, kind: str, *, is_read: bool
) -> None:
    """Silver has its rows written anew by hand, and the Gold reads all of them once more."""
    scene = scene_at(spark, tmp_path)
    follower = Follower(scene, GOLDS[kind], is_read=is_read)
    scene.append([MANY])
    follower.drain()
    table = LocalStoredTable(follower.folder)
    before = table.newest()
    assert before is not None
    scene.repair([MANY[::-1]])
    follower.drain()
    is_exact(follower)
    commit = read_commit(table, before + 1)
    assert not commit.adds_data
    assert not commit.removes_data
    assert commit.note is not None
    assert (commit.bytes, commit.note.rows) == (0, len(MANY))
    scene.append([[("new", 1)]])
    follower.drain()
    is_exact(follower)
    assert every_claim_is_true(follower) == 3
