"""All checks of a pipeline, remembered between two looks so that only new commits are read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

from kappa_assets.declare.tables import Bronze, Derived, Silver
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.graph import Pipeline
from kappa_assets.health import checks
from kappa_assets.health.expectation_check import expectations_met
from kappa_assets.health.host_seen import HostSeen
from kappa_assets.health.log_findings import LogFindings
from kappa_assets.health.outcome import EXPECTATIONS, CheckOutcome, checks_of
from kappa_assets.health.payload_check import Payload
from kappa_assets.health.proportion_check import reads_in_proportion
from kappa_assets.host.host_status import host_alive, read_status
from kappa_assets.log.delta_log import Commit
from kappa_assets.log.followed_logs import FollowedLogs
from kappa_assets.log.generation_positions import live_position
from kappa_assets.log.note import BEFORE_THE_TAPE, IMPLAUSIBLE
from kappa_assets.log.tape import Tape
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.machine import Moment
from kappa_assets.place.port import StoredTable
from kappa_assets.place.registry import Registry, State
from kappa_assets.sources.known_sources import Watch, watch_of
from kappa_assets.status import stand_on


def run_checks(
    lake: Lake, pipeline: Pipeline, *, landing: Path | None = None, now: dt.datetime | None = None
) -> list[CheckOutcome]:
    """Return the outcome of every check of every table, upstream first. Reads every log anew."""
    return HealthChecks(lake, pipeline, landing=landing).run(now=now)


class HealthChecks:
    """The checks of one pipeline, for a process that looks again and again.

    The first `run` takes in each log from its beginning, later ones only what was committed since. With
    `landing`, the landing folder, it also tells of files that changed after they were read. `logs` are those that
    others in the process follow too: no commit is then read twice.
    """

    def __init__(
        self, lake: Lake, pipeline: Pipeline, *, landing: Path | None = None, logs: FollowedLogs | None = None
    ) -> None:
        self._lake = lake
        self._pipeline = pipeline
        self._registry = Registry(lake)
        self._logs = logs or FollowedLogs()
        self._tapes = {b.name: _TapeHealth(lake, b, pipeline, landing, self._logs) for b in pipeline.bronzes}
        self._findings: dict[StoredTable, LogFindings] = {}

    def run(self, *, now: dt.datetime | None = None) -> list[CheckOutcome]:
        """Return the outcome of every check of every table, upstream first."""
        moment = now or dt.datetime.now(dt.UTC)
        state = self._registry.state()
        findings = self._follow(state)
        # The lock is looked at first: a host that ends in between has left its own last word.
        host = HostSeen(host_alive(self._lake), read_status(self._lake), Moment.now())
        outcomes: list[CheckOutcome] = []
        for table in self._pipeline:
            match table:
                case Bronze():
                    outcomes += self._tapes[table.name].outcomes(findings[table.name], state, host, moment)
                case Derived():
                    outcomes += self._derived(table, state, findings.get(table.name), host, moment)
        return outcomes

    def _follow(self, state: State) -> dict[TableName, LogFindings]:
        """Take in new commits, downstream first: what a table has read is then known of its upstream."""
        findings: dict[TableName, LogFindings] = {}
        for table in reversed(list(self._pipeline)):
            live = state.live(table.name)
            if live is None and isinstance(table, Derived):
                continue
            stored = self._lake.table(table.name, live.number if live else 1)
            if stored not in self._findings:
                upstreams = self._pipeline.upstreams.get(table.name, ())
                self._findings[stored] = LogFindings(self._logs, stored, table.name, upstreams)
            found = findings[table.name] = self._findings[stored]
            fresh = found.follow()
            if table.name in self._tapes:
                self._tapes[table.name].grow(fresh, found.life)
        return findings

    def _derived(
        self, table: Derived, state: State, log: LogFindings | None, host: HostSeen, now: dt.datetime
    ) -> list[CheckOutcome]:
        on = [self._tapes[name].tape for name in self._pipeline.tapes_of(table.name)]
        stands = [stand_on(t, live_position(self._lake, state, table.name, t, logs=self._logs), now) for t in on]
        return [
            checks.caught_up(table, max(stands, key=lambda stand: stand.behind), host, [t.bronze for t in on]),
            checks.logic_current(table, state.live(table.name), code_version(table)),
            checks.ranges_tile(table.name, log),
            *([expectations_met(table, log, host, now)] if EXPECTATIONS in checks_of(table) else []),
            reads_in_proportion(table, log),
            checks.stream_healthy(table.name, host, checks.Arrivals(), self._pipeline.start, now),
        ]


class _TapeHealth:
    """What is remembered of one tape."""

    def __init__(
        self, lake: Lake, bronze: Bronze, pipeline: Pipeline, landing: Path | None, logs: FollowedLogs
    ) -> None:
        self.tape = Tape(lake, bronze.name, logs)
        self._lake = lake
        self._name = bronze.name
        self._start = pipeline.start
        above = [pipeline[name] for name, read in pipeline.upstreams.items() if bronze.name in read]
        self._readers = [table for table in above if isinstance(table, Silver)]
        self._payload = Payload(bronze, lake.table(bronze.name), self._readers)
        self._rejects = lake.set_aside(bronze.name)
        self._rejects_version = -1
        self._set_aside: list[Mapping[str, object]] = []
        self._landed: dict[str, Watch] = {}
        for source in bronze.sources:
            of = source.label if bronze.others else None
            watch = None if landing is None else watch_of(source, landing, of)
            self._landed |= {} if watch is None else {source.label: watch}
        self._forget(0)

    def _forget(self, life: int) -> None:
        self._life = life
        self._verified = 0
        self._last = BEFORE_THE_TAPE
        self._breaks: list[checks.TapeBreak] = []
        self._early: dict[str, int] = {}
        self._implausible = 0
        self._payload.forget()

    def grow(self, fresh: list[Commit], life: int) -> None:
        """Take in what was committed to the tape, in its how manyth life."""
        if life != self._life:
            self._forget(life)
        if not fresh:
            return
        self._implausible += sum(c.note.source.get(IMPLAUSIBLE, 0) for c in fresh if c.note)
        self._payload.take(fresh)
        for watch in self._landed.values():
            watch.add(fresh)
        self._verify()

    def _verify(self) -> None:
        fresh = self.tape.commits(after=self._last.version)
        self._breaks += checks.tape_breaks(fresh, self._last)
        for commit in fresh:
            for day, rows in commit.slices.items():
                if day and day < self._start.isoformat():
                    self._early[day] = self._early.get(day, 0) + rows
        self._verified += len(fresh)
        self._last = fresh[-1].position if fresh else self._last

    def outcomes(self, log: LogFindings, state: State, host: HostSeen, now: dt.datetime) -> list[CheckOutcome]:
        aside = self._files_set_aside()
        changed = [
            found
            for label, watch in self._landed.items()
            for found in watch.changed({str(f["file"]) for f in aside if f.get("source") in (None, label)})
        ]
        arrivals = checks.Arrivals(aside, changed, self._early, self._implausible)
        return [
            checks.tape_counts_up(self._name, self._verified, self._breaks),
            checks.append_only(self._name, log),
            self._payload.outcome(self._written_above(state)),
            checks.stream_healthy(self._name, host, arrivals, self._start, now),
        ]

    def _written_above(self, state: State) -> list[StoredTable]:
        """Return the live tables that read the tape."""
        live = [state.live(table.name) for table in self._readers]
        return [self._lake.table(one.table, one.number) for one in live if one is not None]

    def _files_set_aside(self) -> list[Mapping[str, object]]:
        version = self._rejects.newest()
        if version is not None and version != self._rejects_version:
            self._rejects_version = version
            rows = self._rejects.arrow(version).to_table().sort_by("at").to_pylist()
            put_back = {row["file"] for row in rows if row.get("retried_as")}
            self._set_aside = [row for row in rows if row["file"] not in put_back]
        return self._set_aside
