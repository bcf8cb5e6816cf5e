"""Gold with keys and `combine`: the aggregates of a batch are merged into the table's."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DecimalType, StructType

from kappa_assets.columns import quoted
from kappa_assets.declare.tables import Gold
from kappa_assets.kinds.aggregate import FeedBatch, made_by
from kappa_assets.kinds.keyed.in_words import (
    groups_in_words,
    how_groups_are_replaced,
    rows_of_groups_read,
    what_is_dear,
)
from kappa_assets.kinds.keyed.keyed_query import KeyedQuery
from kappa_assets.kinds.kind import Explanation, Kind
from kappa_assets.kinds.rewriting_query import Content, keys_of
from kappa_assets.log.positions import may_hold_deletes
from kappa_assets.logic.logic_check import Answer, check_combined

_MERGE = {"sum": F.sum, "count": F.sum, "min": F.min, "max": F.max}


class CombinedQuery(KeyedQuery):
    """The query of a Gold that merges; groups are recomputed, as with keys alone, where rows were taken away."""

    _checked = staticmethod(check_combined)

    def _content(self, batch: FeedBatch) -> Content:
        if batch.ahead is not None or may_hold_deletes(self._upstream, batch.read):
            return super()._content(batch)
        spark, keys = batch.rows.sparkSession, self._gold.keys
        added = self._fitted(self._gold(self._complete(batch.rows)))
        if (groups := self._few(keys, added)) is not None:
            held, scan = self._target.scan(spark, self._schema(), groups)
            return Content(self._merge(held.unionByName(added)), groups=groups, scanned=scan)
        current, scan = self._scan_current(spark)
        both = current.unionByName(added)
        return Content(self._merge(both.coalesce(1) if batch.small else both), scanned=scan)

    def _kept_as(self, output: DataFrame) -> StructType:
        return self._merge(output).schema

    def _merge(self, rows: DataFrame) -> DataFrame:
        """Aggregate partial aggregates. Sums of decimals get all 38 digits, so that a long life does not overflow."""
        merged = rows.groupBy(*map(quoted, self._gold.keys)).agg(
            *[_MERGE[how](quoted(column)).alias(column) for column, how in self._gold.combine.items()]
        )
        wide = [
            F.col(quoted(f.name)).cast(DecimalType(38, f.dataType.scale)).alias(f.name)
            if isinstance(f.dataType, DecimalType) and self._gold.combine.get(f.name) == "sum"
            else F.col(quoted(f.name))
            for f in merged.schema
        ]
        return merged.select(*wide).select(*map(quoted, rows.columns))


def _explained(gold: Gold, upstream: str, answer: Answer | None) -> Explanation:
    merged = ", ".join(f"{column} by {how}" for column, how in gold.combine.items())
    again = rows_of_groups_read(upstream, answer)
    rare = f"Where rows of {upstream} were taken away:"
    return Explanation(
        f"The function is called with the rows of the batch, and its answer merged into the table: {merged}. Groups of "
        f"rows that were taken away from {upstream} are recomputed instead.",
        f"The rows of the batch. {rare} {again}",
        how_groups_are_replaced(answer),
        groups_in_words(answer),
        tuple(f"{rare} {one}" for one in what_is_dear(gold, upstream, answer)),
    )


COMBINED = Kind("combined", made_by(CombinedQuery), check_combined, keys_of, keys_of, explain=_explained)
"""The aggregates of a batch are merged into those of the table."""
