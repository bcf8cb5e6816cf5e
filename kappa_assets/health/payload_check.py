"""The check of what lands on a tape: fields of its newest rows that came to be, and that nothing reads."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kappa_assets.columns import MALFORMED, OF_THE_TAPE
from kappa_assets.declare.tables import Bronze, Silver
from kappa_assets.fingerprint.mentioned import mentions
from kappa_assets.health.outcome import CheckOutcome
from kappa_assets.log.delta_log import Commit
from kappa_assets.place.port import StoredTable

if TYPE_CHECKING:
    import pyarrow as pa

CHECK = "payload_read"
_SAMPLED = 200
"""Rows looked at of a batch."""
_AT_ONCE = 3
"""Batches looked at in one look: the newest."""
_LOOKED_FOR = 100
"""Oldest batches of which one must still have its files, to tell what is new from what always was there."""
_KEPT = 30
"""Samples of which is told: the newest."""
_DEEPEST = 8
_SHOWN, _TOLD = 50, 5


Field = tuple[str, str]
"""A column of the payload, and of one that holds JSON the path of a field inside: `customer.name`, `lines[].sku`."""


class Payload:
    """The fields in samples of a tape's rows: those of its oldest batch, and those of the newest ones."""

    def __init__(self, bronze: Bronze, stored: StoredTable, readers: Sequence[Silver]) -> None:
        self._bronze = bronze
        self._stored = stored
        self._readers = readers
        self.forget()

    def forget(self) -> None:
        """Begin anew: the tape was made anew."""
        self._oldest: Sample | None = None
        self._newest: deque[Sample] = deque(maxlen=_KEPT)

    def take(self, fresh: Sequence[Commit]) -> None:
        """Look at samples of the newest of these commits; the first time, at the oldest that has its files."""
        files = [commit.a_file for commit in fresh if commit.adds_data and commit.a_file is not None]
        for path in files[:_LOOKED_FOR]:
            if self._oldest is None:
                sample = self._sample(path)
                self._oldest = sample if sample.rows else None
        self._newest += [self._sample(path) for path in files[-_AT_ONCE:]]

    def _sample(self, path: str) -> Sample:
        return sample_of(self._stored.sample(path, _SAMPLED))

    def outcome(self, live: Sequence[StoredTable]) -> CheckOutcome:
        """Passes while no field has come to be that no Silver above the tape mentions; `live`: those that are written.

        What a Silver passes on under its name is read, and what the tape's declaration describes is known.
        """
        if not live or self._oldest is None:
            return CheckOutcome(self._bronze.name, CHECK, True, "warn", "Nothing that reads it was written yet.")
        rows = sum(sample.rows for sample in self._newest)
        seen = sum((sample.fields for sample in self._newest), Counter[Field]())
        unread = [field for field in sorted(seen) if not self._is_read(field)]
        passed_on = {one.name for stored in live for one in stored.columns(stored.newest() or 0)} if unread else set()
        unread = [field for field in unread if not passed_on & {field[0], *_within(field)}]
        new = [field for field in unread if field not in self._oldest.fields]
        summary = f"All that is new in {rows:,} rows looked at is read."
        if new:
            told = ", ".join(_shown(field) for field in new[:_TOLD]) + (", ..." if len(new) > _TOLD else "")
            summary = (
                f"New, and read by no Silver above it: {told}. Have it read, and a replay gives it to all rows on the "
                f"tape; or describe it in columns= of {self._bronze.name}, and it is known."
            )
        facts = {"new_fields": len(new), "unread_fields": len(unread), "rows_looked_at": rows}
        shown = tuple({"field": _shown(field), "rows": seen[field]} for field in new[:_SHOWN])
        return CheckOutcome(self._bronze.name, CHECK, not new, "warn", summary, facts, shown)

    def _is_read(self, field: Field) -> bool:
        if self._bronze.columns.keys() & set(_within(field)):
            return True
        leaf = _shown(field).rpartition(".")[2].removesuffix("[]")
        return any(mentions(one, leaf) for one in self._readers)


@dataclass(frozen=True)
class Sample:
    """Some rows of a batch: how many, and of each field in how many it has a value."""

    rows: int
    fields: Counter[Field]


def sample_of(rows: pa.Table) -> Sample:
    """Return what there is in the payload of some rows of a tape."""
    found: Counter[Field] = Counter()
    for column in rows.column_names:
        if column not in OF_THE_TAPE and column != MALFORMED:
            for value in _values(rows.column(column)):
                found.update((column, path) for path in set(_paths(value)))
    return Sample(rows.num_rows, found)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column; where Python has no equal of one, whether there are any."""
    try:
        return list(column.to_pylist())
    except (OverflowError, ValueError):
        return [valid or None for valid in column.is_valid().to_pylist()]


def _paths(value: object) -> Iterator[str]:
    """Yield the paths of what is not null inside of a value that is JSON; of another the empty one."""
    parsed = _parsed(value)
    if isinstance(parsed, dict | list):
        yield from _inside("", parsed, _DEEPEST)
    elif value is not None:
        yield ""


def _parsed(value: object) -> Any:
    """Return what a text of JSON says; a value that is none as None."""
    if isinstance(value, dict | list):
        return value
    try:
        return json.loads(value) if isinstance(value, str | bytes) else None
    except ValueError:
        return None


def _inside(path: str, value: object, deeper: int) -> Iterator[str]:
    if not deeper:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            at = f"{path}.{name}" if path else str(name)
            if inner is not None:
                yield at
            yield from _inside(at, inner, deeper - 1)
    if isinstance(value, list):
        for inner in value:
            yield from _inside(f"{path}[]", inner, deeper - 1)


def _within(field: Field) -> Iterator[str]:
    """Yield the names of a field and of those that it lies in; of a column without any, the column's."""
    column, path = field
    parts = path.split(".") if path else [column]
    yield from (".".join(parts[: count + 1]).removesuffix("[]") for count in range(len(parts)))


def _shown(field: Field) -> str:
    return field[1] or field[0]
