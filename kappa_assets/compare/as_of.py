"""What a generation held at given batches of its tapes: as it is stored, cut, or computed again from what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from kappa_assets.columns import BATCH_ID
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.graph import Pipeline
from kappa_assets.kinds.known_kinds import is_sliced, kind_of
from kappa_assets.kinds.query import Setting
from kappa_assets.log.delta_log import last_note, notes_back
from kappa_assets.log.note import CommitNote
from kappa_assets.log.positions import ends_with_a_version, exact_version
from kappa_assets.names import TableName
from kappa_assets.place.registry import Generation, State

Batches = Mapping[str, int]
"""By tape, the last batch that is in; -1: none."""


@dataclass(frozen=True)
class Shown:
    """A table's content as of a batch of each of its tapes."""

    rows: DataFrame
    at: Batches


class AsOf:
    """Shows generations at chosen batches. What it computes is kept on disk until `forget`: it is read often."""

    def __init__(self, setting: Setting, pipeline: Pipeline, state: State) -> None:
        self._setting = setting
        self._lake = setting.lake
        self._pipeline = pipeline
        self._state = state
        self._kept: list[DataFrame] = []

    def forget(self) -> None:
        """Let go of what was computed."""
        while self._kept:
            self._kept.pop().unpersist()

    def noted(self, table: TableName, generation: int) -> dict[str, int]:
        """Return the batches that a table's newest commit names. It is where two generations are cut.

        Another question than how far the table reflects (`position_of`): batches without rows behind that commit add
        nothing to a cut, and no commit stands there. What is stored would then never be looked at, and be
        computed anew from the upstream instead.
        """
        found = last_note(self._lake.table(table, generation))
        positions = found[1].position if found else {}
        tapes = map(str, self._pipeline.tapes_of(table))
        return {tape: positions[tape].batch if tape in positions else -1 for tape in tapes}

    def reach(self, generation: Generation) -> dict[str, int]:
        """Return the newest batches at which all that a generation reads is known."""
        found: dict[str, int] = {}
        for upstream in self._pipeline.upstreams[generation.table]:
            for tape, batch in self.noted(upstream, generation.generation_of(upstream)).items():
                found[tape] = min(found.get(tape, batch), batch)
        end = generation.to_batch
        return found if end is None else {tape: min(batch, end) for tape, batch in found.items()}

    def newest(self, generation: Generation, upto: Batches) -> Shown | None:
        """Return the newest content, where it stands at known batches none of which is after `upto`."""
        found = last_note(self._lake.table(generation.table, generation.number))
        at = None if found is None else self._exact(found[1], generation.table)
        if found is None or at is None or not is_within(at, upto):
            return None
        return Shown(self.content(generation.table, generation.number, found[0]), at)

    def earlier(self, generation: Generation, upto: Batches) -> Shown | None:
        """Return the newest stored content that stands at known batches none of which is after `upto`."""
        for version, note in notes_back(self._lake.table(generation.table, generation.number)):
            at = self._exact(note, generation.table)
            if at is not None and is_within(at, upto):
                return Shown(self.content(generation.table, generation.number, version), at)
        return None

    def at(self, generation: Generation, at: Batches) -> DataFrame | None:
        """Return the content at exactly these batches: stored, or computed from what it reads; None if neither can."""
        stored = self.earlier(generation, at)
        if stored is not None and stored.at == at:
            return stored.rows
        return self.computed(generation, at)

    def computed(self, generation: Generation, at: Batches) -> DataFrame | None:
        """Return what the deployed logic makes of all that a generation reads, at these batches."""
        table = self._pipeline.derived_table(generation.table)
        if generation.code_version != code_version(table):
            return None
        above = [self._above(generation, upstream, at) for upstream in self._pipeline.upstreams[table.name]]
        if any(rows is None for rows in above):
            return None
        rows = kind_of(table).content(table, *[rows for rows in above if rows is not None])
        rows = rows.persist(StorageLevel.DISK_ONLY)
        self._kept.append(rows)
        return rows

    def content(self, table: TableName, generation: int, version: int | None = None) -> DataFrame:
        """Return a generation as of a version, its newest if none is given.

        Always as of a version: rows that are read without one are read anew with each query, and a live table goes on.
        """
        stored = self._lake.table(table, generation)
        return stored.read(self._setting.spark, (stored.newest() or 0) if version is None else version, pruned=True)

    def _above(self, generation: Generation, upstream: TableName, at: Batches) -> DataFrame | None:
        number = generation.generation_of(upstream)
        if is_sliced(self._pipeline[upstream]):
            return cut(self.content(upstream, number), at[str(self._pipeline.tape_of(upstream))])
        found = self._state.generations.get((upstream, number))
        on = {str(tape): at[str(tape)] for tape in self._pipeline.tapes_of(upstream)}
        return None if found is None else self.at(found, on)

    def _exact(self, note: CommitNote, table: TableName) -> dict[str, int] | None:
        """Return the batches that a commit reflects, if they are more than lower bounds."""
        for upstream in self._pipeline.upstreams[table]:
            version = exact_version(note, str(upstream))
            if version is None:
                return None
            above = last_note(self._lake.table(upstream, note.reads[str(upstream)].generation), at_most=version)
            if above is None or not all(map(ends_with_a_version, above[1].reads.values())):
                return None
            if not upstream.is_tape and not is_sliced(self._pipeline[upstream]) and not self._exact(above[1], upstream):
                return None
        found = {str(tape): note.position.get(str(tape)) for tape in self._pipeline.tapes_of(table)}
        if any(position is None or position.batch < 0 for position in found.values()):
            return None
        return {tape: position.batch for tape, position in found.items() if position is not None}


def is_within(at: Batches, upto: Batches) -> bool:
    """Return whether none of the batches is after its bound."""
    return all(batch <= upto[tape] for tape, batch in at.items())


def cut(rows: DataFrame, batch: int) -> DataFrame:
    """Return rows, which keep their addresses, up to a batch."""
    return rows.where(F.col(BATCH_ID) <= batch)
