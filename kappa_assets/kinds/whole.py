"""Gold without keys: recomputed whole with each batch."""

from __future__ import annotations

from pyspark.sql import DataFrame

from kappa_assets.kinds.aggregate import AggregateQuery, Content, FeedBatch, made_by
from kappa_assets.kinds.kind import Kind
from kappa_assets.log.positions import holds_all_read
from kappa_assets.logic.logic_check import check_whole


class WholeQuery(AggregateQuery):
    """The query of a Gold whose rows nothing tells apart: a batch says only that it is to be computed anew."""

    _all_is_recomputed = True

    def _answer(self, upstream: DataFrame) -> DataFrame:
        return check_whole(self._gold, upstream).rows

    def _content(self, batch: FeedBatch) -> Content:
        return self._recomputed(batch.rows.sparkSession, max(holds_all_read(batch.read.until), batch.ahead or 0))


WHOLE = Kind("whole", made_by(WholeQuery), check_whole)
"""All of it is computed anew with each batch."""
