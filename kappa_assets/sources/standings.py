"""How far a tape is with each of its sources: what its newest note says of all of them.

Each commit of a tape that has several carries on what was said of the others: so the newest note tells, however long a
source was quiet, or is retired, and however much of the log was cleaned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kappa_assets.declare.tables import Bronze
from kappa_assets.log.note import INCARNATION, OTHERS, RANGES, UNNAMED, CommitNote


@dataclass(frozen=True)
class Standing:
    """The newest batch that a tape has of one source, the checkpoint that numbers it, and the ranges it took."""

    batch: int
    checkpoint: str | None
    ranges: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    incarnation: str | None = None
    """The id of what was read, where the source tells one."""

    @property
    def stands(self) -> dict[str, int]:
        """How far the tape has each part of the source; nothing of a source without numbers."""
        return {part: until for part, (_, until) in self.ranges.items()}


def has_several(newest: CommitNote | None) -> bool:
    """Return whether a tape, by its newest note, has or had several sources."""
    return newest is not None and OTHERS in newest.source


def are_told_apart(bronze: Bronze, newest: CommitNote | None) -> bool:
    """Return whether rows, files and notes of a tape name their source: it is declared with several, or had several.

    A lone one that takes the place of another counts too, where either has numbers, or they are of two kinds: what was
    read of the one before is kept in mind, should it come back. A folder that is called otherwise is the same source.
    """
    return bool(bronze.others) or has_several(newest) or _takes_the_place(bronze.source.label, newest)


def _takes_the_place(label: str, newest: CommitNote | None) -> bool:
    before = label if newest is None else str(newest.source.get("name", label))
    is_of_another_kind = before.partition(":")[0] != label.partition(":")[0]
    return before != label and newest is not None and (RANGES in newest.source or is_of_another_kind)


def named_in(note: CommitNote) -> str | None:
    """Return the source that a note names, of a tape that has or had several; None for one that tells none apart."""
    return note.source.get("name") if has_several(note) else None


def standing_of(newest: CommitNote | None, label: str) -> Standing | None:
    """Return how far a tape is with a source; None for one that it has nothing of."""
    if newest is None:
        return None
    if newest.source.get("name", label) == label:
        return _own(newest)
    told = newest.source.get(OTHERS, {}).get(label)
    if told is None:
        return None
    return Standing(told["batch"], told["checkpoint"], told.get(RANGES, {}), told.get(INCARNATION))


def carried_on(newest: CommitNote | None, label: str) -> dict[str, Any]:
    """Return what a note of a tape with several sources says beside what it tells of its own, `label`.

    `newest`: the note before it. Rows from before there were several do not name their source: `UNNAMED` does.
    """
    if newest is None:
        return {OTHERS: {}, UNNAMED: None}
    said = newest.source
    others = {of: told for of, told in said.get(OTHERS, {}).items() if of != label}
    name = said.get("name")
    if name is not None and name != label:
        own = _own(newest)
        others[name] = {"batch": own.batch, "checkpoint": own.checkpoint}
        others[name] |= {RANGES: dict(own.ranges)} if own.ranges else {}
        others[name] |= {INCARNATION: own.incarnation} if own.incarnation else {}
    return {OTHERS: others, UNNAMED: unnamed(newest)}


def unnamed(newest: CommitNote | None) -> str | None:
    """Return whose rows and files do not name their source: those of the one that the tape had at first."""
    if newest is None:
        return None
    found = newest.source.get(UNNAMED) if has_several(newest) else newest.source.get("name")
    return None if found is None else str(found)


def _own(note: CommitNote) -> Standing:
    return Standing(note.batch, note.checkpoint, note.source.get(RANGES, {}), note.source.get(INCARNATION))


Mine = Callable[[str | None], bool]
"""Whether what is told of a source, by its label or without one, is told of the one that is meant."""


def ANY(label: str | None) -> bool:  # noqa: N802 -- a value of the type above
    """Say of every label that it is meant: of a tape that never had another source, however that is called now."""
    del label
    return True


def mine(label: str | None, before: str | None) -> Mine:
    """Return whether rows, files and notes are of the source `label` (None: all are).

    `before`: whose are those that name none, as `unnamed` tells.
    """
    return ANY if label is None else lambda told: (before if told is None else told) == label
