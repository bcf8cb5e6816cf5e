"""`<pipeline>_lineage`: reads the Delta logs since its cursor and reports what happened. Starts no JVM."""

import time
from dataclasses import dataclass, replace

import dagster as dg

from kappa_assets.graph import Pipeline
from kappa_assets.health import HealthChecks
from kappa_assets.log.followed_logs import FollowedLogs
from kappa_assets.log.tape import Tape
from kappa_assets.names import TableName
from kappa_assets.orchestration.asset_checks import evaluation, verdict
from kappa_assets.orchestration.folders import Folders
from kappa_assets.orchestration.lineage.lineage_cursor import LineageCursor
from kappa_assets.orchestration.lineage.lineage_plan import LineagePlan, Sight, plan_lineage
from kappa_assets.orchestration.lineage.lineage_report import Reporter
from kappa_assets.orchestration.sensors.ticks import TICK_SECONDS, instance_of
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry
from kappa_assets.status import living_host, query_statuses

_BUDGET = 30.0
"""Seconds of a tick after which the rest is left to the next: Dagster's limit is 60, and one event takes 0.04."""
_TELL_EVERY = 300.0
"""Seconds after which an unchanged check result is reported again, so that its numbers make a plot."""


@dataclass(frozen=True)
class Tick:
    """What one tick leaves: the new cursor, and what people read about it."""

    cursor: LineageCursor
    said: str


class Lineage:
    """The sensor's work, with what one process remembers of logs, registry and tapes."""

    def __init__(self, folders: Folders, pipeline: Pipeline, undescribed: frozenset[TableName] = frozenset()) -> None:
        self._folders = folders
        self._pipeline = pipeline
        self._undescribed = undescribed
        self._lake: Lake | None = None
        self._seen: object = None
        self._plan = LineagePlan({}, ())

    def tick(self, instance: dg.DagsterInstance, cursor: LineageCursor, *, budget: float = _BUDGET) -> Tick:
        """Report what is new, once, and the checks when they changed or are due."""
        until = time.monotonic() + budget
        lake = self._open()
        sight = self._sight(lake)
        seen = self._signature(sight)
        if (seen, cursor.marks) == self._seen and cursor.pending is None:
            plan, reporter, done = self._plan, Reporter(instance, sight, lambda: False), True
        else:
            plan = plan_lineage(sight, cursor.marks, cursor.pending)
            late = lambda: time.monotonic() > until  # noqa: E731 -- a name for the one condition
            reporter = Reporter(instance, sight, late, self._undescribed)
            done = reporter.report(plan)
            pending = None if done else plan.cut
            begun = cursor.pending is not None
            first = set(reporter.marks) - set(cursor.marks)
            cursor = replace(
                cursor,
                marks={**cursor.marks, **reporter.marks},
                pending=pending,
                checked_at=0.0 if first else cursor.checked_at,
            )
            # After a cut that an earlier tick began there may be more to report.
            self._seen, self._plan = ((seen, cursor.marks) if done and not begun else None), plan
        cursor, checked = self._check(instance, cursor) if done else (cursor, 0)
        return Tick(cursor, _said(plan, reporter, done=done, checked=checked))

    def _open(self) -> Lake:
        if self._lake is None:
            self._lake = self._folders.lake()
            self._registry = Registry(self._lake)
            self._logs = FollowedLogs()
            self._tapes = {b.name: Tape(self._lake, b.name, self._logs) for b in self._pipeline.bronzes}
            self._health = HealthChecks(self._lake, self._pipeline, landing=self._folders.landing, logs=self._logs)
        return self._lake

    def _sight(self, lake: Lake) -> Sight:
        queries = query_statuses(living_host(lake))
        return Sight(lake, self._pipeline, self._registry.state(), self._logs, self._tapes, queries)

    def _signature(self, sight: Sight) -> object:
        """Return what a plan depends on. While it stays the same there is nothing to plan."""
        versions = []
        for table in self._pipeline.tables:
            live = sight.state.live(table)
            number = 1 if table.is_tape or live is None else live.number
            versions.append(sight.logs.newest(sight.lake.table(table, number)))
        states = {name: query.state for name, query in sight.queries.items()}
        return sight.state.version, versions, states

    def _check(self, instance: dg.DagsterInstance, cursor: LineageCursor) -> tuple[LineageCursor, int]:
        """Report the checks that changed; all of them when they are due, or a run's own event has greyed them."""
        now = time.time()
        finished = _run_finished_since(instance, cursor.checked_at)
        due = finished or now - cursor.checked_at > _TELL_EVERY
        outcomes = self._health.run()
        verdicts = {f"{o.table}/{o.check}": verdict(o) for o in outcomes if not o.passed}
        told = 0
        for outcome in outcomes:
            name = f"{outcome.table}/{outcome.check}"
            if due or cursor.verdicts.get(name) != verdicts.get(name):
                instance.report_runless_asset_event(evaluation(outcome))
                told += 1
        return replace(cursor, checked_at=now if due else cursor.checked_at, verdicts=verdicts), told


def _run_finished_since(instance: dg.DagsterInstance, moment: float) -> bool:
    """Return whether a run ended after `moment`. A run's own materialization greys the checks before it."""
    records = instance.get_run_records(
        dg.RunsFilter(
            statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
        ),
        limit=5,
        order_by="update_timestamp",
    )
    return any(r.end_time is not None and r.end_time > moment for r in records)


def _said(plan: LineagePlan, reporter: Reporter, *, done: bool, checked: int) -> str:
    """Return what was looked at, and what was reported."""
    cut = ", ".join(f"{tape} at batch {p.batch}" for tape, p in plan.cut.items()) or "no tape"
    parts = []
    if reporter.events:
        named = ", ".join(f"{n.table} g{n.generation}.v{n.version}" for n in plan.news if n.slices)
        parts.append(f"reported {reporter.events} events up to {cut}: {named}")
    else:
        parts.append(f"nothing new; cut: {cut}")
    if not done:
        parts.append("time was up: the rest follows in the next tick")
    if checked:
        parts.append(f"{checked} check results")
    return "; ".join(parts)


def lineage_sensor(folders: Folders, pipeline: Pipeline, undescribed: frozenset[TableName]) -> dg.SensorDefinition:
    """Return the sensor that reports live commits; running by default."""
    lineage = Lineage(folders, pipeline, undescribed)

    @dg.sensor(
        name=f"{pipeline.name}_lineage",
        minimum_interval_seconds=TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            f"Reports what the streams of {pipeline.name} wrote, read from the Delta logs: one materialization per "
            "table and slice with its version and what it was made from, and the results of the checks."
        ),
    )
    def report(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        tick = lineage.tick(instance_of(context), LineageCursor.from_json(context.cursor))
        return dg.SensorResult(skip_reason=tick.said, cursor=tick.cursor.to_json())

    return report
