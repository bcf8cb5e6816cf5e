"""A Gold counts every row of its Silver once, whatever is committed to Silver while it reads, however it reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from kappa_assets import gold
from kappa_assets.kinds import rewriting_query
from kappa_assets.log.positions import exact_version
from kappa_assets.place.local import change_rows
from kappa_assets_tests.kinds.gold_scene import BRONZE, GOLDS, SILVER, Change, Follower, Sale, Scene, scene_at, sums

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from kappa_assets.faults import Point

EIGHT_DAYS = 8 * 86_400


@pytest.fixture
def scene(spark: SparkSession, tmp_path: Path) -> Scene:
    return scene_at(spark, tmp_path)


def append(*files: Sequence[Sale]) -> Change:
    return partial(Scene.append, files=files)


class Crash(Exception):
    """The end of a process, as far as a batch is concerned."""


def dies_before_the_commit(_: Scene) -> None:
    raise Crash


def while_it_runs(patch: pytest.MonkeyPatch, scene: Scene, changes: list[Change | None]) -> None:
    """Make the next changes of Silver one by one, each when a batch is planned and not yet run; None is no change."""
    write = change_rows.write_files  # type: ignore[attr-defined]  # the module's own import, which the test stands before

    def then_write(*args: Any, **options: Any) -> Any:
        change = changes.pop(0) if changes else None
        if change is not None:
            change(scene)
        return write(*args, **options)

    patch.setattr(change_rows, "write_files", then_write)


def dies_after_a_commit(patch: pytest.MonkeyPatch) -> None:
    """Let the next batch be committed, and Spark not learn of it."""
    fault_point = rewriting_query.fault_point  # type: ignore[attr-defined]  # as above

    def then_crash(point: Point, table: str) -> None:
        fault_point(point, table)
        if point == "after_commit":
            patch.setattr(rewriting_query, "fault_point", fault_point)
            raise Crash

    patch.setattr(rewriting_query, "fault_point", then_crash)


def is_exact(follower: Follower) -> None:
    """Assert that the Gold holds the sums of all that Silver holds, and that its newest commit says so."""
    contents = follower.scene.contents
    assert follower.rows() == sums(contents[max(contents)])
    exact = exact_version(follower.notes()[max(follower.notes())], str(SILVER))
    assert exact is not None
    assert Counter(contents[exact]) == Counter(contents[max(contents)])


def every_claim_is_true(follower: Follower) -> int:
    """Assert that each commit that claims to show one version of Silver shows it, and return how many do."""
    claims = 0
    for version, note in follower.notes().items():
        exact = exact_version(note, str(SILVER))
        if exact is not None:
            claims += 1
            assert follower.rows(version) == sums(follower.scene.contents[exact]), (version, note)
            assert note.position[str(BRONZE)] == follower.scene.positions[exact]
    return claims


@pytest.mark.parametrize("kind", GOLDS)
def test_rows_that_silver_takes_in_while_a_batch_with_deletes_runs_are_counted_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    follower = Follower(scene, GOLDS[kind])
    scene.append([[("a", 1), ("b", 2)]])
    follower.drain()
    scene.repair([[("a", 3), ("b", 2)]])
    while_it_runs(monkeypatch, scene, [append([("a", 10)])])
    follower.drain()
    every_claim_is_true(follower)
    follower.drain()
    is_exact(follower)
    assert every_claim_is_true(follower) == 3


@pytest.mark.parametrize("kind", GOLDS)
def test_rows_are_counted_once_though_the_version_a_batch_ended_at_can_be_read_no_more(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """As with a host that was off for a week after a repair."""
    follower = Follower(scene, GOLDS[kind])
    scene.append([[("a", 1), ("b", 2)]])
    follower.drain()
    scene.repair([[("a", 3)], [("b", 2)]])
    scene.append([[("a", 10)], [("b", 20)]])
    scene.append([[("a", 100)], [("c", 300)]])
    scene.age(EIGHT_DAYS)
    while_it_runs(monkeypatch, scene, [None, append([("a", 1_000)])])
    follower.drain(files=2)
    every_claim_is_true(follower)
    follower.drain(files=2)
    is_exact(follower)
    every_claim_is_true(follower)


@pytest.mark.parametrize("kind", ["combined", "keyed", "kept"])
def test_rows_are_counted_once_though_a_batch_with_deletes_ends_inside_a_commit(scene: Scene, kind: str) -> None:
    follower = Follower(scene, GOLDS[kind])
    scene.append([[("a", 1), ("b", 2)]])
    follower.drain()
    scene.repair([[("a", 3), ("b", 2)]])
    scene.append([[("a", 10)], [("a", 20)], [("c", 5)]])
    follower.drain(files=3)
    is_exact(follower)
    every_claim_is_true(follower)


@pytest.mark.parametrize("kind", ["combined", "keyed", "kept"])
def test_deletes_in_the_batch_that_ends_the_first_snapshot_are_no_inserts(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    follower = Follower(scene, GOLDS[kind])
    scene.append([[("a", 1)], [("b", 2)], [("c", 3)]])
    dies_after_a_commit(monkeypatch)
    with pytest.raises(Crash):
        follower.drain(files=2)
    scene.repair([[("a", 10)]])
    follower.drain()
    is_exact(follower)
    every_claim_is_true(follower)


def test_a_version_from_before_a_column_was_added_is_read_without_it(scene: Scene) -> None:
    def totals(sales: DataFrame) -> DataFrame:
        return GOLDS["keyed"](sales)

    before = Follower(scene, gold(keys=["shop"])(totals))
    scene.append([[("a", 1), ("b", 2)]])
    before.drain()
    scene.repair([[("a", 3), ("b", 2)]])
    scene.add_column("returns")
    scene.append([[("a", 10)]])

    def totals(sales: DataFrame) -> DataFrame:  # type: ignore[no-redef]  # its logic, changed
        returned = sales.groupBy("shop").agg(F.max("returns").alias("returns"))
        return GOLDS["keyed"](sales).join(returned, "shop")

    after = Follower(scene, gold(keys=["shop"])(totals))
    after.drain(files=2)
    is_exact(after)
    assert every_claim_is_true(after) == 3


SHOPS = st.sampled_from("abc")
SALES = st.lists(st.tuples(SHOPS, st.integers(-9, 9)), min_size=1, max_size=3)
CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.lists(SALES, min_size=1, max_size=3).map(lambda files: partial(Scene.append, files=files)),
    st.lists(SALES, max_size=3).map(lambda files: partial(Scene.repair, files=files)),
    SHOPS.map(lambda shop: partial(Scene.delete, shop=shop)),
    st.sampled_from([Scene.optimize, partial(Scene.age, seconds=EIGHT_DAYS)]),
)
HAPPENINGS: st.SearchStrategy[Change | None] = st.none() | CHANGES | st.just(dies_before_the_commit)
"""What may happen while a batch runs."""


@pytest.mark.slow
@settings(max_examples=3, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # to shrink a history takes an hour
@given(history=st.data())
def test_any_history_of_silver_and_any_reading_of_it_gives_the_sums_of_its_rows(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, history: st.DataObject
) -> None:
    scene = scene_at(spark, tmp_path_factory.mktemp("history"))
    scene.append([[("a", 1)], [("b", 2)], [("c", 3)]])
    followers = [Follower(scene, gold) for gold in GOLDS.values()]
    for _ in range(2):
        for change in history.draw(st.lists(CHANGES, min_size=2, max_size=4), "silver"):
            change(scene)
        for follower in followers:
            with pytest.MonkeyPatch.context() as patch:
                happens = history.draw(st.lists(HAPPENINGS, min_size=2, max_size=4), str(follower.gold.name))
                while_it_runs(patch, scene, happens)
                if history.draw(st.booleans(), "dies after a commit"):
                    dies_after_a_commit(patch)
                files = history.draw(st.sampled_from([2, 3, 1_000]), "files in a batch")
                while follower.is_interrupted(files, Crash):
                    pass
    for follower in followers:
        follower.drain()
        is_exact(follower)
        assert every_claim_is_true(follower)
