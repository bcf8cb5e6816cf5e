"""The check of what a Silver expects: what fails is said as loudly as it is declared, and no row is unaccounted for."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import pytest

from kappa_assets import Files, Pipeline, bronze, expect, late, silver
from kappa_assets.errors import ExpectationFailed
from kappa_assets.health import CheckOutcome, run_checks
from kappa_assets.host.host_status import HostStatus, QueryStatus, write_status
from kappa_assets.log.note import CommitNote
from kappa_assets.place.local.leases.lease import HOST
from kappa_assets_tests.written_logs import WrittenLake

clicks = bronze("clicks", source=Files("clicks"))
RULES = [
    expect("timely", "at IS NOT NULL", on_fail="warn"),
    expect("known", "page <> ''", on_fail="drop"),
    expect("whole", "bytes > 0", on_fail="quarantine"),
    expect("signed", "sign IS NOT NULL", on_fail="fail"),
]


@silver(expect=RULES)
def visits(clicks: Any) -> Any:
    return clicks


@silver
def plain(clicks: Any) -> Any:
    return clicks


WEB = Pipeline.from_tables("web", [clicks, visits, plain])


TIMES = late("at", after="1 day", policy="drop", ahead="1 hour", ahead_policy="quarantine")


@silver(late=TIMES, unique=["page"], unique_within="2 days")
def timed(clicks: Any) -> Any:
    return clicks


TIMED = Pipeline.from_tables("timed", [clicks, timed])


@pytest.fixture
def web(lake_path: Path) -> WrittenLake:
    return WrittenLake(lake_path, pipeline=WEB)


def commit(web: WrittenLake, rows: int, **said: Any) -> int:
    note = CommitNote(str(visits.name), 1, 0, "logic", rows=rows, **said)
    return web.commit(visits.name, note, add={"2026-03-01": rows} if rows else {})


def found(web: WrittenLake, *, after: dt.timedelta = dt.timedelta(0)) -> CheckOutcome:
    outcomes = {o.table: o for o in run_checks(web.lake, WEB, now=web.now + after) if o.check == "expectations"}
    assert set(outcomes) == {visits.name, plain.name}
    assert outcomes[plain.name].passed
    return outcomes[visits.name]


def test_rows_that_are_dropped_are_numbers_of_a_check_that_passes(web: WrittenLake) -> None:
    assert found(web).facts["rows_given"] == 0
    commit(web, 6, judged={"given": 8, "dropped": 2}, rejected={"known": 2})
    commit(web, 2, judged={"given": 2})
    outcome = found(web)
    assert outcome.passed
    numbers = {"rows_given": 10, "rows_written": 8, "rows_dropped": 2, "rows_quarantined": 0}
    assert outcome.facts.items() >= {**numbers, "failed_known": 2, "failed_share_known": 0.2}.items()


def test_rows_that_are_released_are_counted_and_in_no_balance_of_what_was_given(web: WrittenLake) -> None:
    commit(web, 5, judged={"given": 8, "quarantined": 3}, rejected={"whole": 3})
    assert "rows_released" not in found(web).facts
    commit(web, 2, judged={"released": 2})
    outcome = found(web)
    assert outcome.severity == "warn"
    numbers = {"rows_given": 8, "rows_written": 5, "rows_quarantined": 3, "rows_released": 2}
    assert outcome.facts.items() >= numbers.items()


def test_a_note_of_before_there_were_numbers_is_in_no_balance(web: WrittenLake) -> None:
    commit(web, 6, rejected={"known": 2})
    assert (found(web).passed, found(web).facts["rows_given"]) == (True, 0)


@pytest.mark.parametrize(
    ("said", "rows"),
    [
        ({"judged": {"given": 5}, "warned": {"timely": 1}}, 5),
        ({"judged": {"given": 6, "quarantined": 1}, "rejected": {"whole": 1}}, 5),
    ],
)
def test_rows_that_warn_or_wait_in_quarantine_are_told_of_for_a_day(
    web: WrittenLake, said: dict[str, Any], rows: int
) -> None:
    commit(web, rows, **said)
    outcome = found(web)
    assert (outcome.passed, outcome.severity) == (False, "warn")
    (name,) = {**said.get("warned", {}), **said.get("rejected", {})}
    assert f"1 {name} (" in outcome.summary
    assert found(web, after=dt.timedelta(days=1, minutes=1)).passed


@pytest.mark.parametrize("rows", [4, 6])
def test_a_row_that_is_lost_or_doubled_is_an_error(web: WrittenLake, rows: int) -> None:
    version = commit(web, rows, judged={"given": 8, "dropped": 2, "quarantined": 1}, rejected={"known": 2, "whole": 1})
    outcome = found(web)
    assert (outcome.passed, outcome.severity) == (False, "error")
    assert f"Version {version} wrote {rows} rows and set 3 aside of 8" in outcome.summary
    assert [row["version"] for row in outcome.rows] == [version]


def test_a_table_that_is_parked_by_an_expectation_is_an_error_that_says_which(web: WrittenLake) -> None:
    at = web.now.isoformat()
    error = f"silver.visits {ExpectationFailed.SAYS} bronze.clicks batches 3 to 4: 1 of 9 rows fail 'signed'"
    query = QueryStatus(str(visits.name), 1, "parked", error, failures=1)
    HOST.lock(web.lake).parent.mkdir(parents=True, exist_ok=True)
    write_status(web.lake, HostStatus(os.getpid(), "stream", at, at, 1, (query,)))
    outcome = found(web)
    assert (outcome.passed, outcome.severity) == (False, "error")
    assert "'signed'" in outcome.summary


def test_late_and_repeated_rows_are_numbers_and_those_that_wait_are_told_of(lake_path: Path) -> None:
    web = WrittenLake(lake_path, pipeline=TIMED)

    def commit(rows: int, judged: dict[str, int], delays: dict[str, int]) -> CheckOutcome:
        reasons: dict[str, int] = {name: judged[name] for name in ("late", "ahead", "duplicate") if name in judged}
        note = CommitNote(str(timed.name), 1, 0, "logic", rows=rows, judged=judged, delays=delays, rejected=reasons)
        web.commit(timed.name, note, add={"2026-03-01": rows})
        return next(o for o in run_checks(web.lake, TIMED, now=web.now) if o.check == "expectations")

    told = {"given": 10, "late": 2, "out_of_time": 2, "duplicate": 3}
    outcome = commit(5, told, {"0": 7, "7_to_29": 2, "unknown": 1})
    summary = "10 rows in the last day, 0 of them dropped, 2 came late, 3 were there already."
    assert (outcome.passed, outcome.summary) == (True, summary)
    numbers = {"rows_given": 10, "rows_written": 5, "rows_late": 2, "rows_ahead": 0, "rows_out_of_time": 2}
    numbers |= {"rows_duplicate": 3}
    delays = {"delay_days_0": 7, "delay_days_6": 0, "delay_days_7_to_29": 2, "delay_days_unknown": 1}
    assert outcome.facts.items() >= {**numbers, **delays}.items()
    outcome = commit(4, {"given": 6, "late": 1, "ahead": 1, "out_of_time": 2}, {"0": 6})
    assert (outcome.passed, outcome.severity) == (False, "warn")
    assert outcome.summary == "Of 16 rows in the last day, fail: 1 ahead (quarantine)."
    outcome = commit(5, {"given": 6, "late": 2, "out_of_time": 2}, {})
    assert (outcome.passed, outcome.severity) == (False, "error")
