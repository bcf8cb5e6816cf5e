"""The check of what a table expects of its rows: which fail lately, and whether every row is accounted for."""

from __future__ import annotations

import datetime as dt
from collections import Counter

from kappa_assets.declare.tables import Derived
from kappa_assets.errors import ExpectationFailed
from kappa_assets.health.checks import LATELY, HostSeen
from kappa_assets.health.log_findings import LogFindings
from kappa_assets.health.outcome import EXPECTATIONS, CheckOutcome, Severity
from kappa_assets.log.note import DROPPED, GIVEN, QUARANTINED, REWRITTEN


def expectations_met(table: Derived, log: LogFindings | None, host: HostSeen, now: dt.datetime) -> CheckOutcome:
    """Passes while rows of the last day meet what warns and quarantines, and all rows are written or set aside.

    Rows that are dropped are numbers, and fail no check: that is what the declaration wants of them. Of a table whose
    batches write rows in the place of others, a row counts as often as it was written. It is an error
    when the table is parked by an expectation that no row may fail, and when rows of a commit are unaccounted for.
    """
    if not table.judged_by:
        return CheckOutcome(table.name, EXPECTATIONS, True, "warn", "Expects nothing of its rows.")
    hours = [hour for at, hour in log.judged.items() if at > now - LATELY] if log else []
    rows = sum((hour.rows for hour in hours), Counter[str]())
    failed = sum((hour.failed for hour in hours), Counter[str]())
    given = rows[GIVEN] + rows[REWRITTEN]
    query = host.query(table.name)
    parked = query.error if query and query.error and ExpectationFailed.SAYS in query.error else None
    unbalanced = tuple(log.unbalanced) if log else ()
    noticed = [e for e in table.judged_by if e.on_fail in ("warn", "quarantine") and failed[e.name]]
    severity: Severity = "error" if parked or unbalanced else "warn"
    if unbalanced:
        first = unbalanced[0]
        summary = (
            f"Version {first['version']} wrote {first['rows']} rows and set {first['set_aside']} aside of "
            f"{first[GIVEN]} that the function gave. Repair the slice, or replay {table.name}."
        )
    elif parked:
        summary = f"Parked: {parked}"
    elif noticed:
        told = ", ".join(f"{failed[e.name]:,} {e.name} ({e.on_fail})" for e in noticed)
        summary = f"Of {given:,} rows in the last day, fail: {told}."
    else:
        summary = f"{given:,} rows in the last day, {rows[DROPPED]:,} of them dropped."
    facts: dict[str, int | float] = {
        "rows_given": given,
        "rows_written": given - rows[DROPPED] - rows[QUARANTINED],
        "rows_dropped": rows[DROPPED],
        "rows_quarantined": rows[QUARANTINED],
    }
    for e in table.judged_by:
        facts[f"failed_{e.name}"] = failed[e.name]
        facts[f"failed_share_{e.name}"] = round(failed[e.name] / given, 6) if given else 0.0
    shown = tuple(
        {"expectation": e.name, "condition": e.condition, "on_fail": e.on_fail, "failed": failed[e.name]}
        for e in table.judged_by
    )
    passed = not (unbalanced or parked or noticed)
    return CheckOutcome(table.name, EXPECTATIONS, passed, severity, summary, facts, unbalanced or shown)
