"""While a candidate is built: how much of its upstream it has read, how fast, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable

from pyspark.sql import SparkSession

from kappa_assets.kinds.query import MayWait, TableQuery
from kappa_assets.log.note import Offset

Say = Callable[[str], None]
"""Tells somebody who waits a line: how far a replay is."""

_EVERY = 5.0


class TapeProgress:
    """The `wanted` of a candidate's runner, which is asked several times a second; every 5 s it tells how far it is."""

    def __init__(
        self,
        spark: SparkSession,
        query: TableQuery,
        rows: int,
        progress: Say,
        wanted: Callable[[], str | None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spark = spark
        self._query = query
        self._rows = rows
        self._progress = progress
        self._wanted = wanted
        self._clock = clock
        self._began = self._told = clock()
        self._files: dict[int, int] = {}
        self._share_before = self._share_now = self._share()

    def __call__(self) -> str | None:
        """Return why to stop, or None."""
        now = self._clock()
        if now - self._told >= _EVERY:
            self._told = now
            self._share_now = max(self._share_now, self._share())  # the next stage of a batch begins at its first task
            done = progress_line(self._share_before, self._share_now, self._rows, now - self._began)
            self._progress(f"{self._query.table} g{self._query.generation}: {done}")
        return self._wanted()

    def _share(self) -> float:
        """Return the share of the upstream that is read: whole batches, and the tasks of the one at work.

        A query that reads several at once builds them in one batch.
        """
        checkpoint = self._query.checkpoint
        planned, done = checkpoint.newest_begun(), checkpoint.newest_done()
        if planned is None:
            return 0.0
        if isinstance(self._query, MayWait):
            return 1.0 if planned == done else self._tasks_done()
        since, until = checkpoint.delta_range(planned)
        start, end = self._share_at(since), self._share_at(until)
        return end if planned == done else start + (end - start) * self._tasks_done()

    def _share_at(self, offset: Offset | None) -> float:
        """Return the share of the upstream's first snapshot that an offset has passed: most of a replay reads that."""
        if offset is None:
            return 0.0
        if not offset.starting:
            return 1.0
        if offset.version not in self._files:
            self._files[offset.version] = self._query.upstreams[0].files(offset.version).num_rows
        return min((offset.index + 1) / max(self._files[offset.version], 1), 1.0)

    def _tasks_done(self) -> float:
        """Return the share of the tasks that are done of the largest stage at work for this query; 0.0 for none."""
        tracker = self._spark.sparkContext.statusTracker()
        name = f"{self._query.table} g{self._query.generation}"
        run = next((str(q.runId) for q in self._spark.streams.active if q.name == name), None)
        jobs = [tracker.getJobInfo(job) for job in (tracker.getJobIdsForGroup(run) if run else ())]
        stages = [tracker.getStageInfo(stage) for job in jobs if job for stage in job.stageIds]
        largest = max((s for s in stages if s and s.numActiveTasks), key=lambda s: s.numTasks, default=None)
        return largest.numCompletedTasks / largest.numTasks if largest else 0.0


def progress_line(before: float, share: float, rows: int, seconds: float) -> str:
    """Return how far a table is, in words: `42 % of 1,500,000 rows, 30,000 rows/s, about 29 s left`.

    `before` is the share that was read when it began, `seconds` ago.
    """
    told = f"{share:.0%} of {rows:,} rows".replace("%", " %")
    if share <= before or seconds <= 0:
        return told
    rate = (share - before) / seconds
    return f"{told}, {rate * rows:,.0f} rows/s, about {(1 - share) / rate:,.0f} s left"
