"""What the lineage sensor has to report: one consistent cut through all tables, and the news up to it. No Dagster."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kappa_assets.columns import ARRIVAL_DATE
from kappa_assets.declare.tables import Table
from kappa_assets.errors import TapeGap
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.graph import Pipeline
from kappa_assets.host.host_status import QueryStatus
from kappa_assets.kinds.known_kinds import is_sliced
from kappa_assets.log.delta_log import Commit
from kappa_assets.log.followed_logs import FollowedLogs
from kappa_assets.log.generation_positions import live_position
from kappa_assets.log.note import BEFORE_THE_TAPE, CommitNote, Position
from kappa_assets.log.tape import Tape
from kappa_assets.names import TableName
from kappa_assets.orchestration.lineage.lineage_cursor import Mark
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.port import StoredTable
from kappa_assets.place.registry import State

_MOVING = ("running", "waiting")


@dataclass(frozen=True)
class SliceNews:
    """What happened to one slice of a table; `partition` is None for unpartitioned tables and for early slices."""

    partition: str | None
    days: tuple[str, ...]
    """The slices told of: one, or all from before the pipeline's start; none for an unpartitioned table."""
    commits: tuple[Commit, ...]
    """The commits that touched it, oldest first; none when only its upstream's slice was touched."""
    rows: int | None = None
    """All its rows, where the whole table is reported anew; None: the rows that `commits` added count."""


@dataclass(frozen=True)
class TableNews:
    """What one table has to say: from after the last report up to the cut."""

    table: TableName
    generation: int
    version: int
    """The newest version within the cut."""
    code_version: str
    upstreams: tuple[TableName, ...]
    note: CommitNote | None
    """The newest note within the cut."""
    at: dt.datetime
    slices: tuple[SliceNews, ...]
    sliced: bool = True
    """Whether its rows lie in slices, and each commit adds some; else each commit writes the table anew."""
    anew: str | None = None
    """Why every slice is reported again, or None."""

    @property
    def mark(self) -> Mark:
        """How far the table is told of, once these news are."""
        return Mark(self.generation, self.version)


@dataclass(frozen=True)
class LineagePlan:
    """One cut, and the news of every table up to it, upstream first."""

    cut: Mapping[TableName, Position]
    news: tuple[TableNews, ...]


@dataclass
class Sight:
    """Where the planner looks: a lake, its registry's state, the logs, the tapes, and the host's word on queries."""

    lake: Lake
    pipeline: Pipeline
    state: State
    logs: FollowedLogs
    tapes: Mapping[TableName, Tape]
    queries: Mapping[str, QueryStatus] = field(default_factory=dict)
    """Each table's query, as the living host says; empty without a host."""


def plan_lineage(
    sight: Sight, marks: Mapping[TableName, Mark], pending: Mapping[TableName, Position] | None = None
) -> LineagePlan:
    """Return what to report: everything up to the greatest tape position that every moving table has passed.

    So nothing looks stale only because a tick fell between two commits. A cut that was begun (`pending`) is kept.
    """
    cut = dict(pending) if pending is not None else _cut(sight)
    news: list[TableNews] = []
    touched: dict[TableName, set[str]] = {}
    for table in sight.pipeline:
        found = _news(sight, table, marks.get(table.name), cut, touched)
        if found is not None:
            news.append(found)
            touched[table.name] = {day for s in found.slices for day in s.days}
    return LineagePlan(cut, tuple(news))


def _cut(sight: Sight) -> dict[TableName, Position]:
    """Return, for each tape, the position that every moving table has passed; its head when none moves.

    Held and parked tables are left behind, with what is below them, and so are those that wait for their `every`.
    """
    cut = {name: tape.head() for name, tape in sight.tapes.items()}
    left_behind: set[TableName] = set()
    for table in sight.pipeline.derived:
        name = table.name
        query = sight.queries.get(str(name))
        moves = query is not None and query.state in _MOVING and sight.state.live(name) is not None
        if not moves or left_behind & {*sight.pipeline.upstreams[name]}:
            left_behind.add(name)
        elif not table.every:
            for tape in (sight.tapes[bronze] for bronze in sight.pipeline.tapes_of(name)):
                passed = live_position(sight.lake, sight.state, name, tape, logs=sight.logs)
                if passed != BEFORE_THE_TAPE:  # a table that shows nothing yet cannot look stale
                    cut[tape.bronze] = min(cut[tape.bronze], passed)
    return cut


def _news(
    sight: Sight,
    table: Table,
    mark: Mark | None,
    cut: Mapping[TableName, Position],
    touched: Mapping[TableName, set[str]],
) -> TableNews | None:
    generation = _live_generation(sight, table.name)
    if generation is None:
        return None
    stored = sight.lake.table(table.name, generation)
    same = mark is not None and mark.generation == generation
    after = mark.version if mark is not None and same else -1
    anew = None if mark is None or same else _why_moved(sight, mark, generation)
    newest = sight.logs.newest(stored)
    if newest is None or (newest <= after and anew is None):
        return None
    bounds = {str(tape): cut[tape].batch for tape in sight.pipeline.tapes_of(table.name)}
    try:
        within = _within(_all_since(sight, stored, after), bounds)
    except TapeGap:
        anew = anew or "the log no longer holds every version since the last report"
        version = _newest_within(sight, table.name, generation, bounds)
        within = [] if version is None or version <= after else [sight.logs.commit(stored, version)]
    if not within:
        return None
    sliced = is_sliced(table)
    found = sight.logs.last_note(stored, at_most=within[-1].version)
    note = None if found is None else found[1]
    upstreams = sight.pipeline.upstreams.get(table.name, ())
    above = {day for upstream in upstreams for day in touched.get(upstream, ())}
    if not sliced:
        slices = _gold_slices(within, anew)
    elif anew is not None:
        slices = _all_slices(sight, table.name, generation, within[-1].version, cut[sight.pipeline.tape_of(table.name)])
    else:
        slices = _touched_slices(within, above, sight.pipeline.start)
    return TableNews(
        table=table.name,
        generation=generation,
        version=within[-1].version,
        code_version=(note.code_version if note else "") or code_version(table),
        upstreams=upstreams,
        note=note,
        at=within[-1].at,
        slices=slices,
        sliced=sliced,
        anew=anew,
    )


