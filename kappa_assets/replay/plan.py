"""What a replay will do, decided before anything is done. Planning reads registry and logs, and changes nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from kappa_assets.declare.tables import Derived
from kappa_assets.errors import ReplayError
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.graph import Pipeline
from kappa_assets.kinds.known_kinds import is_sliced, kind_of
from kappa_assets.log.generation_positions import position_of
from kappa_assets.log.note import BEFORE_THE_TAPE, Position
from kappa_assets.log.tape import Tape
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Generation, Registry, State
from kappa_assets.replay import cost
from kappa_assets.replay.open_replay import OpenReplay, find_open
from kappa_assets.replay.tape_range import Asked, TapeRange, ranges_of


@dataclass(frozen=True)
class ReplayStep:
    """One candidate to build: which generation, from which upstream generation, from which tape batches."""

    table: TableName
    generation: int
    reads: Mapping[TableName, int]
    """The generation that it reads of each of its upstreams, in their order; 1 of a tape."""
    code_version: str
    live_generation: int | None
    live_code_version: str | None
    from_batch: int
    to_batch: int | None
    """The last batch it takes in, for a validation; None: it follows the tape."""
    kept_from: int | None
    """The live generation whose rows before `from_batch` are kept; None when everything is computed anew."""
    tape_rows: int
    """Rows on the tape that it, or the Silver above it, plays again."""
    bytes_to_read: int
    """Size of the files they are in; of a candidate upstream, of the live one's."""
    bytes_to_write: int
    """About what it adds to the disk: as much as the live generation and its rejects hold."""
    seconds: float | None
    """About how long building takes, at the rate of an earlier replay; None: never measured."""

    def row(self, number: int) -> dict[str, Any]:
        """The step as a row of a table or of JSON."""
        return {
            "step": number,
            "table": str(self.table),
            "candidate": f"g{self.generation}",
            "live": None if self.live_generation is None else f"g{self.live_generation}",
            "logic": "same" if self.code_version == self.live_code_version else "changed",
            "reads": ", ".join(f"{upstream} g{number}" for upstream, number in self.reads.items()),
            "from_batch": self.from_batch,
            "to_batch": self.to_batch,
            "keeps": None if self.kept_from is None else f"rows before batch {self.from_batch} of g{self.kept_from}",
            "tape_rows": self.tape_rows,
            "bytes_to_read": self.bytes_to_read,
            "bytes_to_write": self.bytes_to_write,
            "seconds": None if self.seconds is None else round(self.seconds, 1),
        }


@dataclass(frozen=True)
class ReplayPlan:
    """The candidates to build, in order, and what they were planned on."""

    tables: tuple[TableName, ...]
    asked: Asked
    head: Mapping[str, Position]
    steps: tuple[ReplayStep, ...]
    resumes: str | None = None
    """The replay that died on the way and is gone on with; its candidates are those of the steps."""
    discards: str | None = None
    """The replay that died on the way and is of no use any more: removed before this one begins."""
    discards_because: str | None = None
    free_bytes: int = field(default=0, compare=False)

    @property
    def is_validation(self) -> bool:
        """Whether it has an end on the tape: built and compared, but never promoted."""
        return self.asked.end is not None

    @property
    def bytes_to_read(self) -> int:
        """Bytes of the tape and of candidates that all steps read."""
        return sum(s.bytes_to_read for s in self.steps)

    @property
    def bytes_to_write(self) -> int:
        """Bytes that all steps write, as the live tables let expect."""
        return sum(s.bytes_to_write for s in self.steps)

    @property
    def seconds(self) -> float | None:
        """About how long building takes, or None when a table's rate was never measured."""
        known = [s.seconds for s in self.steps if s.seconds is not None]
        return sum(known) if len(known) == len(self.steps) else None

    @property
    def summary(self) -> str:
        """One line for logs and terminals."""
        built = ", ".join(f"{s.table} g{s.generation}" for s in self.steps)
        end = "" if self.asked.end is None else f" up to {self.asked.end}, to be validated"
        doing = "replay" if self.resumes is None else f"{self.resumes} goes on: replay"
        return f"{doing} from {self.asked.start}{end}: build {built} beside the live tables"

    @property
    def text(self) -> str:
        """The plan in sentences: what is built, kept and dropped, and what it costs."""
        time = "unknown, nothing was measured yet" if self.seconds is None else f"about {self.seconds:,.0f} s"
        kept = [f"{s.table} keeps its rows before batch {s.from_batch}" for s in self.steps if s.kept_from is not None]
        reads, writes, free = map(cost.in_words, (self.bytes_to_read, self.bytes_to_write, self.free_bytes))
        lines = [
            self.summary,
            f"reads {reads}, writes about {writes} of {free} that are free, takes {time}",
            f"kept: {'; '.join([*kept, 'the live generations, to roll back to'])}",
            f"dropped: {self._dropped}",
        ]
        return "\n".join(lines)

    @property
    def _dropped(self) -> str:
        if self.discards is None:
            return "nothing"
        return f"replay {self.discards}, which died while it was built: {self.discards_because}"

    def rows(self) -> list[dict[str, Any]]:
        """One row per step, for a table or JSON."""
        return [s.row(number) for number, s in enumerate(self.steps, 1)]

    def facts(self) -> dict[str, Any]:
        """The plan as it is stored in the registry."""
        return {
            "tables": [str(t) for t in self.tables],
            "asked": self.asked.facts(),
            "head": {name: asdict(p) for name, p in self.head.items()},
            "steps": self.rows(),
        }


