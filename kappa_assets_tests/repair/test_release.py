"""Rows in quarantine that nothing sets aside any more are in the table once, whatever happens meanwhile."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kappa_assets import Pipeline
from kappa_assets.cli import main
from kappa_assets.errors import Fenced, HostRunning, LogicChanged, ReleaseRefused
from kappa_assets.health import run_checks
from kappa_assets.log.note import RELEASED
from kappa_assets.place.local.leases.lease import HOST, lease
from kappa_assets.repair import plan_repair, release_rows, run_repair
from kappa_assets.replay import plan_replay, promote_replay, run_replay
from kappa_assets_tests.conftest import WALKED
from kappa_assets_tests.repair.released_shop import (
    PIPELINE,
    SOLD,
    Address,
    Order,
    Released,
    Scene,
    by_number,
    expected,
    orders,
    rows_of,
    shop_of,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from kappa_assets.faults import Point

STRICT, LENIENT = shop_of(0), PIPELINE
LEAST = -5


class Crash(Exception):
    """Stands for a kill at a named point."""


@contextmanager
def at_points(hook: Callable[[Point, str], None]) -> Iterator[None]:
    """Call a hook at every named point of the work in the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kappa_assets.faults._hooks", [hook])
        yield


def moved(before: Released, rows: Counter[tuple[Address, int | None]]) -> Released:
    return Released(before.table + rows, before.held - rows, before.dropped)


def passing(before: Released, *, even: bool = False) -> Counter[tuple[Address, int | None]]:
    """Return the rows in quarantine that the lenient logic accepts, of rows with an even number alone, if so."""
    return Counter(
        {
            (at, n): times
            for (at, n), times in before.held.items()
            if n is not None and n >= LEAST and not (even and at[1] % 2)
        }
    )


def is_sound(scene: Scene, pipeline: Pipeline) -> None:
    """See that the log holds nothing that should not be there, and that what stands above counts the same rows."""
    found = {(o.table, o.check): o for o in run_checks(scene.lake, pipeline)}
    assert found[SOLD, "tape_continuous"].passed, found[SOLD, "tape_continuous"].summary
    assert found[SOLD, "expectations"].severity == "warn"
    assert scene.counted() == Counter(n for _, n in scene.now().table.elements())


PARTS = st.lists(st.sampled_from([3, 2, 0, -1, -5, -6, 99, None]), min_size=1, max_size=4)
MIXED: list[Order] = [[3], [-1], [-6], [99], [None], [3, -1], [-1, -1, -5], [-1, -6], [2, 99, -2, None], [3, 3], [-1]]


@settings(max_examples=3, phases=WALKED)
@given(st.lists(st.lists(PARTS, min_size=1, max_size=8), min_size=2, max_size=3))
@example([MIXED, MIXED[::-1], [[-1, 3], [-6]]])
def test_what_passes_today_is_released_once_and_every_row_is_accounted_for(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, files: list[list[Order]]
) -> None:
    scene = Scene(spark, tmp_path_factory.mktemp("shop"))
    scene.land(*files[:-1])
    scene.drain(STRICT)
    held = scene.now()
    assert held == expected(scene.tape(), 0)
    same = scene.release(STRICT)
    assert (same.chosen, same.taken, same.released) == (held.held.total(), 0, 0)
    assert scene.now() == held

    some = passing(held, even=True)
    done = scene.release(LENIENT, "_row % 2 = 0 AND array_contains(reasons, 'enough')")
    assert (done.released, done.taken, done.duplicates) == (some.total(), some.total(), 0)
    assert scene.now() == moved(held, some)
    scene.land(files[-1])
    scene.drain(LENIENT)
    is_sound(scene, LENIENT)
    assert scene.now().all() == Counter({at: len(order) for at, order in scene.tape().items()})

    left = passing(scene.now())
    assert scene.release(LENIENT).released == left.total()
    assert scene.now() == expected(scene.tape(), LEAST), "as a replay would have it"
    again = scene.release(LENIENT)
    assert (again.taken, again.released) == (0, 0)
    scene.drain(LENIENT)
    is_sound(scene, LENIENT)
    released = [note for note in scene.notes() if RELEASED in note.judged]
    assert [note.judged[RELEASED] for note in released] == [n for n in (some.total(), left.total()) if n]
    assert all((note.rows, note.rejected, note.reads_on) == (note.judged[RELEASED], {}, False) for note in released)