def _live_generation(sight: Sight, table: TableName) -> int | None:
    if table.is_tape:
        return 1
    live = sight.state.live(table)
    return None if live is None else live.number


def _why_moved(sight: Sight, mark: Mark, generation: int) -> str:
    release = sight.state.release
    number = "?" if release is None else release.number
    why = "" if release is None or not release.reason else f" ({release.reason})"
    return f"release {number}{why} moved it from generation {mark.generation} to {generation}"


def _all_since(sight: Sight, table: StoredTable, after: int) -> Iterator[Commit]:
    """Yield the commits after `after`. Raises TapeGap when one was cleaned from the log, be it the table's first."""
    for commit in sight.logs.commits(table, after=after):
        if commit.version != after + 1:
            raise TapeGap(
                f"the log of {table.called} no longer holds version {after + 1}",
                hint="It was cleaned up before it was reported; the slices of the table are reported as a whole.",
            )
        after = commit.version
        yield commit


def _within(commits: Iterable[Commit], bounds: Mapping[str, int]) -> list[Commit]:
    """Return the leading commits that go past the cut on no tape: its batch, by tape."""
    found: list[Commit] = []
    for commit in commits:
        if commit.note is not None and _is_past(commit.note, bounds):
            break
        found.append(commit)
    return found


def _is_past(note: CommitNote, bounds: Mapping[str, int]) -> bool:
    """Return whether a commit brings its table further on a tape than a bound."""
    if note.tape_batch is not None:
        return note.tape_batch > bounds[note.table]
    return any(note.position[tape].batch > batch for tape, batch in bounds.items() if tape in note.position)


def _newest_within(sight: Sight, table: TableName, generation: int, bounds: Mapping[str, int]) -> int | None:
    stored = sight.lake.table(table, generation)
    found = sight.logs.last_note(stored)
    while found is not None and _is_past(found[1], bounds):
        found = sight.logs.last_note(stored, at_most=found[0] - 1)
    return None if found is None else found[0]


def _gold_slices(commits: Sequence[Commit], anew: str | None) -> tuple[SliceNews, ...]:
    ours = tuple(c for c in commits if c.note is not None)
    return (SliceNews(None, (), ours),) if ours or anew is not None else ()


def _touched_slices(commits: Sequence[Commit], above: set[str], start: dt.date) -> tuple[SliceNews, ...]:
    """Return the news of each slice that the commits touched, or that was touched in the upstream they read.

    A batch whose rows were all rejected touches nothing; it is told of with the newest slice that it read.
    """
    by_day: dict[str, list[Commit]] = {}
    for commit in commits:
        if commit.note is not None:
            for day in commit.rows_by_slice or ({max(above)} if above else ()):
                by_day.setdefault(day, []).append(commit)
    days = set(by_day) | (above if any(c.note is not None for c in commits) else set())
    news = [SliceNews(d, (d,), tuple(by_day.get(d, ()))) for d in sorted(days) if d >= start.isoformat()]
    early = sorted(d for d in days if d < start.isoformat())
    if early:
        versions = {c.version: c for d in early for c in by_day.get(d, ())}
        news.insert(0, SliceNews(None, tuple(early), tuple(versions[v] for v in sorted(versions))))
    return tuple(news)


def _all_slices(sight: Sight, table: TableName, generation: int, version: int, cut: Position) -> tuple[SliceNews, ...]:
    """Return every slice of a generation with all its rows, and those of its tape that have none in it."""
    rows = rows_by_slice(sight.lake, table, generation, version)
    tape = sight.tapes[sight.pipeline.tape_of(table)]
    days = set(rows) | {day for c in tape.commits(upto=cut.batch) for day in c.slices}
    start = sight.pipeline.start.isoformat()
    news = [SliceNews(d, (d,), (), rows.get(d, 0)) for d in sorted(days) if d >= start]
    early = sorted(d for d in days if d < start)
    if early:
        news.insert(0, SliceNews(None, tuple(early), (), sum(rows.get(d, 0) for d in early)))
    return tuple(news)


def rows_by_slice(lake: Lake, table: TableName, generation: int, version: int) -> dict[str, int]:
    """Return the rows of each slice of a Bronze or Silver table at one version, from its files' statistics."""
    actions = lake.table(table, generation).files(version)
    if not actions.num_rows:
        return {}
    days = actions.column(f"partition.{ARRIVAL_DATE}").to_pylist()
    found: dict[str, int] = {}
    for day, rows in zip(days, actions.column("num_records").to_pylist(), strict=True):
        found[str(day or "")] = found.get(str(day or ""), 0) + int(rows or 0)
    return found
