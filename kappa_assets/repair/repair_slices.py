"""Repair: slices of a row-by-row Silver done over in place, with the logic that wrote them, beside the stream."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pyspark.sql import functions as F

from kappa_assets.columns import ARRIVAL_DATE, BATCH_ID
from kappa_assets.declare.tables import Silver
from kappa_assets.errors import LogicChanged, ReplayError
from kappa_assets.faults import fault_point
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.graph import Pipeline
from kappa_assets.host.wanted import never
from kappa_assets.kinds.append import open_silver
from kappa_assets.kinds.judging.verdicts import judged_rows, refuse_failed, refusing
from kappa_assets.kinds.known_kinds import kind_of
from kappa_assets.kinds.query import Setting
from kappa_assets.log.delta_log import commits, last_note
from kappa_assets.log.generation_positions import position_of
from kappa_assets.log.note import BEFORE_THE_TAPE, RELEASED, Position, Repair, without_judging
from kappa_assets.log.tape import Tape
from kappa_assets.names import TableName
from kappa_assets.place.change import Applied, Change, Counts, Fence, Write
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.epochs import next_epoch
from kappa_assets.place.registry import Registry
from kappa_assets.repair.slice_files import slice_files

_TRIES = 5
"""How often a slice is computed again when somebody rewrote its files meanwhile: maintenance does, once."""


@dataclass(frozen=True)
class RepairPlan:
    """Slices to do over, oldest first, and the tape position up to which."""

    table: TableName
    generation: int
    code_version: str
    slices: tuple[dt.date, ...]
    from_batch: int
    """The first batch that is done over: rows before it were kept by a replay from a later start, and stay."""
    upto: Position
    tape_rows: int
    """Rows on the tape that are read."""

    @property
    def summary(self) -> str:
        """One line for logs and terminals."""
        span = f"{self.slices[0]} to {self.slices[-1]}" if len(self.slices) > 1 else str(self.slices[0])
        return (
            f"repair {len(self.slices)} slices of {self.table} g{self.generation} ({span}) as of {self.upto}: "
            f"{self.tape_rows:,} rows of the tape"
        )


@dataclass(frozen=True)
class RepairedSlice:
    """What became of one slice; `version` is the table's version that holds it now."""

    table: TableName
    generation: int
    slice: dt.date
    rows: int
    replaced: int
    version: int
    upto: Position
    code_version: str


def plan_repair(
    lake: Lake,
    pipeline: Pipeline,
    table: TableName,
    slices: Sequence[dt.date],
    *,
    bronze_version: int | None = None,
) -> RepairPlan:
    """Return which rows a repair does over: those of `slices` that the table has read, up to `bronze_version`.

    Raises ReplayError for a table that is no row-by-row Silver, that was not written yet or is still in its first read,
    and for a Bronze version that does not exist; LogicChanged when other logic wrote the table.
    """
    silver = pipeline.derived_table(table)
    if not kind_of(silver).repairable:
        above = _repairable_above(pipeline, table)
        instead = f"Repair {above}: {table} follows through its change feed. Or replay {table}."
        raise ReplayError(
            f"{table} has no slices to repair",
            hint=instead if above else f"Replay {table}: of its rows no slice tells alone what is in the table.",
        )
    if not slices:
        raise ReplayError("a repair needs at least one slice", hint="Name a day, such as 2026-11-23.")
    live = Registry(lake).state().live(table)
    deployed = code_version(silver)
    if live is not None and live.code_version != deployed and silver.on_change != "forward":
        raise LogicChanged(
            f"{table} g{live.number} was written by logic {live.code_version}; deployed is {deployed}: "
            "a repair would mix two logics in one table",
            origin=silver.origin,
            hint="Replay it (mode: replay, or kappa replay), or deploy the old logic again.",
        )
    tape = Tape(lake, pipeline.tape_of(table))
    reached = BEFORE_THE_TAPE if live is None else position_of(lake, tape, table, live.number)
    if live is None or reached.batch < 0:
        raise ReplayError(
            f"{table} has not read the tape to a known position yet", hint="Let its stream catch up first: kappa drain."
        )
    upto = reached if bronze_version is None else min(reached, tape.position_at(bronze_version))
    days = tuple(sorted(set(slices)))
    names = {day.isoformat() for day in days}
    rows = sum(
        count
        for commit in tape.commits(live.from_batch, upto.batch)
        for day, count in commit.slices.items()
        if day in names
    )
    return RepairPlan(table, live.number, deployed, days, live.from_batch, upto, rows)


def _repairable_above(pipeline: Pipeline, table: TableName) -> str:
    """Name the tables above one whose slices can be repaired."""
    above = [name for name in pipeline.tables if table in pipeline.downstream(name) and not name.is_tape]
    return " or ".join(str(name) for name in above if kind_of(pipeline.derived_table(name)).repairable)


