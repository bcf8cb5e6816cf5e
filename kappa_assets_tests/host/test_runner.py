"""One query kept running: restarts, back-off and parking, with scripted queries and a clock that only tests move."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from kappa_assets.errors import CheckpointMismatch, LakeError, LogicError, SourceError, TapeGap
from kappa_assets.host.host_status import QueryStatus
from kappa_assets.host.runner import Runner
from kappa_assets.kinds.query import TableQuery
from kappa_assets_tests.host.scripted_query import (
    Clock,
    Happening,
    Script,
    batch_then_fails,
    ends,
    fails,
    refuses,
)


def runner_of(tmp_path: Path, *happenings: Happening) -> tuple[Runner, Script, Clock]:
    script, clock = Script(tmp_path / "checkpoint", list(happenings)), Clock()
    return Runner(cast("TableQuery", script), clock), script, clock


def waits(runner: Runner, script: Script, clock: Clock, times: int) -> Sequence[float]:
    """Return how long the runner waits before each of its next starts, to the half second."""
    found = []
    for _ in range(times):
        began, before = clock.now, script.started
        runner.tend()
        while script.started == before:
            clock.now += 0.5
            assert clock.now - began < 120, "it never starts again"
            runner.tend()
        found.append(clock.now - began)
        runner.tend()
    return found


BROKEN = LogicError("division by zero")
SCHEMA = [RuntimeError(f"[DELTA_{sign}") for sign in ("SCHEMA_CHANGED_WITH_VERSION]", "STREAMING_METADATA_EVOLUTION]")]


def test_a_query_waits_for_its_upstream_and_then_runs(tmp_path: Path) -> None:
    runner, script, _ = runner_of(tmp_path)
    script.ready = False
    runner.tend()
    assert (runner.status.state, script.started) == ("waiting", 0)
    script.ready = True
    runner.tend()
    runner.tend()
    assert (runner.status.state, script.started) == ("running", 1)


def test_failures_are_tried_again_later_and_later_and_the_fifth_parks(tmp_path: Path) -> None:
    runner, script, clock = runner_of(tmp_path, *[fails(BROKEN)] * 5)
    assert waits(runner, script, clock, 5) == [0, 1, 2, 4, 8]
    assert (runner.status.state, runner.status.failures) == ("parked", 5)
    assert runner.status.error == "division by zero"
    clock.now += 10_000
    runner.tend()
    assert script.started == 5, "a parked query was started"


@pytest.mark.parametrize("error", [TapeGap("rows would be lost"), CheckpointMismatch("lost", hint="Put it back.")])
def test_positions_that_do_not_tile_are_no_fault_of_the_environment_and_park(tmp_path: Path, error: TapeGap) -> None:
    runner, script, clock = runner_of(tmp_path, *[fails(error)] * 5)
    assert waits(runner, script, clock, 5) == [0, 1, 2, 4, 8]
    assert (runner.status.state, runner.status.error) == ("parked", str(error))


def test_a_start_that_is_refused_counts_as_a_failure(tmp_path: Path) -> None:
    runner, script, clock = runner_of(tmp_path, *[refuses(BROKEN)] * 5)
    for _ in range(5):
        runner.tend()
        clock.now += 60
    assert (runner.status.state, script.started) == ("parked", 5)


@pytest.mark.parametrize(
    "cause",
    [
        LakeError("the disk is full"),
        SourceError("the landing folder is missing"),
        OSError(5, "Input/output error"),
        RuntimeError("java.io.IOException: No space left on device"),
        RuntimeError("java.io.FileNotFoundException: /x (Permission denied)"),
        RuntimeError("java.io.IOException: Read-only file system"),
        RuntimeError("[STREAM_FAILED] org.apache.kafka.common.errors.TimeoutException: Timed out waiting for a node"),
    ],
)
def test_what_the_environment_causes_is_waited_out_for_ever(tmp_path: Path, cause: BaseException) -> None:
    runner, script, clock = runner_of(tmp_path, *[fails(cause)] * 9)
    assert waits(runner, script, clock, 10)[-3:] == [30, 30, 30]
    assert runner.status.state == "running", "it runs again once the cause is gone"


def test_a_good_batch_forgets_earlier_failures(tmp_path: Path) -> None:
    good = batch_then_fails("rows", BROKEN)
    runner, script, clock = runner_of(tmp_path, fails(BROKEN), fails(BROKEN), good, fails(BROKEN))
    assert waits(runner, script, clock, 5) == [0, 1, 2, 1, 2]
    assert script.applied == [7]
    assert (runner.status.batch, runner.status.state) == (7, "running")


def test_our_own_error_is_told_and_not_sparks_wrapping_of_it(tmp_path: Path) -> None:
    wrapped = RuntimeError("[STREAM_FAILED] Query terminated\n\tat org.apache.spark.Foo\n\tat py4j.Bar")
    runner, _, _ = runner_of(tmp_path, batch_then_fails(BROKEN, wrapped))
    runner.tend()
    runner.tend()
    assert runner.status.error == "division by zero"


def test_frames_of_java_are_left_out_of_an_error(tmp_path: Path) -> None:
    runner, _, _ = runner_of(tmp_path, fails(RuntimeError("[SOME] What happened\n\tat org.apache.spark.Foo\n\n")))
    runner.tend()
    runner.tend()
    assert runner.status.error == "[SOME] What happened"


def test_a_changed_schema_restarts_at_once_after_every_batch_that_went_through(tmp_path: Path) -> None:
    runner, script, clock = runner_of(tmp_path, *[batch_then_fails("rows", error) for error in SCHEMA * 4])
    assert waits(runner, script, clock, 9) == [0] * 9
    assert (runner.status.state, runner.status.failures, runner.status.error) == ("running", 0, None)


def test_a_schema_that_stops_a_query_again_without_a_batch_is_waited_for_and_never_parks(tmp_path: Path) -> None:
    runner, script, clock = runner_of(tmp_path, *[fails(error) for error in SCHEMA * 5])
    assert waits(runner, script, clock, 9) == [0, 0, 1, 2, 4, 8, 16, 30, 30]
    assert runner.status == QueryStatus("silver.sales", 1, "backoff", str(SCHEMA[0]), failures=8)


def test_no_batch_begins_while_the_query_is_stopped_and_it_stays_stopped(tmp_path: Path) -> None:
    runner, script, _ = runner_of(tmp_path)
    runner.tend()
    streaming, callback = script.streaming, script.callback
    assert streaming is not None
    assert callback is not None
    runner.ask_to_stop()
    with pytest.raises(Exception, match=r"^$"):
        callback("rows", 8)
    runner.stop()
    assert (script.applied, streaming.stopped, runner.status.state) == ([], True, "stopped")
    runner.tend()
    assert script.started == 1


def test_draining_raises_what_made_the_batch_fail(tmp_path: Path) -> None:
    runner, _, _ = runner_of(tmp_path, batch_then_fails(BROKEN, RuntimeError("wrapped")))
    with pytest.raises(LogicError, match="division by zero"):
        runner.drain(lambda: None)
    assert runner.status.state == "parked"


def test_draining_tells_why_it_could_not_start(tmp_path: Path) -> None:
    runner, _, _ = runner_of(tmp_path, refuses(BROKEN))
    with pytest.raises(LogicError, match="division by zero"):
        runner.drain(lambda: None)
    assert (runner.status.state, runner.status.error) == ("parked", "division by zero")


@pytest.mark.parametrize("sign", [*SCHEMA, RuntimeError("assertion failed: Invalid batch: a#1 != a#2,b#3")], ids=str)
def test_draining_goes_on_over_every_change_of_the_schema_upstream(tmp_path: Path, sign: RuntimeError) -> None:
    changes = [batch_then_fails("rows", sign)] * 7
    runner, script, _ = runner_of(tmp_path, *changes, refuses(sign), fails(sign), batch_then_fails("rows", sign), ends)
    runner.drain(lambda: None)
    assert (script.started, script.applied, runner.status.state) == (11, [7] * 8, "stopped")


def test_draining_gives_up_on_a_schema_that_stops_it_five_times_before_a_batch(tmp_path: Path) -> None:
    runner, script, _ = runner_of(tmp_path, *[fails(SCHEMA[0])] * 9)
    with pytest.raises(RuntimeError, match="SCHEMA_CHANGED"):
        runner.drain(lambda: None)
    assert (script.started, runner.status.state) == (5, "parked")


def test_draining_ends_when_it_is_told_to(tmp_path: Path) -> None:
    runner, script, _ = runner_of(tmp_path)
    runner.drain(lambda: "Ctrl-C")
    assert script.streaming is not None
    assert script.streaming.stopped
    assert runner.status.state == "stopped"


def test_draining_a_table_without_upstream_is_over_at_once(tmp_path: Path) -> None:
    runner, script, _ = runner_of(tmp_path)
    script.ready = False
    runner.drain(lambda: pytest.fail("there is nothing to wait for"))
    assert script.started == 0


def test_leftovers_of_a_kill_are_cleaned_before_each_start(tmp_path: Path) -> None:
    runner, script, _ = runner_of(tmp_path)
    leftover = script.folder / "offsets" / ".0.77.tmp"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    runner.tend()
    assert not leftover.exists()
