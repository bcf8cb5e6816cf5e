"""The host: one Spark driver that runs all queries of a pipeline, under the lake's lock."""

from __future__ import annotations

import datetime as dt
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from deltalake.exceptions import DeltaError

from kappa_assets.errors import TapeGap
from kappa_assets.faults import fault_point
from kappa_assets.graph import Pipeline
from kappa_assets.host.assemble import hold_reason, live_queries, query_of, register, tapes_of
from kappa_assets.host.heartbeat import Heartbeat
from kappa_assets.host.host_status import (
    Beat,
    HostStatus,
    QueryStatus,
    write_beat,
    write_status,
)
from kappa_assets.host.host_watch import HostWatch
from kappa_assets.host.runner import Runner
from kappa_assets.host.spark_log import quiet_streams
from kappa_assets.host.wanted import never
from kappa_assets.kinds.query import Setting
from kappa_assets.names import TableName
from kappa_assets.place.local import durable
from kappa_assets.place.local.leases.lease import HOST, PROMOTION, Lease, end_holder_of, holder_of, lease
from kappa_assets.place.local.leases.machine import Moment
from kappa_assets.place.registry import Registry, State, mend_links

log = logging.getLogger("kappa_assets.host")

_POLL = 0.25
_INDEX_EVERY = 60.0


@dataclass(frozen=True)
class Ended:
    """Why a host stopped, and whether it should be started again with the code that is deployed now."""

    reason: str
    restart: bool = False


