"""What a comparison found, as values: per table, column, slice and row, and what speaks against a promotion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kappa_assets.errors import ReplayError
from kappa_assets.names import TableName

MOST_SLICES = 100
"""Differing slices kept of one table: the registry is read whole."""
MOST_SAMPLES = 20
"""Differing values kept of one table."""


@dataclass(frozen=True)
class Limits:
    """How far a candidate may be from the live table to go live by itself. None: that far and farther.

    A corrected logic is meant to differ, so nothing is limited unless it is asked for.
    """

    changed_share: float | None = None
    """Of the keys on both sides, at most this share may have changed; 0.001 is one in a thousand."""
    lost_keys: int | None = None
    """At most so many keys may be missing in the candidate."""
    rows_share: float | None = None
    """The number of rows may differ by at most this share of the live ones; 0.01 is one per cent."""

    def __post_init__(self) -> None:
        """Raise ReplayError for a limit below zero."""
        for name, value in vars(self).items():
            if value is not None and value < 0:
                raise ReplayError(f"the limit {name} is {value}", hint="0 allows no difference; leave it out for any.")


UNLIMITED = Limits()


@dataclass(frozen=True)
class Aggregate:
    """One measure of a slice, or of the whole table (`slice` None): rows, or the sum of a numeric column."""

    slice: str | None
    measure: str
    live: str | None
    candidate: str | None

    @property
    def differs(self) -> bool:
        """Whether the two sides have different totals."""
        return self.live != self.candidate


@dataclass(frozen=True)
class Difference:
    """One value that differs: at which key, in which column. Without a column, the whole row is on one side only."""

    key: str
    column: str | None
    live: str | None
    candidate: str | None


@dataclass(frozen=True)
class TableComparison:
    """One candidate and its live table, both as of the same batch of each tape."""

    table: TableName
    batch: int
    live_rows: int | None
    """None: there is no live table."""
    candidate_rows: int
    only_live: int
    """Keys that only the live table has; without keys, rows."""
    only_candidate: int
    changed: int
    """Keys on both sides whose values differ, in the columns both have."""
    keys: tuple[str, ...] = ()
    """What rows were matched by: a Silver's address on the tape, a Gold's keys; () for whole rows, counted."""
    new_columns: tuple[str, ...] = ()
    lost_columns: tuple[str, ...] = ()
    retyped_columns: tuple[str, ...] = ()
    columns: Mapping[str, int] = field(default_factory=dict)
    """For each column both have, the number of keys on both sides whose values differ in it."""
    aggregates: tuple[Aggregate, ...] = ()
    """Totals of every measure, and measures of slices that differ, MOST_SLICES of them."""
    slices_differ: int = 0
    """Slices with a row that differs in the columns both have."""
    sample: tuple[Difference, ...] = ()
    not_comparable: str | None = None
    batches: Mapping[str, int] = field(default_factory=dict)
    """By tape, the batch of which both are; `batch` is that of the first."""

    def faults(self, limits: Limits) -> tuple[str, ...]:
        """Return why this candidate must not go live by itself."""
        if self.not_comparable is not None:
            return (f"{self.table} is not comparable: {self.not_comparable}",)
        if self.live_rows is None:
            return ()
        if self.live_rows and not self.candidate_rows:
            return (f"{self.table} would lose all its {self.live_rows:,} rows",)
        return tuple(f"{self.table}: {fault}" for fault in self._beyond(limits, self.live_rows))

    def _beyond(self, limits: Limits, live_rows: int) -> list[str]:
        found = []
        both = self._keys_on_both(live_rows)
        if limits.changed_share is not None and self.changed > limits.changed_share * both:
            share = self.changed / both if both else 1
            found.append(
                f"{self.changed:,} of {both:,} keys changed, {share:.3%}; the limit is {limits.changed_share:.3%}"
            )
        if limits.lost_keys is not None and self.only_live > limits.lost_keys:
            found.append(f"{self.only_live:,} keys would be lost; the limit is {limits.lost_keys:,}")
        if limits.rows_share is not None:
            share = abs(self.candidate_rows - live_rows) / max(live_rows, 1)
            if share > limits.rows_share:
                found.append(
                    f"{self.candidate_rows:,} rows instead of {live_rows:,}, {share:.3%} off; "
                    f"the limit is {limits.rows_share:.3%}"
                )
        return found

    def _keys_on_both(self, live_rows: int) -> int:
        """Return the number of keys on both sides; with several rows to an address, about."""
        return max(live_rows - self.only_live, self.changed)

    def row(self) -> dict[str, Any]:
        """The table's line: counts, and columns that came, went or changed their type."""
        return {
            "table": str(self.table),
            "batch": self.batch,
            **({"batches": dict(self.batches)} if len(self.batches) > 1 else {}),
            "live_rows": self.live_rows,
            "candidate_rows": self.candidate_rows,
            "only_live": self.only_live,
            "only_candidate": self.only_candidate,
            "changed": self.changed,
            "matched_by": ", ".join(self.keys) or "whole rows",
            "new_columns": ", ".join(self.new_columns),
            "lost_columns": ", ".join(self.lost_columns),
            "retyped_columns": ", ".join(self.retyped_columns),
            "slices_differ": self.slices_differ,
            "not_comparable": self.not_comparable,
        }


@dataclass(frozen=True)
class Comparison:
    """All tables of a replay, compared, and judged by `limits`."""

    tables: tuple[TableComparison, ...]
    limits: Limits = UNLIMITED

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against an automatic promotion."""
        return not self.faults

    @property
    def faults(self) -> tuple[str, ...]:
        """What a limit, or a row that only one side has, makes a fault of; empty when nothing is wrong."""
        return tuple(fault for t in self.tables for fault in t.faults(self.limits))

    def rows(self) -> list[dict[str, Any]]:
        """One row per table."""
        return [t.row() for t in self.tables]

    def facts(self) -> dict[str, Any]:
        """The comparison as it is stored in the registry: bounded, and plain JSON."""
        return {
            "ok": self.ok,
            "faults": list(self.faults),
            "limits": {name: value for name, value in vars(self.limits).items() if value is not None},
            "tables": self.rows(),
            "columns": [
                {"table": str(t.table), "column": column, "keys_changed": changed}
                for t in self.tables
                for column, changed in t.columns.items()
            ],
            "slices": [{"table": str(t.table), **vars(a)} for t in self.tables for a in t.aggregates],
            "sample": [{"table": str(t.table), **vars(d)} for t in self.tables for d in t.sample],
        }


def comparison_rows(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a stored comparison as one list of rows, each saying in `what` which of its tables it is of."""
    parts = {"table": "tables", "column": "columns", "slice": "slices", "sample": "sample"}
    stored: Mapping[str, Sequence[Mapping[str, Any]]] = {what: facts.get(name, ()) for what, name in parts.items()}
    return [{"what": what, **row} for what, rows in stored.items() for row in rows]
