"""The checks of tables, on logs written by hand: each way to be wrong is found, and nothing else is."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from kappa_assets.health import CHECKS, CheckOutcome, HealthChecks, checks_of, run_checks
from kappa_assets.host.host_status import HostStatus, QueryState, QueryStatus, write_status
from kappa_assets.log import delta_log
from kappa_assets.log.note import CommitNote
from kappa_assets.names import TableName
from kappa_assets.place.local.leases.lease import HOST
from kappa_assets.place.local.leases.lock import exclusive
from kappa_assets.place.port import StoredTable
from kappa_assets_tests.written_logs import CLICKS, PAGES, PIPELINE, VISITS, WrittenLake


@pytest.fixture
def web(lake_path: Path) -> WrittenLake:
    return WrittenLake(lake_path)


def check(
    web: WrittenLake, table: TableName, name: str, *, after: float = 0, landing: Path | None = None
) -> CheckOutcome:
    now = web.now + dt.timedelta(seconds=after)
    found = run_checks(web.lake, PIPELINE, landing=landing, now=now)
    return next(o for o in found if (o.table, o.check) == (table, name))


def say(
    web: WrittenLake, state: QueryState, error: str | None = None, *, age: float = 0, pid: int | None = None
) -> None:
    """Write a heartbeat in which every table is in the same state."""
    at = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age)).isoformat()
    queries = tuple(QueryStatus(str(t.name), 1, state, error, failures=5 if error else 0) for t in PIPELINE)
    HOST.lock(web.lake).parent.mkdir(parents=True, exist_ok=True)
    write_status(web.lake, HostStatus(pid or os.getpid(), "stream", at, at, 1, queries))


def test_every_table_gets_the_checks_of_its_layer(web: WrittenLake) -> None:
    found = [(o.table, o.check) for o in run_checks(web.lake, PIPELINE)]
    assert found == [(t.name, name) for t in PIPELINE for name in checks_of(t)]
    assert {name for _, name in found} == set(CHECKS)


def test_a_healthy_lake_passes_everything(web: WrittenLake) -> None:
    web.read(PAGES, upto=web.read(VISITS, upto=web.land()))
    web.read(PAGES, upto=web.read(VISITS, upto=web.land(), since=1), since=1)
    web.commit(CLICKS, None, add={"2026-03-01": 6}, remove=True, data_change=False, operation="OPTIMIZE")
    say(web, "running")
    with exclusive(HOST.lock(web.lake), "stream"):
        found = run_checks(web.lake, PIPELINE, now=web.now)
    assert [o for o in found if not o.passed] == []


def test_caught_up_allows_two_minutes_and_a_gold_its_every_beside(web: WrittenLake) -> None:
    web.read(PAGES, upto=web.read(VISITS, upto=web.land()))
    web.land()
    assert check(web, VISITS, "caught_up", after=120).passed
    late = check(web, VISITS, "caught_up", after=121)
    assert (late.passed, late.severity) == (False, "warn")
    assert (late.facts["lag_batches"], late.facts["lag_seconds"]) == (1, 121.0)
    assert (late.facts["position_batch"], late.facts["head_batch"]) == (0, 1)
    assert check(web, PAGES, "caught_up", after=720).passed
    assert not check(web, PAGES, "caught_up", after=721).passed


def test_caught_up_knows_what_has_been_waiting_before_the_tape(web: WrittenLake) -> None:
    web.read(PAGES, upto=web.read(VISITS, upto=web.land()))
    HOST.lock(web.lake).parent.mkdir(parents=True, exist_ok=True)
    at = dt.datetime.now(dt.UTC).isoformat()

    def found(of: QueryStatus, *, speaks: bool = True) -> CheckOutcome:
        write_status(web.lake, HostStatus(os.getpid() + (not speaks), "stream", at, at, 1, (of,)))
        with exclusive(HOST.lock(web.lake), "stream"):
            return check(web, VISITS, "caught_up")

    def waiting(records: int, seconds: float) -> QueryStatus:
        return QueryStatus(str(CLICKS), 1, "running", unread={"0": records, "1": 1}, unread_seconds=seconds)

    assert found(waiting(6, 120.0)).passed, "no longer than a row may wait on the tape"
    late = found(waiting(6, 121.0))
    assert (late.passed, late.facts["unread"], late.facts["unread_seconds"]) == (False, 7, 121.0)
    assert late.summary.endswith("7 records wait to be put on the tape; some have for 121 s.")
    assert found(waiting(6, 121.0), speaks=False).passed, "what a host said that is gone is not true any more"
    none = found(QueryStatus(str(CLICKS), 1, "running"))
    assert (none.passed, "unread" in none.facts) == (True, False)


def test_caught_up_says_when_a_table_is_held(web: WrittenLake) -> None:
    web.land()
    say(web, "held", "generation 1 was written by other logic")
    with exclusive(HOST.lock(web.lake), "stream"):
        assert check(web, VISITS, "caught_up").summary.startswith("Held")
        assert check(web, VISITS, "stream_healthy").severity == "warn"


def test_logic_current_asks_for_a_replay_when_other_logic_wrote_the_live_table(lake_path: Path) -> None:
    found = check(WrittenLake(lake_path, logic="0ld"), VISITS, "logic_current")
    assert not found.passed
    assert "replay" in found.summary.lower()
    assert found.facts["live_code_version"] == "0ld"


@pytest.mark.parametrize("batch", [0, 2, 7])
def test_a_batch_that_does_not_follow_the_one_before_breaks_the_tape(web: WrittenLake, batch: int) -> None:
    web.land()
    assert check(web, CLICKS, "tape_continuous").passed
    web.land(batch=batch)
    found = check(web, CLICKS, "tape_continuous")
    assert (found.passed, found.severity) == (False, "error")
    assert found.rows == ({"version": 2, "batch": batch, "version_before": 1, "batch_before": 0},)


@pytest.mark.parametrize("since", [None, 0, 2])
def test_a_commit_that_does_not_read_on_where_the_last_one_stopped_breaks_the_tiling(
    web: WrittenLake, since: int | None
) -> None:
    web.read(VISITS, upto=web.land())
    web.read(VISITS, upto=web.land(), since=since)
    found = check(web, VISITS, "tape_continuous")
    assert (found.passed, found.facts["breaks"], found.rows[0]["version"]) == (False, 1, 2)


def test_a_break_is_found_whether_it_came_before_or_after_the_first_look(web: WrittenLake) -> None:
    web.read(VISITS, upto=web.land())
    health = HealthChecks(web.lake, PIPELINE)
    health.run(now=web.now)
    web.read(VISITS, upto=web.land(), since=0)
    web.land(batch=9)
    seen = {(o.table, o.check): o for o in health.run(now=web.now)}
    fresh = {(o.table, o.check): o for o in run_checks(web.lake, PIPELINE, now=web.now)}
    assert seen == fresh
    assert not seen[VISITS, "tape_continuous"].passed
    assert not seen[CLICKS, "tape_continuous"].passed


@pytest.mark.parametrize(
    ("note", "remove", "operation", "word"),
    [
        (None, False, "WRITE", "wrote"),
        (None, True, "DELETE", "took rows away"),
        (CommitNote(str(VISITS), 1, 0, ""), False, "WRITE", "wrote"),
    ],
)
def test_append_only_names_the_commit_of_somebody_else(
    web: WrittenLake, note: CommitNote | None, *, remove: bool, operation: str, word: str
) -> None:
    web.land()
    version = web.commit(CLICKS, note, add={"2026-03-01": 1}, remove=remove, operation=operation)
    found = check(web, CLICKS, "append_only")
    assert (found.passed, found.severity) == (False, "error")
    assert found.rows[0]["version"] == version
    assert word in str(found.rows[0]["what"])


def test_without_a_host_a_stream_is_amber_and_after_a_parked_one_red(web: WrittenLake) -> None:
    off = check(web, VISITS, "stream_healthy")
    assert (off.passed, off.severity) == (False, "warn")
    say(web, "parked", "no such column: price")
    ended = check(web, VISITS, "stream_healthy")
    assert (ended.passed, ended.severity) == (False, "error")
    assert "no such column: price" in ended.summary


@pytest.mark.parametrize(
    ("state", "error", "age", "passed", "severity"),
    [
        ("running", None, 0, True, "warn"),
        ("waiting", None, 0, True, "warn"),
        ("backoff", "disk full", 0, False, "error"),
        ("parked", "disk full", 0, False, "error"),
        ("running", None, 3600, False, "error"),
    ],
)
def test_stream_healthy_repeats_what_the_living_host_says(
    web: WrittenLake, state: QueryState, error: str | None, age: float, *, passed: bool, severity: str
) -> None:
    say(web, state, error, age=age)
    with exclusive(HOST.lock(web.lake), "stream"):
        found = check(web, VISITS, "stream_healthy")
    assert (found.passed, found.severity) == (passed, severity)
    assert error is None or error in found.summary


def test_a_host_that_has_not_spoken_yet_is_starting_whatever_its_predecessor_said(web: WrittenLake) -> None:
    say(web, "parked", "disk full", pid=os.getpid() + 1)
    with exclusive(HOST.lock(web.lake), "stream"):
        found = check(web, VISITS, "stream_healthy")
    assert (found.passed, found.summary) == (True, "A host is starting.")


def test_files_set_aside_lately_are_named_and_older_ones_only_listed(web: WrittenLake) -> None:
    old, new = web.now - dt.timedelta(days=3), web.now - dt.timedelta(hours=1)
    columns = {"file": ["a.csv", "b.csv"], "reason": ["cut off", "rubbish"], "batch": [1, 2], "at": [old, new]}
    write_deltalake(web.lake.rejects(CLICKS), pa.table(columns))
    say(web, "running")
    with exclusive(HOST.lock(web.lake), "stream"):
        found = check(web, CLICKS, "stream_healthy")
        later = check(web, CLICKS, "stream_healthy", after=48 * 3600)
    assert (found.passed, found.severity) == (False, "warn")
    assert "b.csv" in found.summary
    assert "a.csv" not in found.summary
    assert [(r["name"], r["detail"]) for r in found.rows] == [("b.csv", "rubbish"), ("a.csv", "cut off")]
    assert later.passed
    assert later.facts["files_set_aside"] == 2


def test_a_slice_before_the_start_is_told_of_and_is_no_fault(web: WrittenLake) -> None:
    web.land(day="2025-12-24", rows=7)
    say(web, "running")
    with exclusive(HOST.lock(web.lake), "stream"):
        found = check(web, CLICKS, "stream_healthy")
    assert found.passed
    assert "7 rows lie in slices before 2026-02-01" in found.summary
    assert (found.rows[0]["name"], found.facts["rows_before_start"]) == ("2025-12-24", 7)


def test_rows_with_a_time_of_arrival_that_cannot_be_are_counted_and_are_no_fault(web: WrittenLake) -> None:
    for implausible in (0, 4, 3):
        web.land(implausible=implausible)
    say(web, "running")
    with exclusive(HOST.lock(web.lake), "stream"):
        found = check(web, CLICKS, "stream_healthy")
    assert found.passed
    assert "7 rows gave a time of arrival that cannot be" in found.summary
    assert found.facts["implausible_arrivals"] == 7


def test_a_second_look_reads_no_commit_again(web: WrittenLake, monkeypatch: pytest.MonkeyPatch) -> None:
    web.read(PAGES, upto=web.read(VISITS, upto=web.land()))
    health = HealthChecks(web.lake, PIPELINE)
    first = health.run(now=web.now)
    read: list[tuple[str, int]] = []
    original = delta_log.read_commit

    def counted(table: StoredTable, version: int) -> delta_log.Commit:
        read.append((table.name, version))
        return original(table, version)

    monkeypatch.setattr(delta_log, "read_commit", counted)
    assert health.run(now=web.now) == first
    assert read == []
    web.land()
    health.run(now=web.now)
    assert set(read) == {("bronze.clicks", 2)}


def test_a_tape_that_was_removed_and_made_anew_is_looked_at_anew(web: WrittenLake, tmp_path: Path) -> None:
    web.land(batch=5)
    web.land(batch=6)
    health = HealthChecks(web.lake, PIPELINE)
    broken = next(o for o in health.run(now=web.now) if o.check == "tape_continuous")
    web.lake.folder(CLICKS).rename(tmp_path / "away")
    empty = next(o for o in health.run(now=web.now) if o.check == "tape_continuous")
    assert (broken.passed, broken.facts["batches"]) == (False, 2)
    assert (empty.passed, empty.facts["batches"]) == (True, 0)