class Host:
    """Runs the queries of one pipeline: `stream` until told to stop, `drain` until caught up.

    `wanted` is asked several times a second and returns a reason to stop, or None. Both raise HostRunning, naming the
    holder, when another host has the lake; one that `watch` finds frozen is ended first.
    """

    def __init__(
        self,
        setting: Setting,
        pipeline: Pipeline,
        *,
        wanted: Callable[[], str | None] = never,
        run_id: str | None = None,
        watch: HostWatch | None = None,
    ) -> None:
        quiet_streams(setting.spark)
        self._setting = setting
        self._lake = setting.lake
        self._pipeline = pipeline
        self._wanted = wanted
        self._run_id = run_id
        self._watch = watch or HostWatch()
        self._registry = Registry(setting.lake)
        self._tapes = tapes_of(setting, pipeline)
        self._of_tapes: tuple[Runner, ...] = ()  # one for each source of each tape
        self._runners: dict[TableName, Runner] = {}
        self._held: dict[TableName, QueryStatus] = {}
        self._release: int | None = None
        self._lease = Lease(setting.lake, setting.fence)
        self._started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        self._ended: str | None = None
        self._aside = False
        self._beats = 0
        self._last_index = time.monotonic()

    def stream(self) -> Ended:
        """Keep all queries running until told to stop, or until a release needs other code than this process has."""
        with self._as_the_one_host("stream"):
            ended = None
            try:
                while ended is None:
                    self._tend()
                    self._index()
                    time.sleep(_POLL)
                    ended = self._why_end()
            finally:
                self._stop_all(ended)
            return ended

    def drain(self) -> Ended:
        """Run every query, upstream first, until it has caught up. Raises the first failure."""
        with self._as_the_one_host("drain"):
            ended = None
            try:
                for runner in self._all_runners:
                    runner.drain(self._wanted)
                    fault_point("between_tables", str(runner.query.table))
                    stopped = self._wanted()
                    if stopped is not None:
                        ended = Ended(stopped)
                        break
                ended = ended or Ended("caught up")
            finally:
                self._stop_all(ended)
            return ended

    @property
    def status(self) -> tuple[QueryStatus, ...]:
        """How each table's query is doing now."""
        return (*(runner.status for runner in self._all_runners), *list(self._held.values()))

    @property
    def _all_runners(self) -> tuple[Runner, ...]:
        return (*self._of_tapes, *list(self._runners.values()))

    @contextmanager
    def _as_the_one_host(self, mode: str) -> Iterator[None]:
        durable.chosen()  # a word that is none is refused before anything happens
        self._end_frozen_host()
        with lease(self._lake, HOST, mode, run_id=self._run_id) as taken:
            self._lease, self._setting = taken, replace(self._setting, fence=taken.fence)
            self._mode, self._ended = mode, None
            state = register(self._registry, self._pipeline)
            fault_point("registry_change", "links")
            mend_links(self._lake, state)
            live = live_queries(self._setting, self._pipeline, state, self._tapes)
            self._of_tapes = tuple(Runner(q) for q in live.queries if q.table.is_tape)
            self._runners = {q.table: Runner(q) for q in live.queries if not q.table.is_tape}
            self._held = {table: _held(state, table, reason) for table, reason in live.held.items()}
            self._release = state.current
            for held in self._held.values():
                log.warning("%s is held: %s", held.table, held.error)
            self._heart = Heartbeat(self._say_alive)
            with self._heart:
                yield

    def _end_frozen_host(self) -> None:
        """End a host that holds the lock and is stopped or hangs: it would never let go."""
        judged = self._watch.settle(self._lake, self._wanted)
        if judged.verdict == "frozen" and (ended := end_holder_of(self._lake, HOST, judged.holder)):
            log.warning("ended a frozen host (%s): %s", judged.remark, ended)

    def _why_end(self) -> Ended | None:
        reason = self._wanted()
        if reason is not None:
            return Ended(reason)
        if fenced := next((r.status for r in self._all_runners if r.is_fenced), None):
            return Ended(f"another process has taken the lake over: {fenced.error}")
        self._stand_aside()
        state = self._registry.state()
        return self._move_over(state) if state.current != self._release else None

    def _stand_aside(self) -> None:
        """Stop Silver and Gold while a promotion drains the last of the tape, so that its candidates can catch up.

        The promotion holds a lock that the kernel releases with its process: a promotion that dies blocks nothing.
        """
        promoting = holder_of(self._lake, PROMOTION) is not None
        if promoting and not self._aside:
            for table in self._pipeline.derived:
                if table.name in self._runners:
                    self._runners[table.name].stop()
            log.info("standing aside: a promotion drains the last of the tape")
        elif self._aside and not promoting:
            for name, runner in self._runners.items():
                if runner.status.state == "stopped":
                    self._runners[name] = Runner(runner.query)
        self._aside = promoting

    def _move_over(self, state: State) -> Ended | None:
        """Follow a new release: stop the queries of generations that are not live any more, and start the others.

        Logic that this process does not have needs a new one.
        """
        moved = []
        for table in self._pipeline.derived:
            live = state.live(table.name)
            running = self._runners.get(table.name)
            if live is None or (running is not None and live.number == running.query.generation):
                continue
            if hold_reason(live, table) is not None:
                return Ended(f"release {state.current} needs other code for {table.name}", restart=True)
            moved.append(live)
        # A replay has written them under a later lease than this one's.
        self._setting = replace(self._setting, fence=self._lease.renewed()) if moved else self._setting
        for live in moved:
            if live.table in self._runners:
                self._runners[live.table].stop()
            self._held.pop(live.table, None)
            self._runners[live.table] = Runner(query_of(self._setting, self._pipeline, live, self._tapes))
        mend_links(self._lake, state)
        self._release = state.current
        log.info("moved over to release %s", state.current)
        return None

    def _tend(self) -> None:
        """Tend every query, upstream first. A table at its batch announces that those below will have something."""
        busy: set[TableName] = set()
        for runner in self._all_runners:
            name = runner.query.table
            coming = bool(busy & {*self._pipeline.upstreams.get(name, ())})
            runner.tend(coming=coming)
            if coming or runner.at_work:
                busy.add(name)

    def _stop_all(self, ended: Ended | None) -> None:
        for runner in self._all_runners:
            runner.ask_to_stop()
        for runner in self._all_runners:
            runner.stop()
        self._index(force=True)
        self._ended = ended.reason if ended else "failed"
        self._heart.beat()

    def _index(self, *, force: bool = False) -> None:
        if force or time.monotonic() - self._last_index > _INDEX_EVERY:
            self._last_index = time.monotonic()
            for tape in self._tapes.values():
                try:
                    tape.sync()
                except (DeltaError, OSError, TapeGap) as error:  # tried again: the log still holds what the index lacks
                    log.warning("the index of %s cannot be written: %s", tape.bronze, error)

    def _say_alive(self) -> None:
        """Give a sign of life, which needs no space on the disk, then say how the tables do."""
        self._beats += 1
        now = Moment.now()
        write_beat(self._lake, Beat(os.getpid(), self._beats, now.boot, now.uptime, self._ended is not None))
        status = HostStatus(
            pid=os.getpid(),
            mode=self._mode,
            at=dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
            started_at=self._started,
            release=self._release,
            queries=self.status,
            run_id=self._run_id,
            ended=self._ended,
            boot=now.boot,
            uptime=now.uptime,
        )
        write_status(self._lake, status)


def _held(state: State, table: TableName, reason: str) -> QueryStatus:
    live = state.live(table)
    return QueryStatus(str(table), 1 if live is None else live.number, "held", reason)
