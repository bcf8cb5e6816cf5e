"""Candidates compared with the live tables, both as of the same tape positions."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

from kappa_assets.columns import ARRIVAL_DATE
from kappa_assets.compare.aggregates import aggregates
from kappa_assets.compare.as_of import AsOf, Batches, Shown, cut
from kappa_assets.compare.comparison import UNLIMITED, Comparison, Limits, TableComparison
from kappa_assets.compare.differences import Differences, differences
from kappa_assets.graph import Pipeline
from kappa_assets.kinds.known_kinds import kind_of
from kappa_assets.kinds.query import Setting
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
    stands at positions the candidate has reached; else, with the deployed logic, it is computed from its live upstreams
    as of there; else an earlier version is read. Where none of it is possible it is not comparable, and says why.
    """
    comparer = _Comparer(setting, pipeline, state)
    return Comparison(tuple(comparer.compared(candidate) for candidate in candidates), limits)


class _Comparer:
    """Compares table by table; knows where generations lie and how far they are."""

    def __init__(self, setting: Setting, pipeline: Pipeline, state: State) -> None:
        self._lake = setting.lake
        self._pipeline = pipeline
        self._state = state
        self._as_of = AsOf(setting, pipeline, state)

    def compared(self, candidate: Generation) -> TableComparison:
        table = self._pipeline.derived_table(candidate.table)
        live = self._state.live(candidate.table)
        keys = kind_of(table).matched_by(table)
        if kind_of(table).keeps_addresses:
            return self._by_address(candidate, live, keys)
        try:
            return self._by_content(candidate, live, keys)
        except PySparkException as error:  # a version or file that is in the log, but cannot be read any more
            lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            return _not_comparable(candidate.table, {}, f"it cannot be read: {lines[0]}")
        finally:
            self._as_of.forget()

    def _by_address(self, candidate: Generation, live: Generation | None, keys: tuple[str, ...]) -> TableComparison:
        at = self._as_of.noted(candidate.table, candidate.number)
        new = self._as_of.content(candidate.table, candidate.number)
        if live is None:
            return self._new_table(candidate.table, at, new, keys, ARRIVAL_DATE)
        at = _both(at, self._as_of.noted(live.table, live.number))
        (batch,) = at.values()
        old = cut(self._as_of.content(live.table, live.number), batch)
        return self._compared(candidate, live, Shown(old, at), cut(new, batch), keys, ARRIVAL_DATE)

    def _by_content(self, candidate: Generation, live: Generation | None, keys: tuple[str, ...]) -> TableComparison:
        reached = self._as_of.reach(candidate)
        if live is None:
            shown = self._as_of.newest(candidate, reached)
            rows = shown.rows if shown else self._as_of.computed(candidate, reached)
            if rows is None:
                rows = self._as_of.content(candidate.table, candidate.number)
            return self._new_table(candidate.table, reached, rows, keys, None)
        found = self._live_at(live, reached)
        if found is None:
            why = (
                f"g{live.number} has no commit left at an exact position up to {_in_words(reached)}, which the "
                "candidate has reached"
            )
            if live.code_version != candidate.code_version:
                why = f"g{live.number} was written by other logic, and{why.removeprefix(f'g{live.number}')}"
            return _not_comparable(candidate.table, reached, why)
        new = self._as_of.at(candidate, found.at)
        if new is None:
            why = f"g{live.number} stands at {_in_words(found.at)}, of which the candidate cannot be shown"
            return _not_comparable(candidate.table, found.at, why)
        keys = keys if set(keys) <= set(found.rows.columns) else ()
        if not set(found.rows.columns) & set(new.columns):
            return _not_comparable(candidate.table, found.at, "it has no column in common with the live table")
        return self._compared(candidate, live, found, new, keys, None)

    def _live_at(self, live: Generation, reached: Batches) -> Shown | None:
        """Return the live content at the newest batches that the candidate has reached too."""
        newest = self._as_of.newest(live, reached)
        if newest is not None:
            return newest
        at = _both(reached, self._as_of.reach(live))
        if all(batch >= 0 for batch in at.values()) and (rows := self._as_of.computed(live, at)) is not None:
            return Shown(rows, at)
        return self._as_of.earlier(live, reached)

    def _compared(
        self,
        candidate: Generation,
        live: Generation,
        shown: Shown,
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
            _batch(shown.at),
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
            batches=shown.at,
        )

    def _types(self, generation: Generation, rows: DataFrame) -> dict[str, str]:
        """Return the types of the table's columns; of what it would hold, when nothing was ever written to it."""
        written = self._lake.table(generation.table, generation.number).newest() is not None
        return dict((self._as_of.content(generation.table, generation.number) if written else rows).dtypes)

    def _new_table(
        self, table: TableName, at: Batches, rows: DataFrame, keys: tuple[str, ...], slice_column: str | None
    ) -> TableComparison:
        sums = aggregates(None, rows, keys, slice_column)
        count, columns = sums.candidate_rows, tuple(rows.columns)
        measures = sums.measures
        return TableComparison(
            table, _batch(at), None, count, 0, count, 0, keys, columns, aggregates=measures, batches=at
        )


def _both(one: Batches, other: Batches) -> dict[str, int]:
    return {tape: min(batch, other[tape]) for tape, batch in one.items()}


def _in_words(at: Batches) -> str:
    """Return batches as people read them: of one tape the number, of several with the tape's name."""
    if len(at) == 1:
        return f"batch {next(iter(at.values()))}"
    return ", ".join(f"batch {batch} of {tape}" for tape, batch in sorted(at.items()))


def _not_comparable(table: TableName, at: Batches, why: str) -> TableComparison:
    return TableComparison(table, _batch(at), None, 0, 0, 0, 0, not_comparable=why, batches=at)


def _batch(at: Batches) -> int:
    """Return the batch of the only tape; of several, that of the first by name."""
    return next((at[tape] for tape in sorted(at)), -1)