def run_repair(
    setting: Setting,
    pipeline: Pipeline,
    plan: RepairPlan,
    *,
    progress: Callable[[str], None] = print,
    wanted: Callable[[], str | None] = never,
) -> Iterator[RepairedSlice]:
    """Do the plan's slices over, one commit each, and yield each when it is in the table.

    Readers see a slice as it was or as it is now, and so does whoever follows the change feed. What is interrupted
    leaves whole slices; run again, it finishes. Raises ReplayError when asked to stop, and when another generation of
    the table went live meanwhile: no slice of the one that is not live any more is reported as done.
    """
    repair = _Repair(setting, pipeline, plan)
    began, total = time.monotonic(), 0
    for number, day in enumerate(plan.slices, 1):
        if (reason := wanted()) is not None:
            raise ReplayError(
                f"the repair was stopped before slice {day}: {reason}",
                hint=f"{number - 1} of {len(plan.slices)} slices are done. Launch it again for the rest.",
            )
        done = repair.slice(day)
        total += done.rows
        seconds = max(time.monotonic() - began, 1e-9)
        left = seconds / number * (len(plan.slices) - number)
        progress(
            f"{plan.table} {day}: {done.rows:,} rows in the place of {done.replaced:,}; {number} of {len(plan.slices)} "
            f"slices, {total / seconds:,.0f} rows/s, {left:.0f} s left"
        )
        yield done


class _ReleasedMeanwhile(Exception):
    """Raised instead of committing: rows came out of quarantine, in files that the repair does not replace."""


class _Repair:
    def __init__(self, setting: Setting, pipeline: Pipeline, plan: RepairPlan) -> None:
        silver = pipeline.derived_table(plan.table)
        assert isinstance(silver, Silver)  # noqa: S101 -- for mypy; the plan is of a Silver
        self._setting = setting
        self._silver = silver
        self._plan = plan
        self._bronze = pipeline.tape_of(plan.table)
        self._written = setting.lake.table(plan.table, plan.generation)
        self._target = open_silver(setting, plan.table, plan.generation)
        self._registry = Registry(setting.lake)
        self._epoch = next_epoch(setting.lake)

    def slice(self, day: dt.date) -> RepairedSlice:
        for _ in range(_TRIES):
            done = self._try(day)
            if done is not None:
                return done
        raise ReplayError(
            f"the files of slice {day} of {self._plan.table} were rewritten {_TRIES} times while it was repaired",
            hint="Somebody else repairs or optimizes the same slice; launch the repair again when that is done.",
        )

    def _try(self, day: dt.date) -> RepairedSlice | None:
        """Compute the slice and put it in place of its files; None when these are not there any more."""
        plan = self._plan
        bronze = self._setting.lake.table(self._bronze)
        tape = bronze.read(self._setting.spark, bronze.newest() or 0, pruned=True)
        of_slice = (tape[ARRIVAL_DATE] == day) & tape[BATCH_ID].between(plan.from_batch, plan.upto.batch)
        judged = judged_rows(self._silver, tape.where(of_slice))
        counted = refusing(self._silver)
        fresh = judged.drop(*counted)
        self._target.prepare(fresh.schema)
        seen = self._written.newest() or 0
        old = slice_files(self._written, day, plan.from_batch, plan.upto.batch)
        others = old.others(self._setting.spark, fresh.schema)
        kept = 0 if others is None else others.count()
        done = Repair(day.isoformat(), plan.upto.batch, plan.upto.version, old.rows - kept)

        def note(counts: Counts) -> str:
            since = (commit.note for commit in commits(self._written, after=seen))
            if any(of is not None and RELEASED in of.judged for of in since):
                raise _ReleasedMeanwhile
            return self._note(done, counts.rows - kept)

        # Of two repairs of one slice, the one that began first does not undo the other.
        fence = Fence(f"repair/{day}", self._epoch)
        write = Write(str(plan.table), plan.generation, fence.lease, self._epoch)
        rows = (
            judged if others is None else judged.unionByName(others.withColumns(dict.fromkeys(counted, F.lit(False))))
        )
        taken = old.content(self._setting.spark, fresh.schema)
        check = partial(refuse_failed, self._silver, self._bronze, judged)
        change = Change(write, rows, note, taken, counted=counted, check=check, point="slice_written")
        try:
            applied = self._target.apply(change, fence)
        except _ReleasedMeanwhile:
            return None
        if not isinstance(applied, Applied):
            return None
        fault_point("slice_repaired", str(plan.table))
        repaired = applied.counts.rows - kept
        return RepairedSlice(
            plan.table, plan.generation, day, repaired, done.replaced, applied.version, plan.upto, plan.code_version
        )

    def _note(self, done: Repair, rows: int) -> str:
        """Return the note of a repair: where the stream is now, and what was done over.

        It is asked for in the table's turn, which a promotion and a rollback take too: what is live now stays so until
        the slice is in. Raises ReplayError when the plan's generation is not live any more.
        """
        live = self._registry.state().live(self._plan.table)
        if live is None or live.number != self._plan.generation:
            now = "nothing" if live is None else f"g{live.number}"
            raise ReplayError(
                f"{self._plan.table} g{self._plan.generation} is not live any more, {now} is: slice {done.slice} was "
                "not repaired",
                hint="A release was promoted or selected meanwhile. Look at what is live now; where a slice is still "
                "wrong, launch the repair again. Rows that a replay kept from before its start come right by a replay "
                "from inception.",
            )
        found = last_note(self._written)
        assert found is not None  # noqa: S101 -- for mypy; without a commit of ours there is no position to repair up to
        note = replace(without_judging(found[1]), code_version=self._plan.code_version, rows=rows, repair=done)
        return note.to_json()
