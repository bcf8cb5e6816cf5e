"""Gold with keys: the groups that a batch touches are recomputed, the others stay."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from kappa_assets.columns import quoted
from kappa_assets.kinds.aggregate import AggregateQuery, made_by
from kappa_assets.kinds.kind import Kind
from kappa_assets.log.note import InputRange
from kappa_assets.log.positions import holds_all_read


class KeyedQuery(AggregateQuery):
    """The query of a Gold whose touched groups are recomputed from the upstream at one version of it."""

    def _content(
        self,
        batch: DataFrame,
        read: InputRange,
        ahead: int | None,
        *,
        small: bool,  # noqa: ARG002 -- of a batch that is merged; here none is
    ) -> tuple[DataFrame, int | None]:
        fresh, version = self._recomputed(batch.sparkSession, max(holds_all_read(read.until), ahead or 0))
        if read.since is None and not read.until.starting:
            return fresh, version  # all groups are touched
        keys = self._gold.keys
        touched = self._gold(self._complete(batch)).select(*map(quoted, keys)).distinct()
        kept = _semi_join(self._current(batch), touched, keys, how="left_anti")
        return kept.unionByName(_semi_join(fresh, touched, keys)), version


def _semi_join(rows: DataFrame, touched: DataFrame, keys: tuple[str, ...], how: str = "left_semi") -> DataFrame:
    """Join on keys where null equals null."""
    a, b = rows.alias("a"), touched.alias("b")
    same: list[Column] = [F.col(f"a.{name}").eqNullSafe(F.col(f"b.{name}")) for name in map(quoted, keys)]
    return a.join(b, reduce(Column.__and__, same), how)


KEYED = Kind("keyed", made_by(KeyedQuery))
"""The groups that a batch touches are computed anew."""
