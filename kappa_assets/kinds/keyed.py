"""Gold with keys: the groups that a batch touches are recomputed, the others stay."""

from __future__ import annotations

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

from kappa_assets.errors import GroupsMixed
from kappa_assets.kinds.aggregate import AggregateQuery, keys_of, made_by
from kappa_assets.kinds.kind import Kind
from kappa_assets.kinds.touched import checked, recomputed_groups, semi_join, touched_groups, what_is_mixed
from kappa_assets.log.note import InputRange
from kappa_assets.log.positions import holds_all_read
from kappa_assets.logic.logic_check import check_groups
from kappa_assets.logic.verdict import Verdict


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

    def _needed(self) -> frozenset[str]:
        return frozenset(self._verdict.columns)

    def _content(
        self, batch: DataFrame, read: InputRange, ahead: int | None, *, small: bool
    ) -> tuple[DataFrame, int | None]:
        rows, version = self._upstream_at(batch.sparkSession, max(holds_all_read(read.until), ahead or 0))
        if read.since is None and not read.until.starting:
            return self._fitted(self._of_all(rows)), version  # all groups are touched
        answer, touched = recomputed_groups(self._gold, self._verdict, self._complete(batch), rows, small=small)
        kept = semi_join(self._current(batch), touched, self._verdict.by, self._verdict.by, "left_anti")
        return kept.unionByName(self._fitted(answer)), version

    def _of_all(self, rows: DataFrame) -> DataFrame:
        answer = self._gold(rows)
        touched = touched_groups(self._verdict, rows, answer) if self._verdict.believed else rows
        return checked(self._verdict, self._gold.keys, answer, touched)


KEYED = Kind("keyed", made_by(KeyedQuery), check_groups, keys_of)
"""The groups that a batch touches are computed anew."""