def plan_replay(
    lake: Lake,
    pipeline: Pipeline,
    tables: Sequence[TableName],
    *,
    from_version: int | None = None,
    from_time: str | dt.date | None = None,
    to_version: int | None = None,
    to_time: str | dt.date | None = None,
) -> ReplayPlan:
    """Return the plan of a replay of `tables` and everything downstream.

    Args:
        from_version: first Bronze version to play; 0 or None is inception.
        from_time: instead, the day (UTC, of arrival) to play from: from the first batch with rows of that day or later.
        to_version: last Bronze version to play. The replay is then a validation: compared, never promoted.
        to_time: instead, the last day: up to before the first batch whose rows all arrived later.

    With a later start a row-by-row Silver keeps its live rows from before it; Gold is always rebuilt from the candidate
    upstream. The same request as that of a replay that died goes on with it (`resumes`).

    Raises ReplayError when another replay is open, the tape does not hold the range or can no longer be played, the
    live table has not come as far as the start, or the disk is too small; DeclarationError for a Bronze table.
    """
    if not tables:
        raise ReplayError("a replay needs at least one table", hint="--tables silver.<name>")
    asked = Asked.of(from_version, from_time, to_version, to_time)
    state = Registry(lake).state()
    chosen = [pipeline.derived_table(name).name for name in tables]
    affected = {n for t in chosen for n in (t, *pipeline.downstream(t))}
    open_replay = find_open(lake, pipeline, state, affected, asked)
    tapes = {name: Tape(lake, name) for t in affected for name in pipeline.tapes_of(t)}
    ranges = ranges_of(pipeline, chosen, tapes, asked)
    planner = _Planner(lake, pipeline, state, open_replay)
    for table in pipeline.derived:
        if table.name in affected:
            on = pipeline.tapes_of(table.name)
            planner.add(table, [(tapes[name], ranges[name]) for name in on])
    plan = ReplayPlan(
        tables=tuple(chosen),
        asked=asked,
        head={str(n): t.head() for n, t in tapes.items()},
        steps=tuple(planner.steps.values()),
        resumes=open_replay.resumes,
        discards=open_replay.discards,
        discards_because=open_replay.because,
        free_bytes=cost.free_bytes(lake),
    )
    _check_disk(lake, plan)
    return plan


