"""One table's query kept running: started when its upstream is there, restarted with back-off, parked when hopeless."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql.streaming import StreamingQuery

from kappa_assets.errors import ExpectationFailed, Fenced, KappaError, LakeError, SourceError, TapeGap
from kappa_assets.host.attention import Attention
from kappa_assets.host.batch_work import BatchWork, words_of_spark
from kappa_assets.host.host_status import QueryState, QueryStatus
from kappa_assets.host.lookout import LeftToRead, Lookout
from kappa_assets.kinds.query import MayWait, OneOfSeveral, StartAgain, TableQuery

log = logging.getLogger("kappa_assets.host")

_PARK_AFTER = 5
_LONGEST_WAIT = 30.0
_ENVIRONMENT = (
    "No space left",
    "Permission denied",
    "Read-only file system",
    "Disk quota exceeded",
    "Input/output error",
    "Stale file handle",
    "Too many open files",
    "Connection timed out",
    "org.apache.kafka.common.errors.",
)
_SCHEMA_CHANGED = ("DELTA_SCHEMA_CHANGED", "DELTA_STREAMING_METADATA", "assertion failed: Invalid batch: ")
"""How a changed schema upstream shows. The last is Spark's own, of a column that came between the plan of a query and
its first batch: the batch has other columns than the plan."""


class _Stopping(Exception):
    """Raised into Spark when a batch begins while the query is being stopped; it is run again at the next start."""


class Runner:
    """Keeps one query running. Every method is for the host's one thread, but `_apply`, which Spark calls."""

    def __init__(self, query: TableQuery, clock: Callable[[], float] = time.monotonic) -> None:
        self.query = query
        self._work = BatchWork(query)
        self._source = query.label if isinstance(query, OneOfSeveral) else None
        self._clock = clock
        self._attention = Attention(
            query.upstreams, clock, query.waits if isinstance(query, MayWait) else lambda: False
        )
        self._streaming: StreamingQuery | None = None
        self._state: QueryState = "waiting"
        self._turn = threading.Lock()
        self._stopping = False
        self._asleep = False
        self._failure: BaseException | None = None
        self._error: str | None = None
        self._failures = 0
        self._schema_changes = 0
        self._next_try = 0.0
        self._lookout = Lookout(query)
        self._left = LeftToRead(query, clock)
        self._batch: int | None = None
        self._batch_seconds: float | None = None
        self.is_fenced = False
        """Whether its table was taken over by another process: this one's lease is gone, and with it the query."""

    @property
    def status(self) -> QueryStatus:
        """How the query is doing now."""
        return QueryStatus(
            str(self.query.table),
            self.query.generation,
            self._state,
            self._error,
            self._failures,
            self._batch,
            self._batch_seconds,
            self._source,
            self._left.records,
            self._left.seconds,
        )

    @property
    def at_work(self) -> bool:
        """Whether the query is at a batch just now: what reads its table will soon have something to read."""
        return self._turn.locked()

    def tend(self, *, coming: bool = False) -> None:
        """Start the query when there is something for it, let it sleep when all is quiet, and deal with its failure.

        `coming`: a table above is at a batch just now, so that there will be something soon.
        """
        self._attention.look(coming=coming)
        if self._lookout.failure is not None:
            error, self._lookout.failure = self._lookout.failure, None
            self._halt()
            self._stopping = False
            self._failed(error)
            return
        if (streaming := self._streaming) is not None:
            self._left.look(streaming)
            if not streaming.isActive:
                self._ended(self._failure or streaming.exception())
            elif self._attention.long_quiet and not self.at_work and not streaming.status["isTriggerActive"]:
                self._sleep()
            return
        if self._state in ("parked", "stopped") or self._clock() < self._next_try:
            return
        wanted = self._attention.news or (coming and not self.query.every)
        if self._asleep and not wanted:
            return
        try:
            if self.query.is_ready():
                self._wake()
        except Exception as error:  # noqa: BLE001 -- one failed query must not stop its neighbours
            self._failed(error)

    def _wake(self) -> None:
        """Start the query: for one batch where the least time between two is declared, else until it sleeps again."""
        self._asleep = False
        self._attention.started()
        began = self._clock()
        if self.query.every:
            self._start(availableNow=True)
            self._next_try = began + self.query.every
        else:
            self._start(processingTime="0 seconds")
            streaming = self._streaming
            self._lookout.start(lambda: streaming is self._streaming and not self._stopping)

    def _ended(self, error: BaseException | None) -> None:
        """Take in that Spark ended the query: by a failure, or because it has read all that there was."""
        if error is None and self.query.every:
            self._streaming, self._asleep, self._state = None, True, "waiting"
        else:
            self._failed(error)

    def _sleep(self) -> None:
        """Stop the query between two batches, until something comes."""
        self._halt()
        self._stopping, self._asleep, self._state = False, True, "waiting"

    def drain(self, wanted: Callable[[], str | None]) -> None:
        """Run the query until it has caught up with what its upstream holds now. Raises what made it fail."""
        if not self.query.is_ready():
            return
        self._lookout.stop()
        error: BaseException | None = StartAgain()
        while self._goes_on(error):
            try:
                self._start(availableNow=True)
                assert self._streaming is not None  # noqa: S101 -- for mypy; `_start` sets it or raises
                while self._streaming.isActive:
                    if wanted() is not None:
                        self.stop()
                        return
                    time.sleep(0.05)
                error = self._failure or self._streaming.exception()
            except Exception as refused:  # noqa: BLE001 -- raised below, once it is told
                error = refused
        self._streaming = None
        self._state = "stopped"
        if error is not None:
            self._state, self._error = "parked", _text(error)
            raise error

    def _goes_on(self, error: BaseException | None) -> bool:
        """Return whether a drain starts its query again: as a stream does, it survives a changed schema upstream.

        A schema that stops it five times before a batch went through is not taken in by starting again.
        """
        if not _is_schema_change(error):
            return isinstance(error, StartAgain)
        self._schema_changes += 1
        return self._schema_changes < _PARK_AFTER

    def ask_to_stop(self) -> None:
        """Let no further batch begin."""
        self._stopping = True

    def stop(self) -> None:
        """Let the current batch finish, then stop.

        The turn is not held while Spark stops: Spark waits for its batch thread, which may just wait for the turn.
        """
        self._halt()
        if self._state != "parked":
            self._state = "stopped"

    def _halt(self) -> None:
        self.ask_to_stop()
        with self._turn:
            pass
        if self._streaming is not None:
            self._await_commit_log(self._streaming)
            self._streaming.stop()
        self._streaming = None

    @staticmethod
    def _await_commit_log(streaming: StreamingQuery, patience: float = 1.0) -> None:
        """Give Spark a moment to log the batch as done. Without it the batch is run again, to no effect."""
        deadline = time.monotonic() + patience
        while streaming.isActive and streaming.status["isTriggerActive"] and time.monotonic() < deadline:
            time.sleep(0.02)

    def _start(self, **trigger: str | bool) -> None:
        self.query.checkpoint.clean_leftovers()
        self.query.prepare()
        self._failure = None
        self._streaming = (
            self.query.stream()
            .writeStream.foreachBatch(self._apply)
            .option("checkpointLocation", self.query.checkpoint.location)
            .queryName(f"{self.query.table} g{self.query.generation} {self._source or ''}".rstrip())
            .trigger(**trigger)  # type: ignore[arg-type]  # one of pyspark's keyword overloads
            .start()
        )
        self._state = "running"
        log.info("%s g%d runs", self.query.table, self.query.generation)

    def _apply(self, batch: DataFrame, number: int) -> None:
        with self._turn:
            if self._stopping:
                self._attention.interrupted()
                raise _Stopping
            began = time.monotonic()
            try:
                self._work(batch, number)
                self._lookout.between_batches()
            except BaseException as error:
                self._failure = error
                raise
            self._batch, self._batch_seconds = number, round(time.monotonic() - began, 3)
            self._failures, self._schema_changes, self._error = 0, 0, None
            self._attention.worked()

    def _failed(self, error: BaseException | None) -> None:
        """Decide on a restart. Faults of the environment are waited out for ever.

        So is a changed schema, which is no fault: it restarts at once. Only when it stops the query again before a
        batch went through is it waited for as after a failure, lest restarts follow each other several times a second.
        """
        self._streaming = None
        if isinstance(error, StartAgain):
            self._state, self._next_try = "backoff", 0.0
            log.info("%s restarts: %s", self.query.table, error)
            return
        text = _text(error)
        schema_changed = _is_schema_change(error)
        self._schema_changes += schema_changed
        if schema_changed and self._schema_changes == 1:
            self._state, self._next_try = "backoff", 0.0
            log.info("%s restarts: its upstream's schema changed", self.query.table)
            return
        self._failures += 1
        self._error = text
        self.is_fenced = isinstance(error, Fenced)
        hopeless = self._failures >= _PARK_AFTER and not schema_changed and not _is_environment(error, text)
        if hopeless or self.is_fenced or isinstance(error, ExpectationFailed):
            self._state = "parked"
            log.error("%s is parked after %d failures: %s", self.query.table, self._failures, text)
            return
        wait = min(2.0 ** (self._failures - 1), _LONGEST_WAIT)
        self._state, self._next_try = "backoff", self._clock() + wait
        log.warning("%s failed, next try in %.0f s: %s", self.query.table, wait, text)


def _is_environment(error: BaseException | None, text: str) -> bool:
    """Return whether the cause lies outside and may go away by itself: a folder, a disk, a right.

    Positions that do not tile stay so until somebody acts, so they park the query as faulty logic does.
    """
    if isinstance(error, TapeGap):
        return False
    return isinstance(error, SourceError | LakeError | OSError) or any(sign in text for sign in _ENVIRONMENT)


def _is_schema_change(error: BaseException | None) -> bool:
    """Return whether Delta stopped the query because its upstream has another schema than when it started."""
    return error is not None and any(sign in _text(error) for sign in _SCHEMA_CHANGED)


def _text(error: BaseException | None) -> str:
    """Return an error as people want to read it: our own whole, Spark's without its stack of Java frames."""
    if error is None:
        return "stopped without an error"
    if isinstance(error, KappaError):
        return str(error)
    return words_of_spark(error)
