"""The switch's decision, state by state: when it asks for a run, when it waits, and what it says."""

from __future__ import annotations

from typing import Literal

import pytest

from kappa_assets.host.host_status import HostStatus, QueryStatus
from kappa_assets.host.host_watch import Judgement
from kappa_assets.orchestration.sensors.stream_decision import (
    BOOTING,
    GIVE_UP_AFTER,
    HEALTHY,
    Decision,
    RunSeen,
    Seen,
    decide,
)
from kappa_assets.place.local.leases.lock import Holder
from kappa_assets.place.local.leases.machine import Moment

NOW, UPTIME = 1_000_000.0, 5_000.0
FROZEN = Judgement("frozen", "the kernel says that it is stopped")
HOLDER = Holder(7, "here", "2026-01-01T00:00:00+00:00", "stream", 1, "run-a")


def run(
    name: str,
    status: str,
    *,
    lived: float = 10,
    ended: float = 0,
    terminated: float | None = None,
) -> RunSeen:
    """Return a run that ended `ended` seconds ago after `lived` seconds, or has lived so long if it is open."""
    is_open = status not in ("SUCCESS", "FAILURE", "CANCELED")
    begun = NOW - ended - lived
    return RunSeen(name, status, begun, begun, None if is_open else NOW - ended, terminated)


def heartbeat(
    age: float,
    *,
    run_id: str | None = "run-a",
    pid: int = 7,
    queries: tuple[QueryStatus, ...] = (),
    ended: str | None = None,
) -> HostStatus:
    at = "2026-01-01T00:00:00+00:00"
    return HostStatus(pid, "stream", at, at, 1, queries, run_id, ended, "boot", UPTIME - age)


def decided(
    *runs: RunSeen,
    holder: Holder | None = None,
    status: HostStatus | None = None,
    judged: Judgement | None = None,
    on: float | None = None,
    error: str = "",
) -> Decision:
    thought = judged or Judgement("none" if holder is None else "alive")
    return decide(Seen(Moment(NOW, UPTIME, "boot"), holder, thought, status, runs, on, error))


def test_the_first_time_a_run_is_asked_for() -> None:
    assert decided().ask is not None


def test_while_a_host_lives_nothing_is_asked_for_whatever_dagster_believes() -> None:
    assert decided(run("run-a", "FAILURE"), holder=HOLDER, status=heartbeat(1)).ask is None
    assert decided(holder=HOLDER).ask is None


def test_a_living_host_is_named_with_the_tables_that_do_not_move() -> None:
    held = QueryStatus("silver.sales", 1, "held", "other logic\nand more")
    said = decided(holder=HOLDER, status=heartbeat(1, queries=(held,))).reason
    assert "process 7" in said
    assert "silver.sales is held: other logic" in said


@pytest.mark.parametrize("status", ["NOT_STARTED", "QUEUED", "STARTING", "STARTED", "MANAGED", "CANCELING"])
def test_while_a_run_is_on_its_way_no_other_is_asked_for(status: str) -> None:
    decision = decided(run("run-a", status))
    assert decision.ask is None
    assert not decision.fail
    assert status.lower() in decision.reason


def test_a_started_run_without_the_lock_is_dead_after_a_while_and_replaced() -> None:
    decision = decided(run("run-a", "STARTED", lived=BOOTING + 1))
    assert set(decision.fail) == {"run-a"}


def test_a_started_run_that_let_go_of_the_lock_without_a_word_is_dead_at_once() -> None:
    decision = decided(run("run-a", "STARTED", lived=60), status=heartbeat(15))
    assert set(decision.fail) == {"run-a"}
    assert not decided(run("run-a", "STARTED", lived=60), status=heartbeat(2)).fail
    assert not decided(run("run-a", "STARTED", lived=60), status=heartbeat(15), holder=HOLDER).fail


def test_a_started_run_whose_host_said_how_it_ended_is_given_time_to_end_itself() -> None:
    ended = [heartbeat(age, ended="the switch is off") for age in (15, BOOTING + 1)]
    assert [set(decided(run("run-a", "STARTED"), status=status).fail) for status in ended] == [set(), {"run-a"}]


def test_a_run_left_in_canceling_is_cleaned_up_even_while_another_host_lives() -> None:
    decision = decided(run("run-b", "CANCELING", lived=BOOTING + 1), holder=HOLDER, status=heartbeat(1))
    assert set(decision.fail) == {"run-b"}
    assert decision.ask is None


