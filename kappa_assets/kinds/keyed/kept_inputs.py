"""Gold with keys that keeps its inputs: a batch reads them in proportion to the groups that it touches.

Rows of a group lie in every slice of an upstream that is in order of arrival. So the columns that the function uses are
kept once more, in files in the order of the groups, and follow the change feed row by row. Two commits for each batch,
that of the inputs first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql.types import StructField, StructType

from kappa_assets.columns import ADDRESS
from kappa_assets.declare.tables import Gold
from kappa_assets.errors import LogicError
from kappa_assets.kinds.aggregate import FeedBatch, made_by
from kappa_assets.kinds.kept_rows import KeptRows, check_rows_are_told_apart
from kappa_assets.kinds.keyed.in_words import explained_with_inputs
from kappa_assets.kinds.keyed.keyed_query import KeyedQuery
from kappa_assets.kinds.kind import Kind
from kappa_assets.kinds.rewriting_query import Content, few_groups, is_left_in_part, keys_of, ordered
from kappa_assets.kinds.touched import recomputed_groups, semi_join, touched_groups
from kappa_assets.log.note import CommitNote, InputRange
from kappa_assets.log.positions import holds_all_read, may_hold_deletes, read_bytes
from kappa_assets.logic.logic_check import Answer, check_groups
from kappa_assets.place.change import Groups
from kappa_assets.place.local.change_feed.row_changes import CHANGE


def check_kept_inputs(table: Gold, upstream: DataFrame, *, unique: Sequence[tuple[str, ...]] = (ADDRESS,)) -> Answer:
    """Return what `check_groups` does. Raises LogicError also where inputs cannot be kept in the order of groups."""
    answer = check_groups(table, upstream, unique=unique)
    assert answer.groups is not None  # noqa: S101 -- for mypy; a table with keys has groups, or is refused
    if not answer.groups.plain:
        raise LogicError(
            f"{table.origin}: keep_inputs of {table.name} needs groups that are columns of its upstream; they are "
            f"computed: {', '.join(answer.groups.groups)}",
            hint="Make the group a column of the upstream, and name that in keys; or leave keep_inputs out.",
        )
    check_rows_are_told_apart(table, upstream, answer.rows)
    return answer


class KeptInputsQuery(KeyedQuery):
    """The query of a Gold whose touched groups are recomputed from rows that are kept beside it."""

    _checked = staticmethod(check_kept_inputs)
    _read_beside = (CHANGE,)
    _kept: KeptRows
    _kept_order: tuple[str, ...]

    def prepare(self) -> None:
        """Check the function's plan, and make the table, and what is kept beside it."""
        super().prepare()
        by, columns = self._verdict.plain, self._columns
        self._kept_order = ordered(by, self._read)
        stored = self._setting.lake.state_of(self.table, self.generation)
        kept_by = {"inputs": {"columns": columns, "by": [*by]}}
        self._kept = KeptRows(stored, self.table, self.generation, kept_by, self._kept_order)
        schema = StructType([StructField(name, self._read[name].dataType, True) for name in columns])
        self._kept.prepare(schema, self._setting.fence)

    def _taken_in(self, batch: FeedBatch, number: int, before: CommitNote | None) -> FeedBatch:
        batch = replace(batch, groups=self._few_groups(batch))
        if not self._kept.has_taken({self._upstream_name: batch.read}):
            self._keep(batch, number, before)
        return batch

    def _keep(self, batch: FeedBatch, number: int, before: CommitNote | None) -> None:
        """Bring the inputs to the end of a batch: by its changes, or anew where they are not those of the table."""
        read = batch.read
        all_is_read = read.since is None and not read.until.starting
        anew = all_is_read or batch.ahead is not None or not self._kept.goes_with(before)
        all_inputs = self._all_inputs(batch) if anew else None
        ahead = None if all_inputs is None or all_inputs.version == read.version else all_inputs.version
        note = CommitNote(
            table=str(self.table),
            generation=self.generation,
            batch=number,
            code_version=self._code_version,
            reads={self._upstream_name: read},
            position=self._position(read),
            recomputed=ahead,
            replay=self._generation.replay,
        )
        content = partial(self._changed, batch) if all_inputs is None else lambda: all_inputs
        self._kept.put(content, note, self._setting.fence, self._size(read), small=batch.small)

    def _all_inputs(self, batch: FeedBatch) -> Content:
        """Return all that the upstream has at the end of a batch, or later, where that cannot be read alone."""
        wanted = max(holds_all_read(batch.read.until), batch.ahead or 0)
        above = self._scan_upstream(batch.rows.sparkSession, wanted)
        return Content(self._kept.fitted(above.rows), above.version)

    def _changed(self, batch: FeedBatch) -> Content:
        """Return the inputs of the groups of a batch after its changes, or all of them."""
        groups = self._kept_groups(batch)
        held = self._kept.rows(batch.rows.sparkSession, groups)
        if may_hold_deletes(self._upstream, batch.read):
            return Content(self._kept.after(held, batch.rows), groups=groups)
        return Content(held.unionByName(self._kept.fitted(batch.rows)), groups=groups)

    def _content(self, batch: FeedBatch) -> Content:
        spark, by = batch.rows.sparkSession, self._verdict.by
        ahead = self._kept.ahead_of(batch.read)
        if self._last_note() is None:  # all groups are touched
            rows, scan = self._kept.scan(spark, None)
            return Content(self._fitted(self._of_all(self._complete(rows))), ahead, scanned=scan)
        rows, scan = self._kept.scan(spark, self._kept_groups(batch))
        images = self._complete(batch.rows.drop(CHANGE))
        answer, touched, groups = recomputed_groups(
            self._gold, self._verdict, images, self._complete(rows), small=batch.small, few=lambda _: batch.groups
        )
        answer = self._fitted(answer)
        if groups is not None and self._is_large():
            return Content(answer, ahead, groups, scan)
        current, own = self._scan_current(spark)
        content = semi_join(current, touched, by, by, "left_anti").unionByName(answer)
        return Content(content, ahead, scanned=scan + own)

    def _few_groups(self, batch: FeedBatch) -> Groups | None:
        """Return the groups of a batch as values, where that lets part of what is kept, or of the table, be left."""
        if not (self._is_large() or self._keeps_much()):
            return None
        return few_groups(self._verdict.by, touched_groups(self._verdict, batch.rows, batch.rows))

    def _kept_groups(self, batch: FeedBatch) -> Groups | None:
        """Return the groups of a batch in the columns of what is kept; None where all of that is read and written."""
        if batch.groups is None or not self._keeps_much():
            return None
        return Groups(self._verdict.plain, batch.groups.values.rename_columns(list(self._verdict.plain)))

    def _keeps_much(self) -> bool:
        return is_left_in_part(self._kept_order, self._kept.size())

    def _size(self, read: InputRange) -> int:
        """Return how many bytes a batch may bring, at most."""
        size = read_bytes(self._upstream, read)
        return self._above.size() if math.isinf(size) else int(size)


KEPT_INPUTS = Kind(
    "keyed, keeping its inputs",
    made_by(KeptInputsQuery),
    check_kept_inputs,
    keys_of,
    keys_of,
    explain=explained_with_inputs,
)
"""The groups that a batch touches are computed anew, from rows that are kept beside the table."""
