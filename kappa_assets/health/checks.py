"""The checks themselves: pure functions from what was observed to what is said about it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kappa_assets.declare.tables import Derived
from kappa_assets.health.host_seen import HostSeen
from kappa_assets.health.log_findings import LogFindings
from kappa_assets.health.outcome import CheckOutcome, Severity
from kappa_assets.host.host_status import FROZEN_AFTER, QueryStatus
from kappa_assets.log.note import BEFORE_THE_TAPE, IMPLAUSIBLE, Position
from kappa_assets.log.tape import TapeCommit
from kappa_assets.names import TableName
from kappa_assets.place.registry import Generation
from kappa_assets.status import Stand

_LATE_AFTER = 120.0
"""Seconds a row may wait on the tape, beside the table's own `every`."""
LATELY = dt.timedelta(days=1)
_SHOWN = 50
"""Rows shown by one check."""


@dataclass(frozen=True)
class Arrivals:
    """What is worth saying about the files of a tape."""

    set_aside: Sequence[Mapping[str, object]] = ()
    """Files that were not taken, oldest first: file, reason, batch, at."""
    changed: Sequence[Mapping[str, object]] = ()
    """Files that changed after they were read: file, bytes_read, bytes_now, modified_now, read_at."""
    early_slices: Mapping[str, int] | None = None
    """Rows in slices before the pipeline's start."""
    implausible: int = 0
    """Rows that gave a time of arrival before 2000 or in the future."""


def caught_up(table: Derived, stand: Stand, host: HostSeen, tapes: Sequence[TableName]) -> CheckOutcome:
    """Passes while the oldest row on the tape that is not in is younger than two minutes plus `every`.

    And while no tape has lagged behind the end of its topic for as long. `stand`: on its tape; of several `tapes`, on
    the one that it is furthest behind of.
    """
    position, head, lag = stand.position, stand.head, stand.lag
    bound = _LATE_AFTER + (table.every or 0.0)
    unread = host.unread(tapes)
    passed = max(lag.seconds, unread.seconds if unread else 0.0) <= bound
    if position == BEFORE_THE_TAPE:
        summary = "Has read nothing yet." if head != BEFORE_THE_TAPE else "Nothing has landed yet."
    elif lag.batches == 0:
        summary = f"Reflects the whole tape ({position})."
    else:
        summary = f"Reflects {position}; {lag.batches} batches and {lag.seconds:.0f} s behind the tape."
    if unread and unread.records:
        summary += f" {unread.records} records wait to be put on the tape; some have for {unread.seconds:.0f} s."
    query = host.query(table.name)
    if host.speaks and query is not None and query.state == "held":
        summary = f"Held, and so it stays behind. {summary}"
    elif not passed and host.holder is None:
        summary += " No host runs: turn the stream on."
    return CheckOutcome(
        table.name,
        "caught_up",
        passed,
        "warn",
        summary,
        {
            "lag_seconds": round(lag.seconds, 1),
            "lag_batches": lag.batches,
            "allowed_seconds": bound,
            "position_batch": position.batch,
            "position_version": position.version,
            "head_batch": head.batch,
            "head_version": head.version,
            **({"unread": unread.records, "unread_seconds": unread.seconds} if unread else {}),
        },
    )


def logic_current(table: Derived, live: Generation | None, deployed: str) -> CheckOutcome:
    """Passes when the live generation was written by the deployed logic, or may take it over as it is."""
    written = live.code_version if live else None
    passed = written in (None, deployed) or table.on_change == "forward"
    if live is None:
        summary = "Nothing was written yet."
    elif written == deployed:
        summary = f"Generation {live.number} was written by the deployed logic, {deployed}."
    elif passed:
        summary = f'Logic {deployed} goes on with generation {live.number} (on_change="forward").'
    else:
        summary = (
            f"Generation {live.number} was written by logic {written}, deployed is {deployed}. "
            f"Replay {table.name} and promote it, or deploy the old logic again; "
            "a host that starts now holds this table."
        )
    facts = {
        "live_code_version": written,
        "deployed_code_version": deployed,
        "generation": live.number if live else None,
    }
    return CheckOutcome(table.name, "logic_current", passed, "warn", summary, facts)


