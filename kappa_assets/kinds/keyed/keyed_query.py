"""Gold with keys: the groups that a batch touches are recomputed, the others stay."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from kappa_assets.kinds.aggregate import AggregateQuery, FeedBatch, made_by
from kappa_assets.kinds.keyed.in_words import explained
from kappa_assets.kinds.kind import Kind
from kappa_assets.kinds.rewriting_query import Content, bounded, few_groups, is_large, is_left_in_part, keys_of, ordered
from kappa_assets.kinds.touched import checked, recomputed_groups, semi_join, telling_what_is_mixed, touched_groups
from kappa_assets.log.positions import holds_all_read
from kappa_assets.logic.logic_check import check_groups
from kappa_assets.logic.verdict import Verdict
from kappa_assets.place.change import Groups, Scan


class KeyedQuery(AggregateQuery):
    """The query of a Gold whose touched groups are recomputed from the upstream at one version of it."""

    _verdict: Verdict
    _checked = staticmethod(check_groups)

    def apply(self, batch: DataFrame, number: int) -> None:
        with telling_what_is_mixed(self._gold, leave_out="keys"):
            super().apply(batch, number)

    def _answer(self, upstream: DataFrame) -> DataFrame:
        answer = self._checked(self._gold, upstream, unique=self._unique)
        assert answer.groups is not None  # noqa: S101 -- for mypy; a table with keys has groups, or is refused
        self._verdict = answer.groups
        return answer.rows

    def _ordered_by(self, schema: StructType) -> tuple[str, ...]:
        return ordered(self._verdict.by, schema)

    def _needed(self) -> frozenset[str]:
        return frozenset(self._verdict.columns)

    def _content(self, batch: FeedBatch) -> Content:
        spark, read, by = batch.rows.sparkSession, batch.read, self._verdict.by
        version = max(holds_all_read(read.until), batch.ahead or 0)
        if read.since is None and not read.until.starting:
            above = self._scan_upstream(spark, version)
            return Content(self._fitted(self._of_all(above.rows)), above.version, scanned=above.scan)  # all is touched
        images = self._complete(batch.rows)
        groups = self._groups_of(images)
        mine = None if groups is None else bounded(groups, self._verdict.plain, self._read)
        above = self._scan_upstream(spark, version, mine)
        answer, touched, groups = recomputed_groups(
            self._gold, self._verdict, images, above.rows, small=batch.small, few=lambda _: groups
        )
        answer = self._fitted(answer)
        if groups is not None and self._is_large():
            return Content(answer, above.version, groups, above.scan)
        current, own = self._scan_current(spark)
        rows = semi_join(current, touched, by, by, "left_anti").unionByName(answer)
        return Content(rows, above.version, scanned=Scan.all_of(above.scan, own))

    def _groups_of(self, images: DataFrame) -> Groups | None:
        """Return the groups that a batch touches, as values, where that lets part of a table be left; else None."""
        tells_files_apart = bool(ordered(self._verdict.plain, self._read))
        if not (self._is_large() or (tells_files_apart and is_large(self._above.size()))):
            return None
        answer = images if self._verdict.plain else self._gold(images)
        return few_groups(self._verdict.by, touched_groups(self._verdict, images, answer))

    def _is_large(self) -> bool:
        """Return whether the table is so large that a batch of few groups replaces a part of it."""
        return is_left_in_part(self._order, self._target.size())

    def _of_all(self, rows: DataFrame) -> DataFrame:
        answer = self._gold(rows)
        touched = touched_groups(self._verdict, rows, answer) if self._verdict.believed else rows
        return checked(self._verdict, self._gold.keys, answer, touched)


KEYED = Kind("keyed", made_by(KeyedQuery), check_groups, keys_of, keys_of, explain=explained)
"""The groups that a batch touches are computed anew."""
