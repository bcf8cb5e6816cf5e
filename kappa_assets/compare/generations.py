"""Candidates compared with the live tables, both as of one tape position."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from kappa_assets.columns import ARRIVAL_DATE, BATCH_ID
from kappa_assets.compare.aggregates import aggregates
from kappa_assets.compare.comparison import UNLIMITED, Comparison, Limits, TableComparison
from kappa_assets.compare.differences import Differences, differences
from kappa_assets.declare.tables import Derived
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.graph import Pipeline
from kappa_assets.kinds.known_kinds import kind_of
from kappa_assets.kinds.query import Setting
from kappa_assets.log.delta_log import commits, last_note
from kappa_assets.log.note import CommitNote
from kappa_assets.log.positions import ends_with_a_version, exact_version
from kappa_assets.names import TableName
from kappa_assets.place.registry import Generation, State


def compare(
    setting: Setting,
    pipeline: Pipeline,
    state: State,
    candidates: Iterable[Generation],
    limits: Limits = UNLIMITED,
) -> Comparison:
    """Return how each candidate differs from what readers see, at the newest position that both can show.

    A table whose rows keep their addresses is cut by them. Of any other its newest version is taken where that
    stands at a position the candidate has reached; else, with the deployed logic, it is computed from its live upstream
    cut there; else an earlier version is read. Where none of it is possible the table is not comparable, and says why.
    """
    comparer = _Comparer(setting, pipeline, state)
    return Comparison(tuple(comparer.compared(candidate) for candidate in candidates), limits)


@dataclass(frozen=True)
class _Shown:
    """A table's content as of a tape batch."""

    rows: DataFrame
    batch: int


