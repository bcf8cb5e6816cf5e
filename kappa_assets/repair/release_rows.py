"""Release: rows in quarantine go through today's function, and those that nothing sets aside any more into the table.

Three commits, and a run that dies between them is finished by the next one. The rows that leave the quarantine are
marked with the release's number; those that today's function gives for them are added to the table under it, with a
note that moves no position; then what is marked is taken out of the side table. The stream may run meanwhile. A release
that was overtaken by another one is refused by the tables, which have seen a later number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from pyspark.sql import DataFrame

from kappa_assets.declare.tables import Silver
from kappa_assets.errors import Fenced, LogicChanged, ReleaseRefused
from kappa_assets.faults import fault_point
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.graph import Pipeline
from kappa_assets.kinds.append import open_silver
from kappa_assets.kinds.known_kinds import kind_of
from kappa_assets.kinds.query import Setting
from kappa_assets.log.delta_log import commits, last_note
from kappa_assets.log.generation_positions import position_of
from kappa_assets.log.note import RELEASED, without_judging
from kappa_assets.log.tape import Tape
from kappa_assets.names import TableName
from kappa_assets.place.change import Applied, Change, Counts, Fence, Write
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.epochs import next_epoch
from kappa_assets.place.local.leases.lease import HOST, lease
from kappa_assets.place.registry import Registry
from kappa_assets.repair import releasable
from kappa_assets.repair.released_rows import Judged, judged_again
from kappa_assets.repair.rows_aside import RowsAside

_TRIES = 5
"""How often it is tried anew when somebody rewrote what was looked at meanwhile."""
_FEW = 10_000
"""Rows that this process writes itself."""
_FENCE = "release"


@dataclass(frozen=True)
class ReleasedRows:
    """What became of the rows that were chosen."""

    table: TableName
    generation: int
    chosen: int
    """Rows in quarantine that were asked for, of batches that the table has taken in."""
    taken: int
    """Which of them are not in quarantine any more."""
    released: int
    """Rows that the table got for them."""
    duplicates: int
    """Rows that it did not, because one that is the same by `unique` is there already."""

    @property
    def summary(self) -> str:
        """One line for logs and terminals."""
        twice = f", {self.duplicates:,} were there already" if self.duplicates else ""
        return (
            f"{self.table} g{self.generation}: {self.released:,} rows released{twice}; of {self.chosen:,} that were "
            f"chosen {self.chosen - self.taken:,} stay in quarantine"
        )


class _RepairedMeanwhile(Exception):
    """Raised instead of committing: a slice was done over since the table was looked at."""


def release_rows(
    setting: Setting, pipeline: Pipeline, table: TableName, where: str, *, progress: Callable[[str], None] = print
) -> ReleasedRows:
    """Take rows in quarantine for which the SQL condition `where` holds through today's function, and release some.

    `where` is on the columns of `kappa quarantine`, and on `_arrival_date` and `batch`. What passes is added to the
    live generation, once; what does not stays in quarantine. What an earlier release has left half done is finished
    first. Raises ReleaseRefused for a table that keeps no rows in quarantine or has not read the tape yet, and for a
    condition that Spark does not take; LogicChanged where the table goes on with other logic than is deployed;
    HostRunning for a table whose rows are unique, while its stream may run.
    """
    silver = _releasing(pipeline, table)
    with _alone(setting.lake, silver):
        return _Release(setting, pipeline, silver).run(where, progress)


def _releasing(pipeline: Pipeline, table: TableName) -> Silver:
    silver = pipeline.derived_table(table)
    kind = kind_of(silver)
    if not (isinstance(silver, Silver) and kind.sets_aside and kind.keeps_addresses):
        raise ReleaseRefused(
            f"{table} releases no rows: each of its batches writes rows in the place of others",
            hint=f"Replay {table}: today's function then judges all that is on the tape.",
        )
    return silver


@contextmanager
def _alone(lake: Lake, silver: Silver) -> Iterator[None]:
    """Keep a stream out whose batches would be judged by what the table holds. Raises HostRunning, ReleaseRefused."""
    if not silver.unique:
        yield
        return
    with lease(lake, HOST, f"release of rows of {silver.name}") as taken:
        if taken.fence.raises:  # and must be taken over by who writes all tables
            raise ReleaseRefused(
                f"the host before did not let go of the lake, and may write {silver.name} yet",
                hint="Let another one take it over first: kappa drain.",
            )
        yield


class _Release:
    def __init__(self, setting: Setting, pipeline: Pipeline, silver: Silver) -> None:
        lake = setting.lake
        self._setting, self._silver, self._name = setting, silver, silver.name
        self._registry = Registry(lake)
        self._tape = Tape(lake, pipeline.tape_of(silver.name))
        self._generation, self._code_version = self._live(), code_version(silver)
        self._written = lake.table(self._name, self._generation)
        self._target = open_silver(setting, self._name, self._generation)
        self._side = RowsAside(setting, silver.name, self._generation)
        self._number: int | None = None

    def run(self, where: str, progress: Callable[[str], None]) -> ReleasedRows:
        if not self._side.has_quarantine:
            return self._answer(None, 0)
        self._side.check_condition(where)
        self._finish_earlier(progress)
        self._check_no_batch_is_half_done()
        for _ in range(_TRIES):
            with self._judged(where) as judged:
                if judged is None or not judged.taken:
                    return self._answer(judged, 0)
                self._mark(judged)
                try:
                    added = self._add(judged)
                except _RepairedMeanwhile:
                    self._settle(self._epoch, released=False)
                    continue
                self._settle(self._epoch, released=True)
                return self._answer(judged, added)
        raise ReleaseRefused(
            f"slices of {self._name} were done over {_TRIES} times while rows were released",
            hint="Let the repair finish, and release them again.",
        )

    @property
    def _epoch(self) -> int:
        """Return the number of this release, which the tables know from now on: an earlier one is refused."""
        if self._number is None:
            self._number = next_epoch(self._setting.lake)
            fence = Fence(_FENCE, self._number, raises=True)
            self._target.take_over(self._write(self._number), fence)
        return self._number

    @property
    def _fence(self) -> Fence:
        return Fence(_FENCE, self._epoch)

    def _write(self, number: int) -> Write:
        return Write(str(self._name), self._generation, "release", number)

    def _live(self) -> int:
        """Return the generation that rows are released into. Raises ReleaseRefused, LogicChanged."""
        silver, live = self._silver, self._registry.state().live(self._name)
        if live is None:
            raise ReleaseRefused(f"{self._name} is not written yet", hint="Let its stream catch up first: kappa drain.")
        deployed = code_version(silver)
        if live.code_version != deployed and silver.on_change != "forward":
            raise LogicChanged(
                f"{self._name} g{live.number} was written by logic {live.code_version}; deployed is {deployed}: "
                "rows that are released now would be of another logic than those beside them",
                origin=silver.origin,
                hint="Replay it: what the new logic accepts is then in the table, and not in quarantine.",
            )
        return live.number

    def _check_no_batch_is_half_done(self) -> None:
        """Raise ReleaseRefused where a batch has judged its rows by the table as it is, and is not in it."""
        found = last_note(self._written)
        if self._silver.unique and found is not None and self._side.has_told_of(found[1].batch + 1):
            raise ReleaseRefused(
                f"batch {found[1].batch + 1} of {self._name} was interrupted, and has told already which of its rows "
                "are duplicates",
                hint="Let it finish first: kappa drain.",
            )

    def _finish_earlier(self, progress: Callable[[str], None]) -> None:
        """Bring releases to their end that died: their rows are in the table, or not, and no later try adds them."""
        for number in self._side.marks():
            own = self._epoch  # from here on the release that has marked them is refused
            released = self._target.is_in(self._write(number))
            progress(
                f"release {number} of {self._name} was interrupted; {own} finishes it: its rows are "
                f"{'in the table' if released else 'still in quarantine'}"
            )
            self._settle(number, released=released)

    @contextmanager
    def _judged(self, where: str) -> Iterator[Judged | None]:
        """Give what becomes of the chosen rows; None where there are none."""
        reached = position_of(self._setting.lake, self._tape, self._name, self._generation)
        if reached.batch < 0:
            raise ReleaseRefused(
                f"{self._name} has not read the tape to a known position yet",
                hint="Let its stream catch up first: kappa drain.",
            )
        with judged_again(self._setting, self._silver, self._tape.bronze, self._side, where, reached) as judged:
            yield judged

    def _mark(self, judged: Judged) -> None:
        number, decision = self._epoch, judged.decision

        def leaving(rows: DataFrame) -> DataFrame:
            return releasable.leaving(rows, decision, self._generation)

        def marked(rows: DataFrame) -> DataFrame:
            return releasable.marked(rows, decision, self._generation, number)

        if not self._side.rewrite(leaving, marked, self._fence):
            raise ReleaseRefused(
                f"the rows of {self._name} that were chosen are not set aside any more",
                hint="Somebody removes generations meanwhile; look at what is left: kappa quarantine.",
            )
        fault_point("rows_marked", str(self._name))

    def _add(self, judged: Judged) -> int:
        """Commit the rows that pass, and return how many. Raises _RepairedMeanwhile, ReleaseRefused, Fenced."""
        few = judged.added <= _FEW
        rows = judged.rows.coalesce(1) if few else judged.rows
        change = Change(self._write(self._epoch), rows, partial(self._note, judged), small=few)
        applied = self._target.apply(change, self._fence)
        if not isinstance(applied, Applied):  # its number is new, so a later one is in
            raise Fenced(
                f"{self._name} was taken over: a later release than this one, {self._epoch}, has rows in it",
                hint="It took this one for dead, and nothing of this one's was committed. Release the rows again.",
            )
        fault_point("rows_released", str(self._name))
        return applied.counts.rows

    def _settle(self, number: int, *, released: bool) -> None:
        """Take out of the side table what a release has marked, or the marks alone."""

        def marked(rows: DataFrame) -> DataFrame:
            return rows.where(releasable.is_marked(number))

        self._side.rewrite(marked, lambda rows: releasable.settled(rows, number, released=released), self._fence)

    def _note(self, judged: Judged, counts: Counts) -> str:
        """Return the note of a release: where the stream is now, and how many rows came beside it.

        It is asked for in the table's turn, which a repair and a promotion take too.
        """
        if self._live() != self._generation:
            raise ReleaseRefused(
                f"{self._name} g{self._generation} is not live any more: nothing was released into it",
                hint="A release was promoted or selected meanwhile. Look at what is live now: kappa quarantine.",
            )
        since = commits(self._written, after=judged.version)
        if any(commit.note is not None and commit.note.repair is not None for commit in since):
            raise _RepairedMeanwhile
        found = last_note(self._written)
        assert found is not None  # noqa: S101 -- for mypy; what it has read is known from a note
        note = replace(
            without_judging(found[1]),
            code_version=self._code_version,
            rows=counts.rows,
            repair=None,
            judged={RELEASED: counts.rows},
        )
        return note.to_json()

    def _answer(self, judged: Judged | None, added: int) -> ReleasedRows:
        if judged is None:
            return ReleasedRows(self._name, self._generation, 0, 0, 0, 0)
        return ReleasedRows(
            self._name, self._generation, judged.chosen, judged.taken, added, judged.duplicates if judged.taken else 0
        )
