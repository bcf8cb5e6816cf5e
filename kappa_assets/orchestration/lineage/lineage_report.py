"""The news of the tables as Dagster events: one per table and touched slice, upstream first, each exactly once."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from kappa_assets.declare.tables import AHEAD, DUPLICATE, LATE, Derived
from kappa_assets.log.delta_log import Commit
from kappa_assets.log.note import DELAYS, IMPLAUSIBLE, UNKNOWN_DELAY
from kappa_assets.names import TableName
from kappa_assets.orchestration.lineage.lineage_cursor import Mark
from kappa_assets.orchestration.lineage.lineage_plan import (
    LineagePlan,
    Sight,
    SliceNews,
    TableNews,
    rows_by_slice,
)
from kappa_assets.orchestration.lineage.provenance import (
    DATA_VERSION,
    NO_POINTER,
    REPORTED,
    Input,
    data_version,
    parse_data_version,
    provenance_tags,
)
from kappa_assets.orchestration.lineage.reads_told import reads_told
from kappa_assets.orchestration.shown.shown_columns import columns_of

_PAGE = 20
_LOOK_BACK = 2_000
"""Events looked through for the last of ours: those of a tick that died are the newest there are."""


@dataclass(frozen=True)
class _Last:
    """The last event of ours about a slice."""

    generation: int
    version: int
    row_count: int | None


@dataclass
class Reporter:
    """Reports a plan's events. `late` says when to stop; what is left is reported by the next tick."""

    instance: dg.DagsterInstance
    sight: Sight
    late: Callable[[], bool]
    undescribed: frozenset[TableName] = frozenset()
    """Tables whose definition was loaded before they had columns: their events carry them."""
    events: int = 0
    marks: dict[TableName, Mark] = field(default_factory=dict)
    """How far the tables that were reported whole are reported now."""

    def report(self, plan: LineagePlan) -> bool:
        """Report everything and return True; False when time was up before the end."""
        for news in plan.news:
            for of_slice in news.slices:
                if self.late():
                    return False
                self._report(news, of_slice)
            self.marks[news.table] = news.mark
        return True

    def _report(self, news: TableNews, of_slice: SliceNews) -> None:
        key = dg.AssetKey(news.table.key)
        last = self._last(key, of_slice.partition, partitioned=news.sliced)
        seen = last.version if last is not None and last.generation == news.generation else -1
        version = of_slice.commits[-1].version if of_slice.commits else news.version
        if seen >= version:
            return
        fresh = [c for c in of_slice.commits if c.version > seen]
        tags = provenance_tags(data_version(news.generation, version), news.code_version, self._inputs(news, of_slice))
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                key,
                partition=of_slice.partition,
                description=_text(news, of_slice, fresh, version),
                metadata=self._metadata(news, of_slice, fresh, version, last if seen >= 0 else None),
                tags=tags | {REPORTED: data_version(news.generation, version)},
            )
        )
        self.events += 1

    def _last(self, key: dg.AssetKey, partition: str | None, *, partitioned: bool) -> _Last | None:
        """Return the last event of ours about a slice. Events are stored before the cursor: a tick may have died."""
        wanted = dg.AssetRecordsFilter(key, asset_partitions=[partition] if partition else None)
        cursor, seen, limit = None, 0, 1
        while seen < _LOOK_BACK:
            found = self.instance.fetch_materializations(wanted, limit=limit, cursor=cursor)
            for record in found.records:
                event = record.asset_materialization
                version = parse_data_version((event.tags or {}).get(REPORTED)) if event else None
                if event and version and (event.partition == partition or not partitioned):
                    count = event.metadata.get("dagster/row_count")
                    return _Last(*version, None if count is None else int(str(count.value)))
            if not found.has_more:
                return None
            seen, cursor, limit = seen + len(found.records), found.cursor, _PAGE
        return None

    def _inputs(self, news: TableNews, of_slice: SliceNews) -> list[Input]:
        """Return what the slice was made from: of each upstream its slice, or the version that a Gold has read."""
        return [self._input(news, of_slice, upstream) for upstream in news.upstreams]

    def _input(self, news: TableNews, of_slice: SliceNews, upstream: TableName) -> Input:
        key = dg.AssetKey(upstream.key)
        record = self.instance.get_latest_data_version_record(key, False, of_slice.partition)
        event = None if record is None else record.asset_materialization
        version = NO_POINTER if event is None else (event.tags or {}).get(DATA_VERSION, NO_POINTER)
        read = news.note.reads.get(str(upstream)) if news.note else None
        if not news.sliced and read is not None and read.version >= 0:
            version = data_version(read.generation, read.version)
        return Input(key, version, None if record is None else record.storage_id)

    def _metadata(
        self, news: TableNews, of_slice: SliceNews, fresh: list[Commit], version: int, last: _Last | None
    ) -> dict[str, Any]:
        rows = _rows(news, of_slice, fresh)
        count = self._row_count(news, of_slice, fresh, last)
        facts: dict[str, Any] = {
            "rows": rows,
            "dagster/row_count": count,
            "version": version,
            "from_version": fresh[0].version if fresh and news.anew is None else version,
            "commits": len(fresh),
            "generation": news.generation,
            **self._position(news),
            **self._judged(news, of_slice, fresh),
            **({} if news.anew else reads_told(c for c in fresh if _is_told_with(c, of_slice))),
            **_implausible(news, of_slice, fresh),
            **self._seconds(news),
        }
        if of_slice.partition is None and of_slice.days:
            facts["slices before the pipeline's start"] = ", ".join(of_slice.days)
        if news.table in self.undescribed:
            table = self.sight.lake.table(news.table, news.generation)
            facts["dagster/column_schema"] = columns_of(table, self.sight.pipeline[news.table].columns)
        return {name: value for name, value in facts.items() if value is not None}

    def _row_count(self, news: TableNews, of_slice: SliceNews, fresh: list[Commit], last: _Last | None) -> int | None:
        """Return all rows of the slice or Gold: counted on from the last event where rows were only added."""
        if of_slice.rows is not None:
            return of_slice.rows
        if not news.sliced:
            return None if news.note is None else news.note.rows
        added = _rows(news, of_slice, fresh)
        only_added = not any(c.removes_data or _is_repair(c) for c in fresh)
        if last is not None and last.row_count is not None and only_added:
            return last.row_count + added
        known = rows_by_slice(self.sight.lake, news.table, news.generation, news.version)
        return sum(known.get(day, 0) for day in of_slice.days)

    def _position(self, news: TableNews) -> dict[str, int]:
        """Return how far on its tape the table reflects; on several, the name of each stands behind the number's."""
        tapes = [str(tape) for tape in self.sight.pipeline.tapes_of(news.table)]
        positions = news.note.position if news.note else {}
        found: dict[str, int] = {}
        for tape in (tape for tape in tapes if tape in positions):
            of = f" of {tape}" if len(tapes) > 1 else ""
            found |= {f"tape_batch{of}": positions[tape].batch, f"tape_version{of}": positions[tape].version}
        return found

    def _judged(self, news: TableNews, of_slice: SliceNews, fresh: list[Commit]) -> dict[str, int]:
        """Return how many rows failed each expectation, came late, and by how much, or were there already.

        A batch's are told with the newest slice it touched.
        """
        table = self.sight.pipeline[news.table]
        if not isinstance(table, Derived) or news.anew is not None:
            return {}
        told = {"warn": "warned", "drop": "rejected", "quarantine": "quarantined"}
        names = {e.name: f"{told[e.on_fail]}_{e.name}" for e in table.judged_by if e.on_fail in told}
        counts = Counter(dict.fromkeys(names.values(), 0))
        rows = [*((LATE, AHEAD) if table.late else ()), *((DUPLICATE,) if table.unique else ())]
        counts.update({f"rows_{name}": 0 for name in rows})
        if table.late is not None:
            counts.update(dict.fromkeys(map(_delay, (*DELAYS, UNKNOWN_DELAY)), 0))
        for commit in fresh:
            if commit.note is not None and _is_told_with(commit, of_slice):
                failed = {**commit.note.rejected, **commit.note.warned}
                counts.update({names.get(e, f"rejected_{e}"): n for e, n in failed.items() if e not in rows})
                counts.update({f"rows_{name}": commit.note.judged.get(name, 0) for name in rows})
                counts.update({_delay(name): rows for name, rows in commit.note.delays.items()})
        return dict(counts)

    def _seconds(self, news: TableNews) -> dict[str, float]:
        """Return how long after the tape the news was in the table, how long its batch took, and what waits unread."""
        found: dict[str, float] = {}
        landed = [self._landed(news, tape) for tape in self.sight.pipeline.tapes_of(news.table)]
        newest = max((at for at in landed if at is not None), default=None)
        if newest is not None and news.upstreams and news.anew is None:
            found["lag_seconds"] = round(max(0.0, (news.at - newest).total_seconds()), 3)
        query = self.sight.queries.get(str(news.table))
        if query is not None and query.batch_seconds is not None and news.anew is None:
            found["batch_seconds"] = query.batch_seconds
        if query is not None and query.unread is not None:
            found["unread"] = sum(query.unread.values())
        return found

    def _landed(self, news: TableNews, tape: TableName) -> dt.datetime | None:
        """Return when the batch of a tape that the table reflects was put on it."""
        position = news.note.position.get(str(tape)) if news.note else None
        if position is None:
            return None
        commits = self.sight.tapes[tape].commits(position.batch, position.batch)
        return next((commit.at for commit in reversed(commits)), None)


