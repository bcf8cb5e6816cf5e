"""Gold without keys: recomputed whole with each batch."""

from __future__ import annotations

from pyspark.sql import DataFrame

from kappa_assets.kinds.aggregate import AggregateQuery, made_by
from kappa_assets.kinds.kind import Kind
from kappa_assets.log.note import InputRange
from kappa_assets.log.positions import holds_all_read
from kappa_assets.logic.logic_check import check_whole


class WholeQuery(AggregateQuery):
    """The query of a Gold whose rows nothing tells apart: a batch says only that it is to be computed anew."""

    _all_is_recomputed = True

    def _answer(self, upstream: DataFrame) -> DataFrame:
        return check_whole(self._gold, upstream).rows

    def _content(
        self,
        batch: DataFrame,
        read: InputRange,
        ahead: int | None,
        *,
        small: bool,  # noqa: ARG002 -- of a batch that is merged; here none is
    ) -> tuple[DataFrame, int | None]:
        return self._recomputed(batch.sparkSession, max(holds_all_read(read.until), ahead or 0))


WHOLE = Kind("whole", made_by(WholeQuery), check_whole)
"""All of it is computed anew with each batch."""
