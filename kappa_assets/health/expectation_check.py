"""The check of what a table expects of its rows: which fail or come late, and whether every row is accounted for."""

from __future__ import annotations

import datetime as dt

from kappa_assets.declare.tables import AHEAD, DUPLICATE, LATE, Derived
from kappa_assets.errors import ExpectationFailed
from kappa_assets.health.checks import LATELY
from kappa_assets.health.host_seen import HostSeen
from kappa_assets.health.log_findings import Judged, LogFindings
from kappa_assets.health.outcome import EXPECTATIONS, CheckOutcome, Fact, Severity
from kappa_assets.log.note import (
    DELAYS,
    DROPPED,
    GIVEN,
    OUT_OF_TIME,
    QUARANTINED,
    RELEASED,
    REWRITTEN,
    SET_ASIDE,
    UNKNOWN_DELAY,
)


def expectations_met(table: Derived, log: LogFindings | None, host: HostSeen, now: dt.datetime) -> CheckOutcome:
    """Passes while rows of the last day meet what warns and quarantines, and all rows are written or set aside.

    Rows that are dropped are numbers, and fail no check: that is what the declaration wants of them. Of a table whose
    batches write rows in the place of others, a row counts as often as it was written. It is an error
    when the table is parked by an expectation that no row may fail, and when rows of a commit are unaccounted for.
    """
    if not table.judges:
        return CheckOutcome(table.name, EXPECTATIONS, True, "warn", "Expects nothing of its rows.")
    lately = Judged()
    for at, hour in log.judged.items() if log else ():
        if at > now - LATELY:
            lately.add(hour)
    query = host.query(table.name)
    parked = query.error if query and query.error and ExpectationFailed.SAYS in query.error else None
    unbalanced = tuple(log.unbalanced) if log else ()
    noticed = _noticed(table, lately)
    severity: Severity = "error" if parked or unbalanced else "warn"
    rows, given = lately.rows, _given(lately)
    if unbalanced:
        first = unbalanced[0]
        summary = (
            f"Version {first['version']} wrote {first['rows']} rows and set {first['set_aside']} aside of "
            f"{first[GIVEN]} that the function gave. Repair the slice, or replay {table.name}."
        )
    elif parked:
        summary = f"Parked: {parked}"
    elif noticed:
        summary = f"Of {given:,} rows in the last day, fail: {', '.join(noticed)}."
    else:
        late = f", {rows[LATE]:,} came late" if table.late is not None else ""
        twice = f", {rows[DUPLICATE]:,} were there already" if table.unique else ""
        summary = f"{given:,} rows in the last day, {rows[DROPPED]:,} of them dropped{late}{twice}."
    shown = tuple(
        {"expectation": e.name, "condition": e.condition, "on_fail": e.on_fail, "failed": lately.failed[e.name]}
        for e in table.judged_by
    )
    passed = not (unbalanced or parked or noticed)
    return CheckOutcome(table.name, EXPECTATIONS, passed, severity, summary, _facts(table, lately), unbalanced or shown)


def _given(lately: Judged) -> int:
    """Return how many rows were judged."""
    return lately.rows[GIVEN] + lately.rows[REWRITTEN]


def _noticed(table: Derived, lately: Judged) -> list[str]:
    """Return in words what rows of the last day were noticed for: how many, and what became of them."""
    failed = lately.failed
    noticed = [e for e in table.judged_by if e.on_fail in ("warn", "quarantine") and failed[e.name]]
    told = [f"{failed[e.name]:,} {e.name} ({e.on_fail})" for e in noticed]
    if table.late is not None:
        policies = {LATE: table.late.policy, AHEAD: table.late.ahead_policy}
        waiting = [name for name, policy in policies.items() if policy == "quarantine" and lately.rows[name]]
        told += [f"{lately.rows[name]:,} {name} (quarantine)" for name in waiting]
    return told


def _facts(table: Derived, lately: Judged) -> dict[str, Fact]:
    """Return the numbers of the last day: rows by what became of them, by expectation and by their delay."""
    rows, given = lately.rows, _given(lately)
    facts: dict[str, Fact] = {
        "rows_given": given,
        "rows_written": given - sum(rows[fate] for fate in SET_ASIDE),
        "rows_dropped": rows[DROPPED],
        "rows_quarantined": rows[QUARANTINED],
    }
    if table.late is not None:
        facts |= {f"rows_{name}": rows[name] for name in (LATE, AHEAD, OUT_OF_TIME)}
        facts |= {f"delay_days_{name}": lately.delays[name] for name in (*DELAYS, UNKNOWN_DELAY)}
    if table.unique:
        facts["rows_duplicate"] = rows[DUPLICATE]
    if rows[RELEASED]:
        facts["rows_released"] = rows[RELEASED]
    for e in table.judged_by:
        facts[f"failed_{e.name}"] = lately.failed[e.name]
        facts[f"failed_share_{e.name}"] = round(lately.failed[e.name] / given, 6) if given else 0.0
    return facts