def test_a_frozen_host_is_replaced_and_its_run_failed_so_that_the_queue_is_free() -> None:
    decision = decided(run("run-a", "STARTED", lived=500), holder=HOLDER, status=heartbeat(70), judged=FROZEN)
    assert decision.ask is not None
    assert set(decision.fail) == {"run-a"}
    assert "frozen" in decision.reason


def test_while_the_frozen_hosts_successor_is_on_its_way_no_other_is_asked_for() -> None:
    decision = decided(run("run-b", "STARTED"), run("run-a", "FAILURE"), holder=HOLDER, judged=FROZEN)
    assert decision.ask is None


@pytest.mark.parametrize("verdict", ["alive", "unsure"])
def test_a_host_without_a_heartbeat_lives_as_long_as_the_kernel_says_nothing_else(
    verdict: Literal["alive", "unsure"],
) -> None:
    silent = Judgement(verdict, "no heartbeat for 900 s, but it works: is its disk full?")
    decision = decided(run("run-a", "STARTED", lived=5_000), holder=HOLDER, status=heartbeat(900), judged=silent)
    assert (decision.ask, decision.fail) == (None, {})
    assert "is its disk full?" in decision.reason


@pytest.mark.parametrize("step", [-7200.0, 7200.0])
def test_a_step_of_the_wall_clock_kills_no_host_and_delays_no_start(step: float) -> None:
    streams, failed = run("run-a", "STARTED", lived=60), run("run-a", "FAILURE", ended=20)
    moment = Moment(NOW + step, UPTIME, "boot")
    alive = Seen(moment, HOLDER, Judgement("alive"), heartbeat(1), (streams,), None)
    assert (decide(alive).ask, decide(alive).fail) == (None, {})
    just_gone = Seen(moment, None, Judgement("none"), heartbeat(1), (streams,), None)
    assert decide(just_gone).fail == {}
    assert decide(Seen(moment, None, Judgement("none"), None, (failed,), None)).ask is not None


def test_after_a_run_that_ended_well_a_new_one_is_asked_for() -> None:
    assert decided(run("run-a", "SUCCESS")).ask is not None


def test_the_same_state_asks_under_the_same_key_so_that_a_repeated_tick_starts_nothing_twice() -> None:
    seen = run("run-a", "SUCCESS")
    assert decided(seen, on=5).ask == decided(seen, on=5).ask
    assert decided(seen, on=5).ask != decided(seen, on=6).ask
    assert decided(seen).ask != decided(run("run-b", "SUCCESS")).ask


def test_after_a_failure_it_waits_longer_each_time_and_then_gives_up() -> None:
    waits = []
    for failures in range(1, GIVE_UP_AFTER):
        runs = [run(f"run-{n}", "FAILURE", ended=n) for n in range(failures)]
        for seconds in range(0, 400, 5):
            shifted = [run(r.id, "FAILURE", ended=seconds) for r in runs]
            if decided(*shifted).ask is not None:
                waits.append(seconds)
                break
    assert waits == [5, 10, 20, 40]
    decision = decided(*[run(f"run-{n}", "FAILURE", ended=10_000) for n in range(GIVE_UP_AFTER)], error="no Java")
    assert decision.ask is None
    assert "5 runs in a row failed" in decision.reason
    assert "no Java" in decision.reason


def test_a_run_that_streamed_well_before_it_died_begins_the_count_anew() -> None:
    well = run("run-0", "FAILURE", lived=HEALTHY, ended=5)
    assert decided(well, *[run(f"run-{n}", "FAILURE", ended=99) for n in range(1, 9)]).ask is not None


def test_turning_the_switch_off_and_on_forgives_all_failures() -> None:
    runs = [run(f"run-{n}", "FAILURE", ended=100 + n) for n in range(8)]
    assert decided(*runs).ask is None
    assert decided(*runs, on=NOW - 1).ask is not None


def test_a_terminated_run_stays_terminated_until_the_switch_is_turned_off_and_on() -> None:
    terminated = run("run-a", "CANCELED", lived=100, ended=5, terminated=NOW - 20)
    assert decided(terminated, on=NOW - 500).ask is None
    assert "off and on" in decided(terminated).reason
    assert decided(terminated, on=NOW - 10).ask is not None


def test_an_earlier_toggle_does_not_undo_a_terminate() -> None:
    assert decided(run("run-a", "CANCELED", lived=100, ended=5, terminated=NOW - 20), on=NOW - 50).ask is None