def tape_counts_up(table: TableName, batches: int, breaks: Sequence[TapeBreak]) -> CheckOutcome:
    """Passes when the batches of a tape are 0, 1, 2, ..., each in a later version than the one before."""
    if breaks:
        first = breaks[0]
        summary = (
            f"The tape breaks at version {first.version}: batch {first.batch} follows {first.before}. "
            f"Rows were lost, or two hosts wrote; look at kappa tape {table}."
        )
    else:
        summary = f"{batches} batches, each on one commit, without a hole."
    rows = tuple(
        {
            "version": b.version,
            "batch": b.batch,
            "version_before": b.before.version,
            "batch_before": b.before.batch,
        }
        for b in breaks[:_SHOWN]
    )
    facts = {"batches": batches, "breaks": len(breaks)}
    return CheckOutcome(table, "tape_continuous", not breaks, "error", summary, facts, rows)


@dataclass(frozen=True)
class TapeBreak:
    """A commit on the tape that does not follow the one before it."""

    batch: int
    version: int
    before: Position


def tape_breaks(tape: Iterable[TapeCommit], before: Position = BEFORE_THE_TAPE) -> list[TapeBreak]:
    """Return where batch ids or versions do not go on from `before`."""
    found = []
    for commit in tape:
        if commit.batch != before.batch + 1 or commit.version <= before.version:
            found.append(TapeBreak(commit.batch, commit.version, before))
        before = commit.position
    return found


def ranges_tile(table: TableName, log: LogFindings | None) -> CheckOutcome:
    """Passes when every commit of the live generation read on from where the one before it stopped."""
    gaps = tuple(log.gaps) if log else ()
    commits = log.commits if log else 0
    if gaps:
        first = gaps[0]
        summary = (
            f"Version {first['version']} begins after {first['begins_after']}, expected {first['expected']}: "
            f"rows are missing or doubled. Replay {table} to build it anew."
        )
    else:
        summary = f"The input ranges of {commits} commits tile." if commits else "Nothing was written yet."
    facts = {"commits": commits, "breaks": len(gaps)}
    return CheckOutcome(table, "tape_continuous", not gaps, "error", summary, facts, gaps[:_SHOWN])


def append_only(table: TableName, log: LogFindings) -> CheckOutcome:
    """Passes when only the stream brought rows to the tape and nobody took any; OPTIMIZE is welcome."""
    foreign = tuple(log.foreign)
    if foreign:
        first = foreign[0]
        summary = (
            f"Version {first['version']} ({first['operation']}, {first['at']}) {first['what']}. "
            "A tape is never edited: land again what is missing, and replay what reads it."
        )
    else:
        summary = f"{log.commits} commits; nothing was taken off, and nobody else wrote."
    facts = {"commits": log.commits, "foreign_commits": len(foreign)}
    return CheckOutcome(table, "append_only", not foreign, "error", summary, facts, foreign[:_SHOWN])


