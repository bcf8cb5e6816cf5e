"""Gold with keys: the groups that a batch touches are recomputed, the others stay."""

from __future__ import annotations

from functools import partial

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql.types import (
    ByteType,
    DateType,
    IntegerType,
    LongType,
    ShortType,
    StringType,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from kappa_assets.errors import GroupsMixed
from kappa_assets.kinds.aggregate import AggregateQuery, Content, FeedBatch, keys_of, made_by
from kappa_assets.kinds.kind import Kind
from kappa_assets.kinds.touched import checked, recomputed_groups, semi_join, touched_groups, what_is_mixed
from kappa_assets.log.positions import holds_all_read
from kappa_assets.logic.logic_check import check_groups
from kappa_assets.logic.verdict import Verdict

_ORDERED = (ByteType, ShortType, IntegerType, LongType, StringType, DateType, TimestampType, TimestampNTZType)


class KeyedQuery(AggregateQuery):
    """The query of a Gold whose touched groups are recomputed from the upstream at one version of it."""

    _verdict: Verdict
    _checked = staticmethod(check_groups)

    def apply(self, batch: DataFrame, number: int) -> None:
        try:
            super().apply(batch, number)
        except PySparkException as error:
            mixed = what_is_mixed(error)
            if mixed is None:
                raise
            hint = "Give each row under the keys of its own group, once; or leave keys out: it is recomputed whole."
            raise GroupsMixed(f"{self._gold.origin}: {self.table} gives {mixed}", hint=hint) from error

    def _answer(self, upstream: DataFrame) -> DataFrame:
        answer = self._checked(self._gold, upstream)
        assert answer.groups is not None  # noqa: S101 -- for mypy; a table with keys has groups, or is refused
        self._verdict = answer.groups
        return answer.rows

    def _ordered_by(self, schema: StructType) -> tuple[str, ...]:
        """Return the columns of groups whose bounds tell files apart; a dot in a name hides them."""
        return tuple(c for c in self._verdict.by if isinstance(schema[c].dataType, _ORDERED) and "." not in c)

    def _needed(self) -> frozenset[str]:
        return frozenset(self._verdict.columns)

    def _content(self, batch: FeedBatch) -> Content:
        spark, read = batch.rows.sparkSession, batch.read
        rows, version = self._upstream_at(spark, max(holds_all_read(read.until), batch.ahead or 0))
        if read.since is None and not read.until.starting:
            return Content(self._fitted(self._of_all(rows)), version)  # all groups are touched
        images, by = self._complete(batch.rows), self._verdict.by
        few = partial(self._few, batch, by)
        answer, touched, groups = recomputed_groups(self._gold, self._verdict, images, rows, small=batch.small, few=few)
        answer = self._fitted(answer)
        if groups is not None:
            return Content(answer, version, groups)
        return Content(semi_join(self._current(spark), touched, by, by, "left_anti").unionByName(answer), version)

    def _of_all(self, rows: DataFrame) -> DataFrame:
        answer = self._gold(rows)
        touched = touched_groups(self._verdict, rows, answer) if self._verdict.believed else rows
        return checked(self._verdict, self._gold.keys, answer, touched)


KEYED = Kind("keyed", made_by(KeyedQuery), check_groups, keys_of)
"""The groups that a batch touches are computed anew."""