def _delay(name: str) -> str:
    """Return the name under which rows of a delay plot."""
    return f"delay_days_{name}"


def _implausible(news: TableNews, of_slice: SliceNews, fresh: list[Commit]) -> dict[str, int]:
    """Return how many rows of a tape claimed an arrival that cannot be."""
    if not news.table.is_tape or news.anew is not None:
        return {}
    told = (c.note for c in fresh if c.note is not None and _is_told_with(c, of_slice))
    return {IMPLAUSIBLE: sum(note.source.get(IMPLAUSIBLE, 0) for note in told)}


def _is_told_with(commit: Commit, of_slice: SliceNews) -> bool:
    """Return whether a commit's counts belong to a slice: the newest that it touched. Without slices all of them do."""
    return not of_slice.days or not commit.rows_by_slice or max(commit.rows_by_slice) in of_slice.days


def _rows(news: TableNews, of_slice: SliceNews, fresh: list[Commit]) -> int:
    """Return the rows that the commits brought to the slice; of a Gold, which is written whole, all rows."""
    if of_slice.rows is not None:
        return of_slice.rows
    if not news.sliced:
        return (news.note.rows if news.note else None) or 0
    return sum(c.rows_by_slice.get(day, 0) for c in fresh for day in of_slice.days)


def _is_repair(commit: Commit) -> bool:
    return commit.note is not None and commit.note.repair is not None


