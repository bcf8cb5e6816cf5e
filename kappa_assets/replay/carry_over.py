"""Rows that a candidate kept, taken over again where the live table was repaired since: no promotion undoes it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from kappa_assets.columns import BATCH_ID
from kappa_assets.errors import ReplayError, TapeGap
from kappa_assets.kinds.append import open_silver
from kappa_assets.kinds.query import Setting
from kappa_assets.log.delta_log import commits, last_note
from kappa_assets.log.note import RELEASED, Repair, without_judging
from kappa_assets.names import Layer, TableName
from kappa_assets.place.change import Applied, Change, Write
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.port import OpenTable, StoredTable
from kappa_assets.place.registry import Generation, State
from kappa_assets.repair.slice_files import slice_files, slices_of
from kappa_assets.replay.tape_progress import Say

KEPT_VERSION = "kept_version"
"""In a candidate's note: the live table's version whose rows from before the candidate's start it holds."""
_TRIES = 5
"""How often a slice is put in again when its files in the candidate were rewritten meanwhile."""


@contextmanager
def live_turns(lake: Lake, state: State, tables: Iterable[TableName]) -> Iterator[None]:
    """Hold the turns of the live Silver tables among `tables`: no repair commits to one while another goes live."""
    live = [state.live(table) for table in sorted(tables, key=str) if table.layer is Layer.SILVER]
    with ExitStack() as turns:
        for generation in live:
            table = None if generation is None else lake.table(generation.table, generation.number)
            if table is not None and table.newest() is not None:
                turns.enter_context(table.turn())
        yield


@dataclass
class CarriedOver:
    """How far one candidate that kept rows has taken over what was done to them in the live table since."""

    setting: Setting
    candidate: Generation
    version: int
    """The live table's version up to which nothing is missing; -1 when it was not noted: then all is looked at."""

    @classmethod
    def of(cls, setting: Setting, candidates: Iterable[Generation]) -> list[CarriedOver]:
        """Return those candidates that kept rows, as far as their notes say that they are."""
        return [cls(setting, c, _noted(setting.lake, c)) for c in candidates if c.kept_from is not None]

    @property
    def live(self) -> StoredTable:
        """The live generation that rows are kept from."""
        return self.setting.lake.table(self.candidate.table, self.candidate.kept_from or 1)

    def missing(self) -> tuple[dt.date, ...]:
        """Return the slices of the live table that lost or changed rows since, or got some out of quarantine."""
        days: set[str] = set()
        try:
            for commit in commits(self.live, after=self.version):
                days |= commit.removed_slices if commit.removes_data else set()
                released = commit.note is not None and RELEASED in commit.note.judged
                days |= commit.rows_by_slice.keys() if released else set()
        except TapeGap:  # the log does not tell any more: each slice may be one
            days.add("")
        if "" in days:
            return tuple(sorted({*slices_of(self.live), *slices_of(self._built)}))
        return tuple(sorted(map(dt.date.fromisoformat, days)))

    def catch_up(self, progress: Say) -> None:
        """Take the rows from before the candidate's start over again, in every slice that is missing.

        Tables above it follow through its change feed, as they follow a repair.
        """
        version = self.live.newest()
        for day in self.missing():
            rows = self._take_over(day, -1 if version is None else version)
            progress(
                f"{self.candidate.table} g{self.candidate.number}: slice {day} was changed in "
                f"g{self.candidate.kept_from} since its rows were kept; {rows:,} rows are taken over again"
            )
        self.version = self.version if version is None else version

    @property
    def _built(self) -> StoredTable:
        return self.setting.lake.table(self.candidate.table, self.candidate.number)

    def _take_over(self, day: dt.date, version: int) -> int:
        target = open_silver(self.setting, self.candidate.table, self.candidate.number)
        for _ in range(_TRIES):
            rows = self._exchanged(target, day, version)
            if rows is not None:
                return rows
        raise ReplayError(
            f"slice {day} of {self.candidate.table} g{self.candidate.number} was rewritten {_TRIES} times while it was "
            "taken over from the live table",
            hint="Somebody else rewrites the candidate's files; promote again when that is done.",
        )

    def _exchanged(self, target: OpenTable, day: dt.date, version: int) -> int | None:
        """Put the live table's rows of a slice in the place of those kept; None when these are not there any more."""
        spark, last, schema = self.setting.spark, self.candidate.from_batch - 1, target.schema()
        assert schema is not None  # noqa: S101 -- for mypy; a candidate that goes live was built
        source, old = slice_files(self.live, day, 0, last), slice_files(self._built, day, 0, last)
        kept, others = source.content(spark, schema).rows, old.others(spark, schema)
        stay = 0 if others is None else others.count()
        done = Repair(day.isoformat(), last, version, old.rows - stay)
        earlier = None if kept is None else kept.where(F.col(BATCH_ID) <= last)
        parts = [part for part in (earlier, others) if part is not None]
        rows = reduce(DataFrame.unionByName, parts) if parts else spark.createDataFrame([], schema)
        write = Write(str(self.candidate.table), self.candidate.number, f"carried/{day}", version)
        change = Change(
            write, rows, lambda counts: self._note(done, counts.rows - stay, version), old.content(spark, schema)
        )
        applied = target.apply(change, self.setting.fence)
        return applied.counts.rows - stay if isinstance(applied, Applied) else None

    def _note(self, done: Repair, rows: int, version: int) -> str:
        found = last_note(self._built)
        assert found is not None  # noqa: S101 -- for mypy; the rows were kept by a commit of ours
        note = replace(without_judging(found[1]), rows=rows, repair=done, source={KEPT_VERSION: version})
        return note.to_json()


def _noted(lake: Lake, candidate: Generation) -> int:
    notes = (c.note for c in commits(lake.table(candidate.table, candidate.number)) if c.note is not None)
    return max((note.source.get(KEPT_VERSION, -1) for note in notes), default=-1)