class _Planner:
    """Makes the steps, upstream first: each knows the candidates above it."""

    def __init__(self, lake: Lake, pipeline: Pipeline, state: State, open_replay: OpenReplay) -> None:
        self._lake = lake
        self._pipeline = pipeline
        self._state = state
        self._begun = open_replay.candidates
        self.steps: dict[TableName, ReplayStep] = {}

    def add(self, table: Derived, on: Sequence[tuple[Tape, TapeRange]]) -> None:
        """Add the step of one table, which stands on these tapes."""
        live = self._state.live(table.name)
        begun = self._begun.get(table.name)
        kept = self._kept(table, live, *on[0]) if begun is None else begun.kept_from
        first = (on[0][1].first if kept is not None else 0) if begun is None else begun.from_batch
        last = self._last(table, on) if begun is None else begun.to_batch
        played = [(tape, TapeRange(first, part.last)) for tape, part in on]
        rows = sum(c.rows for tape, part in played for c in part.of(tape.commits()))
        rate = cost.rows_per_second(self._state, table.name)
        number = self._state.next_generation(table.name) if begun is None else begun.number
        self.steps[table.name] = ReplayStep(
            table=table.name,
            generation=number,
            reads={u: self._generation_above(u, begun) for u in self._pipeline.upstreams[table.name]},
            code_version=code_version(table),
            live_generation=live.number if live else None,
            live_code_version=live.code_version if live else None,
            from_batch=first,
            to_batch=last,
            kept_from=kept,
            tape_rows=rows,
            bytes_to_read=sum(self._bytes_to_read(u, played) for u in self._pipeline.upstreams[table.name]),
            bytes_to_write=self._bytes_to_write(table.name, number, live),
            seconds=None if rate is None else rows / rate,
        )

    def _kept(self, table: Derived, live: Generation | None, tape: Tape, part: TapeRange) -> int | None:
        """Return the generation whose rows before the range are kept: a row-by-row Silver's live one."""
        if part.first == 0 or live is None or not kind_of(table).keeps_rows:
            return None
        reached = position_of(self._lake, tape, live.table, live.number)
        _check_reached(live, reached, part.first)
        return live.number

    def _last(self, table: Derived, on: Sequence[tuple[Tape, TapeRange]]) -> int | None:
        """Return the last batch that a table takes in by itself; None where what it reads ends there already.

        Rows without addresses cannot be cut at a batch. Raises ReplayError when nothing that it reads ends there.
        """
        reads = self._pipeline.upstreams[table.name]
        if len(reads) == 1 and is_sliced(self._pipeline[reads[0]]):
            return on[0][1].last
        ends = {tape.bronze for tape, part in on if part.last is not None}
        ended = [u for u in reads if ends & {*self._pipeline.tapes_of(u)}]
        if ended and not any(u in self.steps for u in ended):
            raise ReplayError(
                f"{table.name} cannot be validated up to an end: it reads {ended[0]}, which goes on behind it",
                hint=f"Validate {ended[0]} too: --tables {ended[0]}.",
            )
        return None

    def _generation_above(self, upstream: TableName, begun: Generation | None) -> int:
        if begun is not None:
            return begun.generation_of(upstream)
        if upstream in self.steps:
            return self.steps[upstream].generation
        live = None if upstream.is_tape else self._state.live(upstream)
        return live.number if live else 1

    def _bytes_to_read(self, upstream: TableName, played: Sequence[tuple[Tape, TapeRange]]) -> int:
        if upstream.is_tape:
            return cost.tape_bytes(self._lake, *played[0])
        live = self._state.live(upstream)
        return cost.table_bytes(self._lake, upstream, live.number if live else None)

    def _bytes_to_write(self, table: TableName, number: int, live: Generation | None) -> int:
        whole = cost.written_bytes(self._lake, table, live.number if live else None)
        there = cost.written_bytes(self._lake, table, number)
        return max(whole + cost.reject_bytes(self._lake, self._state, table) - there, 0)


def _check_reached(live: Generation, reached: Position, start: int) -> None:
    if reached.batch < start - 1:
        said = "nothing yet" if reached == BEFORE_THE_TAPE else reached
        raise ReplayError(
            f"{live.table} g{live.number} has reached {said}; a replay from batch {start} would "
            f"keep its rows up to batch {start - 1}",
            hint="Choose an earlier version, or 0 for inception.",
        )


def _check_disk(lake: Lake, plan: ReplayPlan) -> None:
    if plan.bytes_to_write > plan.free_bytes:
        raise ReplayError(
            f"the disk of {lake.called!r} does not hold it: the candidates need about "
            f"{cost.in_words(plan.bytes_to_write)}, {cost.in_words(plan.free_bytes)} are free",
            hint="Make room (kappa discard removes a replay nobody needs), or replay fewer tables.",
        )