class _Comparer:
    """Compares table by table; knows where generations lie and how far they are."""

    def __init__(self, setting: Setting, pipeline: Pipeline, state: State) -> None:
        self._setting = setting
        self._lake = setting.lake
        self._pipeline = pipeline
        self._state = state
        self._kept: list[DataFrame] = []

    def compared(self, candidate: Generation) -> TableComparison:
        table = self._pipeline.derived_table(candidate.table)
        live = self._state.live(candidate.table)
        keys = kind_of(table).matched_by(table)
        if kind_of(table).keeps_addresses:
            return self._by_address(candidate, live, keys)
        try:
            return self._by_content(table, candidate, live, keys)
        except PySparkException as error:  # a version or file that is in the log, but cannot be read any more
            lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            return _not_comparable(candidate.table, -1, f"it cannot be read: {lines[0]}")
        finally:
            while self._kept:
                self._kept.pop().unpersist()

    def _by_address(self, candidate: Generation, live: Generation | None, keys: tuple[str, ...]) -> TableComparison:
        batch = self._noted_batch(candidate.table, candidate.number)
        new = self._load(candidate.table, candidate.number)
        if live is None:
            return self._new_table(candidate.table, batch, new, keys, ARRIVAL_DATE)
        batch = min(batch, self._noted_batch(live.table, live.number))
        old = _cut(self._load(live.table, live.number), batch)
        return self._compared(candidate, live, _Shown(old, batch), _cut(new, batch), keys, ARRIVAL_DATE)

    def _by_content(
        self, table: Derived, candidate: Generation, live: Generation | None, keys: tuple[str, ...]
    ) -> TableComparison:
        upstream = self._pipeline.upstreams[table.name]
        reached = self._noted_batch(upstream, candidate.upstream)
        if candidate.to_batch is not None:
            reached = min(reached, candidate.to_batch)
        if live is None:
            return self._new_table(table.name, reached, self._candidate_at(table, candidate, reached), keys, None)
        shown = self._live_at(table, live, reached)
        if isinstance(shown, str):
            return _not_comparable(table.name, reached, shown)
        new = self._candidate_at(table, candidate, shown.batch)
        keys = keys if set(keys) <= set(shown.rows.columns) else ()
        if not set(shown.rows.columns) & set(new.columns):
            return _not_comparable(table.name, shown.batch, "it has no column in common with the live table")
        return self._compared(candidate, live, shown, new, keys, None)

    def _live_at(self, table: Derived, live: Generation, reached: int) -> _Shown | str:
        """Return the live content at the newest position the candidate has reached too, or why there is none."""
        upstream = self._pipeline.upstreams[table.name]
        found = last_note(self._lake.table(live.table, live.number))
        batch = self._exact_batch(found[1], upstream) if found else None
        if found and batch is not None and batch <= reached:
            return _Shown(self._load(live.table, live.number, found[0]), batch)
        if live.code_version == code_version(table):
            cut = min(reached, self._noted_batch(upstream, live.upstream))
            if cut >= 0:
                return _Shown(self._computed(table, live, cut), cut)
        return self._earlier_version(live, upstream, reached)

    def _earlier_version(self, live: Generation, upstream: TableName, reached: int) -> _Shown | str:
        for commit in reversed(list(commits(self._lake.table(live.table, live.number)))):
            batch = None if commit.note is None else self._exact_batch(commit.note, upstream)
            if batch is not None and batch <= reached:
                return _Shown(self._load(live.table, live.number, commit.version), batch)
        return (
            f"g{live.number} was written by other logic, and has no commit left at an exact position up to batch "
            f"{reached}, which the candidate has reached"
        )

    def _candidate_at(self, table: Derived, candidate: Generation, batch: int) -> DataFrame:
        """Return the candidate as of `batch`: as it is, when it stands there; else from its own upstream, cut there."""
        upstream = self._pipeline.upstreams[table.name]
        found = last_note(self._lake.table(candidate.table, candidate.number))
        if found and self._exact_batch(found[1], upstream) == batch:
            return self._load(candidate.table, candidate.number)
        return self._computed(table, candidate, batch)

    def _computed(self, table: Derived, generation: Generation, batch: int) -> DataFrame:
        """Return what a table holds at a batch, from its upstream; kept on disk, since a comparison reads it often."""
        above = self._load(self._pipeline.upstreams[table.name], generation.upstream)
        rows = table(_cut(above, batch)).persist(StorageLevel.DISK_ONLY)
        self._kept.append(rows)
        return rows

    def _exact_batch(self, note: CommitNote, upstream: TableName) -> int | None:
        """Return the batch that a commit reflects, if that is more than a lower bound."""
        version = exact_version(note, str(upstream))
        if version is None:
            return None
        above = last_note(self._lake.table(upstream, note.reads[str(upstream)].generation), at_most=version)
        if above is None or not all(map(ends_with_a_version, above[1].reads.values())):
            return None
        position = note.position.get(str(self._pipeline.tape_of(upstream)))
        return None if position is None or position.batch < 0 else position.batch

    def _noted_batch(self, table: TableName, generation: int) -> int:
        """Return the batch that a table's newest commit names; -1 for none. It is where both sides are cut.

        Another question than how far the table reflects (`position_of`): batches without rows behind that commit add
        nothing to a cut, and no commit stands there. What is stored would then never be looked at, and be
        computed anew from the upstream instead.
        """
        found = last_note(self._lake.table(table, generation))
        position = found[1].position.get(str(self._pipeline.tape_of(table))) if found else None
        return -1 if position is None else position.batch

    def _compared(
        self,
        candidate: Generation,
        live: Generation,
        shown: _Shown,
        new: DataFrame,
        keys: tuple[str, ...],
        slice_column: str | None,
    ) -> TableComparison:
        sums = aggregates(shown.rows, new, keys, slice_column)
        old_rows, new_rows = sums.of_differing_slices(shown.rows), sums.of_differing_slices(new)
        found = differences(old_rows, new_rows, keys) if sums.differing else Differences()
        before, after = self._types(live, shown.rows), self._types(candidate, new)
        return TableComparison(
            candidate.table,
            shown.batch,
            sums.live_rows,
            sums.candidate_rows,
            **vars(found),
            keys=keys,
            new_columns=tuple(c for c in after if c not in before),
            lost_columns=tuple(c for c in before if c not in after),
            retyped_columns=tuple(
                f"{c}: {before[c]} -> {after[c]}" for c in before if c in after and before[c] != after[c]
            ),
            aggregates=sums.measures,
            slices_differ=sums.slices_differ,
        )

    def _types(self, generation: Generation, rows: DataFrame) -> dict[str, str]:
        """Return the types of the table's columns; of what it would hold, when nothing was ever written to it."""
        written = self._lake.table(generation.table, generation.number).newest() is not None
        return dict((self._load(generation.table, generation.number) if written else rows).dtypes)

    def _new_table(
        self, table: TableName, batch: int, rows: DataFrame, keys: tuple[str, ...], slice_column: str | None
    ) -> TableComparison:
        sums = aggregates(None, rows, keys, slice_column)
        count, columns = sums.candidate_rows, tuple(rows.columns)
        return TableComparison(table, batch, None, count, 0, count, 0, keys, columns, aggregates=sums.measures)

    def _load(self, table: TableName, generation: int, version: int | None = None) -> DataFrame:
        """Return a generation as of a version, its newest if none is given.

        Always as of a version: rows that are read without one are read anew with each query, and a live table goes on.
        """
        stored = self._lake.table(table, generation)
        return stored.read(self._setting.spark, (stored.newest() or 0) if version is None else version, pruned=True)


def _cut(rows: DataFrame, batch: int) -> DataFrame:
    return rows.where(F.col(BATCH_ID) <= batch)


def _not_comparable(table: TableName, batch: int, why: str) -> TableComparison:
    return TableComparison(table, batch, None, 0, 0, 0, 0, not_comparable=why)
