"""The source of changes, in plain Python: a database that does them one after the other, and what it held when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Value = int | str | None
Sequenced = tuple[int, ...]


@dataclass(frozen=True)
class Did:
    """One change of one row; a change of no key empties the table."""

    at: Sequenced
    key: tuple[Value, ...] | None
    deletes: bool = False
    content: tuple[Value, ...] = (None, None)
    row: int = 0
    """Which row of the tape tells it."""
    as_told: tuple[Value, ...] | None = None
    """Its content, where that does not tell all values, and these are filled in."""


@dataclass
class Version:
    """What a row held from one change until another; `row` is the one that told it last."""

    key: tuple[Value, ...]
    content: tuple[Value, ...]
    row: int
    since: Sequenced
    until: Sequenced | None = None

    def told(self) -> tuple[Any, ...]:
        return (self.key, self.content, self.row, self.since, self.until)


@dataclass
class Database:
    """Rows by key, and their versions; with `tracked`, places in the content in which a new value opens a version."""

    tracked: Sequence[int]
    held: dict[tuple[Value, ...], Version] = field(default_factory=dict)
    versions: list[Version] = field(default_factory=list)

    def does(self, change: Did) -> None:
        if change.key is None:
            for key in list(self.held):
                self._end(key, change.at)
            return
        known = self.held.get(change.key)
        if change.deletes:
            self._end(change.key, change.at)
        elif known is not None and all(known.content[n] == change.content[n] for n in self.tracked):
            known.content, known.row = change.content, change.row
        else:
            self._end(change.key, change.at)
            self.held[change.key] = version = Version(change.key, change.content, change.row, change.at)
            self.versions.append(version)

    def _end(self, key: tuple[Value, ...], at: Sequenced) -> None:
        ended = self.held.pop(key, None)
        if ended is not None:
            ended.until = at


UNTOLD = "?"
"""Stands in the content of a change for a value that it does not tell."""


def filled(changes: Iterable[Did]) -> list[Did]:
    """Return changes with the values that they do not tell: as those before them left them since the last delete."""
    known: dict[Any, tuple[Value, ...]] = {}
    found = []
    for change in sorted(changes, key=lambda one: (one.at, one.key is None, _rank(one))):
        if change.key is None:
            known.clear()
        elif change.deletes:
            known.pop(change.key, None)
        else:
            before = known.get(change.key, (None,) * len(change.content))
            content = tuple(b if v == UNTOLD else v for v, b in zip(change.content, before, strict=True))
            known[change.key] = content
        full = known.get(change.key, change.content)
        found.append(replace(change, content=full, as_told=change.content))
    return found


def after(changes: Iterable[Did], tracked: Sequence[int] = (0, 1)) -> Database:
    """Return the database once it has done all changes, in the order that they have, each moment's winners alone."""
    told = filled(changes)
    emptied = {change.at for change in told if change.key is None}
    newest: dict[tuple[Sequenced, Any], Did] = {}
    for change in told:
        at = (change.at, change.key)
        if change.key is None or change.at not in emptied:
            newest[at] = max(newest.get(at, change), change, key=_rank)
    done = Database(tracked)
    for change in sorted(newest.values(), key=lambda one: one.at):
        done.does(change)
    return done


def newest_states(changes: Iterable[Did]) -> Counter[tuple[Any, ...]]:
    return Counter((v.key, v.content, v.row) for v in after(changes).held.values())


def all_versions(changes: Iterable[Did], tracked: Sequence[int] = (0, 1)) -> Counter[tuple[Any, ...]]:
    return Counter(version.told() for version in after(changes, tracked).versions)


def _rank(change: Did) -> tuple[Any, ...]:
    """Of one moment and key: a delete is last, then the greater content is, and of the same the row that came first."""
    return (change.deletes, [(value is not None, value) for value in change.as_told or change.content], -change.row)
