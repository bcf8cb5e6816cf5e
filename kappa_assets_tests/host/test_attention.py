"""Queries that sleep while their upstream is still: with scripted queries, a log of empty files, and a moved clock."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from kappa_assets.errors import LogicError
from kappa_assets.host.attention import QUIET_AFTER, Attention
from kappa_assets.host.runner import Runner
from kappa_assets.kinds.query import TableQuery
from kappa_assets.place.local.stored_table import LocalStoredTable
from kappa_assets_tests.host.scripted_query import Clock, Script


class Scene:
    """One query below a table whose commits are made by hand, and a clock that only the test moves."""

    def __init__(self, tmp_path: Path, *, every: float = 0.0) -> None:
        self._log = tmp_path / "upstream" / "_delta_log"
        self._log.mkdir(parents=True)
        self._commits = 0
        self.commit()
        self.clock = Clock()
        self.script = Script(tmp_path / "checkpoint", every=every, upstreams=(LocalStoredTable(self._log.parent),))
        self.runner = Runner(cast("TableQuery", self.script), self.clock)

    def commit(self) -> None:
        (self._log / f"{self._commits:020d}.json").touch()
        self._commits += 1

    def after(self, seconds: float, *, coming: bool = False) -> tuple[str, int]:
        """Let time go by, tend the query, and return its state with the number of its starts."""
        self.clock.now += seconds
        self.runner.tend(coming=coming)
        return self.runner.status.state, self.script.started

    def ends(self, error: BaseException | None = None) -> None:
        """Spark ends the query."""
        assert self.script.streaming is not None
        self.script.streaming.end(error)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def asleep(scene: Scene) -> None:
    """Start the query and let it fall asleep."""
    assert scene.after(0) == ("running", 1)
    assert scene.after(QUIET_AFTER + 1) == ("waiting", 1)


def test_a_query_sleeps_once_its_upstream_is_still_and_wakes_with_its_next_commit(scene: Scene) -> None:
    assert scene.after(0) == ("running", 1)
    assert scene.after(QUIET_AFTER - 1) == ("running", 1)
    assert scene.after(2) == ("waiting", 1)
    assert scene.script.streaming is not None
    assert scene.script.streaming.stopped
    assert scene.after(10_000) == ("waiting", 1)
    scene.commit()
    assert scene.after(0) == ("running", 2)


def test_a_commit_or_a_batch_of_its_own_keeps_a_query_awake(scene: Scene) -> None:
    scene.after(0)
    scene.clock.now += QUIET_AFTER - 1
    scene.commit()
    assert scene.after(0) == ("running", 1)
    scene.clock.now += QUIET_AFTER - 1
    assert scene.script.callback is not None
    scene.script.callback("rows", 3)
    assert scene.after(QUIET_AFTER - 1) == ("running", 1)


def test_a_batch_above_wakes_a_query_before_there_is_anything_to_read(scene: Scene) -> None:
    asleep(scene)
    assert scene.after(5, coming=True) == ("running", 2)
    assert scene.after(QUIET_AFTER - 1) == ("running", 2), "the batch above takes its time"
    assert scene.after(2) == ("waiting", 2), "and may have written nothing"


def test_a_query_that_spark_is_looking_for_is_not_put_to_sleep(scene: Scene) -> None:
    scene.after(0)
    assert scene.script.streaming is not None
    scene.script.streaming.looking = True
    assert scene.after(QUIET_AFTER * 10) == ("running", 1)


def test_a_commit_between_sparks_last_look_and_the_stop_is_not_overslept(scene: Scene) -> None:
    scene.after(0)
    stop = scene.script.streaming.stop  # type: ignore[union-attr]

    def commit_and_stop() -> None:
        scene.commit()
        stop()

    scene.script.streaming.stop = commit_and_stop  # type: ignore[union-attr, method-assign]
    assert scene.after(QUIET_AFTER + 1) == ("waiting", 1)
    assert scene.after(0) == ("running", 2)


def test_a_batch_that_begins_while_the_query_is_put_to_sleep_is_done_at_the_next_look(scene: Scene) -> None:
    scene.after(0)
    callback, stop = scene.script.callback, scene.script.streaming.stop  # type: ignore[union-attr]
    assert callback is not None

    def batch_and_stop() -> None:
        with pytest.raises(Exception, match=r"^$"):
            callback("rows", 8)
        stop()

    scene.script.streaming.stop = batch_and_stop  # type: ignore[union-attr, method-assign]
    assert scene.after(QUIET_AFTER + 1) == ("waiting", 1)
    assert scene.script.applied == []
    assert scene.after(0) == ("running", 2)


def test_a_query_that_fails_after_it_slept_is_tried_again_without_news(scene: Scene) -> None:
    asleep(scene)
    scene.commit()
    assert scene.after(0) == ("running", 2)
    scene.ends(LogicError("division by zero"))
    assert scene.after(0) == ("backoff", 2)
    assert scene.after(1) == ("running", 3)


def test_the_first_change_after_a_quiet_time_is_recomputed_at_once_and_the_next_not_before_its_time(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, every=60)
    assert scene.after(0) == ("running", 1)
    scene.ends()
    assert scene.after(1) == ("waiting", 1)
    assert scene.after(600) == ("waiting", 1), "nothing changed: there is nothing to recompute"
    scene.commit()
    assert scene.after(0) == ("running", 2), "the first change is applied at once"
    scene.commit()  # while it is recomputed
    scene.ends()
    assert scene.after(1) == ("waiting", 2)
    assert scene.after(58) == ("waiting", 2)
    assert scene.after(2) == ("running", 3), "what came meanwhile is in after a minute"
    scene.ends()
    assert scene.after(120) == ("waiting", 3)


def test_a_table_that_is_recomputed_whole_does_not_start_for_what_is_only_coming(tmp_path: Path) -> None:
    scene = Scene(tmp_path, every=60)
    scene.after(0)
    scene.ends()
    scene.after(0)
    assert scene.after(600, coming=True) == ("waiting", 1)


def test_a_tape_never_sleeps_for_it_looks_at_its_landing_folder_itself() -> None:
    clock = Clock()
    attention = Attention((), clock)
    attention.started()
    clock.now += 10_000
    attention.look(coming=False)
    assert attention.news
    assert not attention.long_quiet