def _text(news: TableNews, of_slice: SliceNews, fresh: list[Commit], version: int) -> str:
    rows = _rows(news, of_slice, fresh)
    made = data_version(news.generation, version)
    if news.anew is not None:
        what = f"{made}: all {rows:,} rows; reported again, for {news.anew}."
    elif fresh:
        first = fresh[0].version
        span = f"version {version}" if first == version else f"versions {first} to {version}"
        total = "rows in all" if not news.sliced else "new rows"
        commits = "1 commit" if len(fresh) == 1 else f"{len(fresh)} commits"
        what = f"{made}: {rows:,} {total}, {commits} ({span})."
        if all(_is_repair(c) for c in fresh):
            what = f"{made}: repaired, {rows:,} rows ({span})."
    else:
        what = f"{made}: no new rows; what arrived in this slice gave none."
    return " ".join([what, *_read(news), *_early(of_slice)])


def _read(news: TableNews) -> list[str]:
    """Name what was read: `Read silver.sales g1.v12; bronze.invoices up to batch 41, version 43.`"""
    if news.note is None or not news.upstreams:
        return []
    read = []
    for upstream in (upstream for upstream in news.upstreams if not upstream.is_tape):
        found = news.note.reads.get(str(upstream))
        if found is not None and found.version >= 0:
            read.append(f"{upstream} {data_version(found.generation, found.version)}")
    read += [f"{tape} up to {position}" for tape, position in sorted(news.note.position.items())]
    return [f"Read {'; '.join(read)}."] if read else []


def _early(of_slice: SliceNews) -> list[str]:
    if of_slice.partition is not None or not of_slice.days:
        return []
    days = of_slice.days[0] if len(of_slice.days) == 1 else f"{of_slice.days[0]} to {of_slice.days[-1]}"
    return [f"Without a partition: arrived {days}, before the pipeline's start."]
