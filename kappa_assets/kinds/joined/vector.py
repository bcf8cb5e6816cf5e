"""The vector: one version of each upstream of a table, read together, and how the newest one is found.

Upstreams that stand on one tape are read at one position of it, so that no row of batch 41 meets one of batch 39: at
the newest that each can show. A table whose rows keep their addresses shows every one that it has passed, cut there;
any other those of its commits. Of different tapes it is the newest each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from kappa_assets.columns import BATCH_ID
from kappa_assets.log.delta_log import last_note
from kappa_assets.log.generation_positions import position_of
from kappa_assets.log.logs import ON_DISK
from kappa_assets.log.note import CommitNote, InputRange, Offset, Position
from kappa_assets.log.tape import Tape
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.port import StoredTable


@dataclass(frozen=True)
class Part:
    """What is read of one upstream."""

    generation: int
    version: int
    """The version whose rows are read."""
    upto: int
    """The last version whose changes are wholly in these rows; -1: none."""
    batch: int | None = None
    """The last batch whose rows count; None: all do."""

    def cut(self, rows: DataFrame) -> DataFrame:
        """Leave out what came on the tape after the last batch that counts.

        Of a commit that holds batches on both sides of it some rows are read now, and later all of it once more.
        """
        return rows if self.batch is None else rows.where(F.col(BATCH_ID) <= self.batch)

    def range(self, since: Offset | None) -> InputRange:
        """Return what a batch that went on from `since` has read of it, as a note has it."""
        return InputRange(self.generation, since, Offset(self.upto + 1, -1, False), self.upto)


@dataclass(frozen=True)
class Vector:
    """One version of each upstream, and the positions that these have in common, by tape."""

    parts: Mapping[str, Part]
    position: Mapping[str, Position]

    def to_json(self) -> str:
        """Return the vector as a plan has it."""
        parts = {name: asdict(part) for name, part in self.parts.items()}
        return json.dumps({"parts": parts, "position": {t: [p.batch, p.version] for t, p in self.position.items()}})

    @classmethod
    def from_json(cls, text: str) -> Vector:
        """Return the vector that a plan has."""
        body = json.loads(text)
        parts = {name: Part(**part) for name, part in body["parts"].items()}
        return cls(parts, {tape: Position(*position) for tape, position in body["position"].items()})


@dataclass(frozen=True)
class Reading:
    """A batch that brings a table from what its newest commit has taken in to a vector."""

    vector: Vector
    taken: Mapping[str, InputRange]
    """By upstream; nothing where the table has no commit yet."""
    number: int

    @property
    def ranges(self) -> dict[str, InputRange]:
        """What it reads of each upstream, as a note has it."""
        since = {name: read.until for name, read in self.taken.items()}
        return {name: part.range(since.get(name)) for name, part in self.vector.parts.items()}

    def of(self, upstream: Upstream) -> tuple[Part, InputRange]:
        """Return what is read of an upstream, and what was taken in of it before."""
        name = str(upstream.name)
        return self.vector.parts[name], self.taken[name]


@dataclass(frozen=True)
class Upstream:
    """One upstream of a table, as the generation that it reads."""

    name: TableName
    generation: int
    table: StoredTable
    sliced: bool
    """Whether its rows keep their addresses, so that it can be cut at a batch."""
    ends: bool = False
    """Whether it is of a validation: what it has not taken in by its newest commit never comes."""


@dataclass
class _Seen:
    """How far one upstream is, as it is looked at: between `low` and `high` nothing of a tape changed it."""

    version: int
    note: int
    low: Mapping[str, Position]
    high: Mapping[str, Position]


@dataclass(frozen=True)
class Upstreams:
    """The upstreams of one table: what is the newest vector of them, and what a commit has taken in."""

    lake: Lake
    tapes: tuple[Tape, ...]
    upstreams: tuple[Upstream, ...]

    def newest(self) -> Vector | None:
        """Return the newest vector; None while an upstream has nothing yet, or they have no position in common."""
        seen: dict[str, _Seen] = {}
        for upstream in self.upstreams:
            found = self._look(upstream)
            if found is None:
                return None
            seen[str(upstream.name)] = found
        common = self._common(seen)
        while common is not None:
            moved = [self._moved_back(u, seen, common) for u in self.upstreams if not u.sliced]
            if None in moved:
                return None
            if not any(moved):
                break
            common = self._common(seen)
        parts = {str(u.name): self._part(u, seen[str(u.name)], common) for u in self.upstreams}
        alone = {tape: position for one in seen.values() for tape, position in one.high.items()}
        return Vector(parts, alone | common)

    def brings_more(self, vector: Vector, taken: Mapping[str, InputRange]) -> bool:
        """Return whether rows changed between what a commit has taken in and a vector."""
        for upstream in self.upstreams:
            read, part = taken.get(str(upstream.name)), vector.parts[str(upstream.name)]
            if read is None:
                return True
            if part.upto > read.version:
                data = ON_DISK.first_data_after(upstream.table, read.version)
                if data is not None and data <= part.upto:
                    return True
        return False

    def leaves_something(self, vector: Vector | None) -> bool:
        """Return whether an upstream has changes that the newest vector does not take in yet."""
        for upstream in self.upstreams:
            if vector is None or ON_DISK.first_data_after(upstream.table, vector.parts[str(upstream.name)].upto):
                return True
        return False

    def _look(self, upstream: Upstream) -> _Seen | None:
        # Positions first: what is committed in between is in the version, and the position says too little at worst.
        reached = [position_of(self.lake, tape, upstream.name, upstream.generation) for tape in self.tapes]
        version = upstream.table.newest()
        found = None if version is None else last_note(upstream.table, at_most=version)
        if version is None or found is None or not found[1].position:
            return None
        low = found[1].position
        high = {str(tape.bronze): position for tape, position in zip(self.tapes, reached, strict=True)}
        high = {} if upstream.ends else high
        return _Seen(version, found[0], low, {tape: max(low[tape], high.get(tape, low[tape])) for tape in low})

    def _common(self, seen: Mapping[str, _Seen]) -> dict[str, Position]:
        """Return, for each tape on which several upstreams stand, the newest position that none is behind of."""
        on: dict[str, list[Position]] = {}
        for one in seen.values():
            for tape, position in one.high.items():
                on.setdefault(tape, []).append(position)
        return {tape: min(positions) for tape, positions in on.items() if len(positions) > 1}

    def _moved_back(self, upstream: Upstream, seen: dict[str, _Seen], common: Mapping[str, Position]) -> bool | None:
        """Go back to the newest commit that is not past the common positions: whether it moved; None: there is none."""
        one, moved = seen[str(upstream.name)], False
        while _is_past(one.low, common):
            found = last_note(upstream.table, at_most=one.note - 1)
            if found is None or not found[1].position:
                return None
            one, moved = _Seen(found[0], found[0], found[1].position, found[1].position), True
        seen[str(upstream.name)] = one
        return moved

    def _part(self, upstream: Upstream, one: _Seen, common: Mapping[str, Position]) -> Part:
        bound = next((common[tape].batch for tape in one.low if tape in common), None)
        if not upstream.sliced or bound is None or not _is_past(one.low, common):
            return Part(upstream.generation, one.version, one.version, bound if upstream.sliced else None)
        found: tuple[int, CommitNote] | None = (one.note, CommitNote("", 1, 0, "", position=one.low))
        while found is not None and _is_past(found[1].position, common):
            found = last_note(upstream.table, at_most=found[0] - 1)
        return Part(upstream.generation, one.version, -1 if found is None else found[0], bound)


def _is_past(position: Mapping[str, Position], common: Mapping[str, Position]) -> bool:
    return any(position[tape].batch > at.batch for tape, at in common.items() if tape in position)