@pytest.fixture(scope="module")
def held_back(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Two batches in strict logic. Only look at it; its copies are for changing."""
    scene = Scene(spark, tmp_path_factory.mktemp("held_back"))
    scene.land([[3], [-1], [3, -1], [-6]], [[-2, -3], [-4], [99]])
    scene.drain(STRICT)
    return scene


DEATHS: list[tuple[Point, int]] = [("rows_marked", 1), ("after_rejects", 1), ("rows_released", 1), ("fence_seen", 5)]
"""Where a release dies, and at which of its times there: last before the side table lets the rows go."""


@pytest.mark.parametrize(("point", "time"), DEATHS)
def test_a_release_that_dies_is_finished_by_the_next_one_whatever_the_logic_says_then(
    held_back: Scene, tmp_path: Path, point: Point, time: int
) -> None:
    scene, seen = held_back.copied(tmp_path), list[str]()
    before, rejected = scene.now(), len(rows_of(scene.lake.rejects(SOLD)))

    def dies(at: Point, _: str) -> None:
        seen.extend([at] if at == point else [])
        if seen.count(point) == time and at == point:
            raise Crash(at)

    with at_points(dies), pytest.raises(Crash):
        scene.release(LENIENT)
    is_in = point in ("rows_released", "fence_seen")
    marked = [
        r["on_fail"] for r in rows_of(scene.lake.rejects(SOLD)) if r["on_fail"].startswith("quarantine/released/")
    ]
    assert (len(marked), len(rows_of(scene.lake.rejects(SOLD)))) == (passing(before).total(), rejected)
    assert "was interrupted" not in "".join(scene.said)

    assert scene.release(STRICT).released == 0
    assert [line for line in scene.said if "was interrupted" in line]
    assert scene.now() == (moved(before, passing(before)) if is_in else before)
    assert scene.release(LENIENT).released == (0 if is_in else passing(before).total())
    assert scene.now() == expected(scene.tape(), LEAST)


def test_a_release_that_another_one_has_taken_for_dead_is_refused(held_back: Scene, tmp_path: Path) -> None:
    scene, done = held_back.copied(tmp_path), list[int]()

    def another_first(at: Point, _: str) -> None:
        if at == "rows_marked" and not done:
            done.append(0)
            done.append(scene.release(LENIENT, "_row < 2").released)

    with at_points(another_first), pytest.raises(Fenced, match="was taken over"):
        scene.release(LENIENT)
    assert done[1] == 4
    scene.release(LENIENT)
    assert scene.now() == expected(scene.tape(), LEAST)


def test_a_repair_before_or_during_a_release_adds_no_row_a_second_time(held_back: Scene, tmp_path: Path) -> None:
    scene = held_back.copied(tmp_path)
    first, second = sorted({r["_arrival_date"] for r in rows_of(scene.lake.folder(orders.name))})
    done: list[str] = []

    def repair(day: dt.date) -> None:
        plan = plan_repair(scene.lake, LENIENT, SOLD, [day])
        list(run_repair(scene.setting, LENIENT, plan, progress=scene.said.append))

    def repair_second(at: Point, _: str) -> None:
        if at == "rows_marked" and not done:
            done.append(at)
            repair(second)

    repair(first)  # which puts rows into the table that are in quarantine still
    lacks = expected(scene.tape(), LEAST).table - scene.now().table
    assert lacks == Counter({((1, 0), -2): 1, ((1, 0), -3): 1, ((1, 1), -4): 1})
    with at_points(repair_second):
        assert scene.release(LENIENT).released == 0, "all are there by the repairs"
    assert scene.now() == expected(scene.tape(), LEAST)


def test_a_repair_that_a_release_overtakes_looks_anew(held_back: Scene, tmp_path: Path) -> None:
    scene, done = held_back.copied(tmp_path), list[int]()
    days = sorted({r["_arrival_date"] for r in rows_of(scene.lake.folder(orders.name))})

    def release_first(at: Point, _: str) -> None:
        if at == "slice_written" and not done:
            done.append(scene.release(LENIENT).released)

    with at_points(release_first):
        plan = plan_repair(scene.lake, LENIENT, SOLD, days)
        list(run_repair(scene.setting, LENIENT, plan, progress=scene.said.append))
    assert done == [5]
    assert scene.now() == expected(scene.tape(), LEAST)


def test_other_values_of_a_row_are_released_where_the_table_has_nothing_else_of_its_address(
    held_back: Scene, tmp_path: Path
) -> None:
    """Of (0, 2) the table has what the function gave before: its other row is another one today."""
    scene = held_back.copied(tmp_path)
    before = scene.now()
    scene.release(shop_of(-5, times=2))
    new: Counter[tuple[Address, int | None]] = Counter({((0, 1), -2): 1, ((1, 0), -4): 1})
    now = scene.now()
    assert now.table == before.table + Counter({((0, 1), -2): 1}), "-4 passes, and -6 beside it does not"
    assert now.held == before.held - Counter({((0, 1), -1): 1})
    scene.release(shop_of(-8, times=2), "_row < 3")
    now = scene.now()
    new |= Counter({((1, 0), -6): 1, ((1, 1), -8): 1})
    assert now.table == before.table + new
    assert now.held == Counter({((0, 2), -1): 1, ((0, 3), -6): 1})


def test_rows_of_a_batch_that_is_not_in_yet_are_left_to_it(held_back: Scene, tmp_path: Path) -> None:
    scene = Scene(held_back.setting.spark, tmp_path)
    scene.land([[3], [-1]])
    scene.drain(STRICT)
    scene.land([[3, -1], [-2]])

    def dies(at: Point, what: str) -> None:
        if (at, what) == ("after_rejects", str(SOLD)):
            raise Crash(at)

    with at_points(dies), pytest.raises(Crash):
        scene.drain(STRICT)
    assert scene.release(LENIENT).released == 1
    scene.drain(STRICT)
    assert scene.now().table == expected(scene.tape(), 0).table + Counter({((0, 1), -1): 1})
    scene.release(LENIENT)
    assert scene.now() == expected(scene.tape(), LEAST)


ONCE, ONCE_LENIENT = (shop_of(least, unique=["n"]) for least in (0, -5))


def test_of_unique_rows_those_that_are_there_already_are_duplicates_and_no_stream_runs_meanwhile(
    spark: SparkSession, tmp_path: Path
) -> None:
    scene = Scene(spark, tmp_path)
    scene.land([[-1], [2], [-2], [-2, -7]])
    scene.drain(ONCE)
    scene.land([[2], [-1]])
    scene.drain(ONCE_LENIENT)
    assert scene.now().table == Counter({((0, 1), 2): 1, ((1, 1), -1): 1})
    with lease(scene.lake, HOST, "stream"), pytest.raises(HostRunning, match="another host has the lake"):
        scene.release(ONCE_LENIENT)
    done = scene.release(ONCE_LENIENT)
    assert (done.chosen, done.taken, done.released, done.duplicates) == (4, 3, 1, 2)
    now = scene.now()
    assert now.table == Counter({((0, 1), 2): 1, ((1, 1), -1): 1, ((0, 2), -2): 1})
    assert now.held == Counter({((0, 3), -7): 1})
    assert now.dropped == Counter({((0, 0), -1): 1, ((0, 3), -2): 1, ((1, 0), 2): 1})
    twice = [r["reasons"] for r in rows_of(scene.lake.rejects(SOLD)) if r["on_fail"] == "drop"]
    assert twice == [["duplicate"]] * 3
    scene.land([[-2], [5]])
    scene.drain(ONCE_LENIENT)
    assert scene.now().table == now.table + Counter({((2, 1), 5): 1})
    is_sound(scene, ONCE_LENIENT)


def test_what_is_released_into_a_slice_that_a_replay_has_kept_goes_live_with_it(
    held_back: Scene, tmp_path: Path
) -> None:
    scene = held_back.copied(tmp_path)
    scene.release(LENIENT, "_row = 1 AND _batch_id = 0")
    plan = plan_replay(scene.lake, LENIENT, [SOLD], from_version=2)
    assert [step.kept_from for step in plan.steps] == [1, None]
    run_replay(scene.setting, LENIENT, plan, promote="hold", progress=scene.said.append)
    scene.release(LENIENT, "_batch_id = 0")
    promote_replay(scene.setting, LENIENT, force=True, progress=scene.said.append)
    assert scene.now(2).table == expected(scene.tape(), LEAST).table


def test_what_cannot_be_released_is_refused_with_what_to_do(held_back: Scene, tmp_path: Path) -> None:
    other = shop_of(-5, on_change="replay")
    with pytest.raises(LogicChanged, match="would be of another logic") as changed:
        held_back.release(other)
    assert changed.value.hint is not None
    assert changed.value.hint.startswith("Replay it")
    with pytest.raises(ReleaseRefused, match=r"cannot be chosen by 'colour = 1'.*colour") as unknown:
        held_back.release(STRICT, "colour = 1")
    assert "_batch_id, _row, _arrived_at, _arrival_date, reasons, row, generation, batch, on_fail" in str(unknown.value)
    with pytest.raises(ReleaseRefused, match="fails on some row"):
        held_back.release(STRICT, "cast(row AS int) = 1")
    with pytest.raises(ReleaseRefused, match="releases no rows"):
        release_rows(held_back.setting, STRICT, by_number.name, "true")
    with pytest.raises(ReleaseRefused, match="is not written yet"):
        Scene(held_back.setting.spark, tmp_path).release(STRICT)


def test_the_command_says_what_became_of_the_rows(held_back: Scene, tmp_path: Path) -> None:
    scene = held_back.copied(tmp_path)
    places = ["--lake", str(scene.lake.root), "--pipeline", "kappa_assets_tests.repair.released_shop", "--json"]
    found = CliRunner().invoke(main, ["release", str(SOLD), "--where", "_batch_id = 1", *places])
    assert found.exit_code == 0, found.stderr
    told = {"table": str(SOLD), "generation": 1, "chosen": 3, "released": 3, "duplicates": 0, "in_quarantine": 0}
    assert json.loads(found.stdout) == [told]
