"""Gold without keys: recomputed whole with each batch."""

from __future__ import annotations

from pyspark.sql import DataFrame

from kappa_assets.declare.tables import Gold
from kappa_assets.kinds.aggregate import AggregateQuery, FeedBatch, made_by
from kappa_assets.kinds.kind import Explanation, Kind
from kappa_assets.kinds.rewriting_query import Content
from kappa_assets.log.positions import holds_all_read
from kappa_assets.logic.logic_check import Answer, check_whole


class WholeQuery(AggregateQuery):
    """The query of a Gold whose rows nothing tells apart: a batch says only that it is to be computed anew."""

    _all_is_recomputed = True

    def _answer(self, upstream: DataFrame) -> DataFrame:
        return check_whole(self._gold, upstream).rows

    def _content(self, batch: FeedBatch) -> Content:
        return self._recomputed(batch.rows.sparkSession, max(holds_all_read(batch.read.until), batch.ahead or 0))


def _explained(gold: Gold, upstream: str, answer: Answer | None) -> Explanation:  # noqa: ARG001 -- no plan tells more
    often = "with each batch" if gold.every is None else f"at most once in {gold.every:g} s"
    keys = (
        f"Give it keys, if its rows belong to groups of rows of {upstream}: only those that a batch touches are then "
    )
    every = f"Say every=, such as '10 minutes', if it need not follow each batch of {upstream}."
    return Explanation(
        f"The function is called with all of {upstream}, {often}, and what it gives takes the place of all rows.",
        f"All of {upstream}, {often}.",
        "All of it is written anew; nothing is where it is seen that no row differs: in a small table, and in one that "
        "others follow.",
        cheaper=(f"{keys}computed anew.", *([every] if gold.every is None else [])),
    )


WHOLE = Kind("whole", made_by(WholeQuery), check_whole, explain=_explained)
"""All of it is computed anew with each batch."""