def stream_healthy(
    table: TableName, host: HostSeen, arrivals: Arrivals, start: dt.date, now: dt.datetime
) -> CheckOutcome:
    """Passes while the table's query runs without an error and, for a tape, the last day's files went in."""
    passed, severity, said = _query_health(table, host)
    lately = [f for f in arrivals.set_aside if _after(f["at"], now - LATELY)]
    early = arrivals.early_slices or {}
    if lately:
        passed = False
        said += f" {len(lately)} files were set aside in the last day; the newest is {lately[-1]['file']}."
        said += f" kappa rejects {table} lists them, kappa deliveries {table} --again has them taken again."
    if arrivals.changed:
        passed = False
        names = ", ".join(str(f["file"]) for f in arrivals.changed[:3])
        said += f" {len(arrivals.changed)} files changed after they were read: {names}. Land them under new names."
    if early:
        said += f" {sum(early.values())} rows lie in slices before {start}: they flow, but have no partition."
    if arrivals.implausible:
        said += f" {arrivals.implausible} rows gave a time of arrival that cannot be, and arrived when they were read."
    query = host.query(table) if host.speaks else None
    facts = {
        "state": query.state if query else None,
        "failures": query.failures if query else None,
        "batch_seconds": query.batch_seconds if query else None,
        "heartbeat_age_seconds": None if host.heartbeat_age is None else round(host.heartbeat_age, 1),
        "files_set_aside": len(arrivals.set_aside),
        "files_changed": len(arrivals.changed),
        "rows_before_start": sum(early.values()),
        IMPLAUSIBLE: arrivals.implausible,
    }
    return CheckOutcome(table, "stream_healthy", passed, severity, said, facts, _arrival_rows(arrivals))


def _query_health(table: TableName, host: HostSeen) -> tuple[bool, Severity, str]:
    if host.holder is None:
        return _without_host(table, host)
    if host.heartbeat_age is None:
        return True, "warn", "A host is starting."
    if host.heartbeat_age > FROZEN_AFTER:
        return False, "error", f"No heartbeat for {host.heartbeat_age:.0f} s from the host: {host.holder}."
    query = host.query(table)
    if query is None:
        return False, "warn", "The running host does not know this table: turn the stream off and on again."
    return _as_it_says(query)


def _without_host(table: TableName, host: HostSeen) -> tuple[bool, Severity, str]:
    query = host.query(table)
    if query is not None and query.error and query.state in ("parked", "backoff"):
        return False, "error", f"The last host ended with this table {query.state}: {query.error}"
    ended = f" The last one ended: {host.status.ended}." if host.status and host.status.ended else ""
    return False, "warn", f"No host runs.{ended} Turn the stream on."


def _as_it_says(query: QueryStatus) -> tuple[bool, Severity, str]:
    if query.state == "held":
        return False, "warn", f"Held: {query.error}"
    if query.error is not None:
        of = f" of {query.source}" if query.source else ""
        return False, "error", f"{query.state.capitalize()}{of} after {query.failures} failures: {query.error}"
    if query.state == "waiting":
        return True, "warn", "Waits for its turn, or for its upstream's first rows."
    return True, "warn", f"{query.state.capitalize()} as generation {query.generation}."


def _arrival_rows(arrivals: Arrivals) -> tuple[Mapping[str, object], ...]:
    """Return all findings under the same columns, newest first."""
    aside: list[Mapping[str, object]] = [
        {"what": "set aside", "name": f["file"], "detail": f["reason"], "batch": f["batch"], "at": f["at"]}
        for f in arrivals.set_aside
    ]
    changed: list[Mapping[str, object]] = [
        {
            "what": "changed after it was read",
            "name": f["file"],
            "detail": _change(f),
            "batch": None,
            "at": f["read_at"],
        }
        for f in arrivals.changed
    ]
    early: list[Mapping[str, object]] = [
        {"what": "slice before start", "name": day, "detail": f"{rows} rows", "batch": None, "at": None}
        for day, rows in sorted((arrivals.early_slices or {}).items())
    ]
    return (*reversed(changed), *reversed(aside), *early)[:_SHOWN]


def _change(file: Mapping[str, object]) -> str:
    """Return in words how a file is another than the one of its name that was read."""
    if file["bytes_read"] is None:
        return "not read: it has the name of a file that was"
    if file["bytes_read"] != file["bytes_now"]:
        return f"{file['bytes_read']} bytes read, {file['bytes_now']} now"
    return f"{file['bytes_now']} bytes as before, but modified at {file['modified_now']:%Y-%m-%d %H:%M:%S} UTC"


def _after(moment: object, bound: dt.datetime) -> bool:
    return isinstance(moment, dt.datetime) and moment > bound
