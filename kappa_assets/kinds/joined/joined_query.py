"""A table of several upstreams: the groups that their changes touch are recomputed, all of them read at one vector."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pyspark.sql import DataFrame, SparkSession

from kappa_assets.columns import quoted
from kappa_assets.declare.tables import Gold, Silver
from kappa_assets.kinds.joined.in_words import joined_in_words
from kappa_assets.kinds.joined.several_query import GoneMeanwhile, Inputs, WholeOfSeveralQuery
from kappa_assets.kinds.joined.vector import Reading, Upstream
from kappa_assets.kinds.kind import Kind
from kappa_assets.kinds.rewriting_query import MOST_GROUPS, Content, bounded, is_left_in_part, keys_of, ordered
from kappa_assets.kinds.touched import all_of_joined, recomputed_joined, semi_join, touched_of_joined
from kappa_assets.logic.logic_check import check_joined
from kappa_assets.logic.verdict import Verdict
from kappa_assets.place.change import Groups, Scan
from kappa_assets.sources.source import READ_FAILED


class JoinedQuery(WholeOfSeveralQuery):
    """The query of a table whose declaration names its groups in each upstream: touched ones are recomputed alone."""

    _verdict: Verdict
    _checked = staticmethod(check_joined)

    def _answer(self, *upstreams: DataFrame) -> DataFrame:
        answer = self._checked(self._declared, *upstreams, unique=self._unique)
        assert answer.groups is not None  # noqa: S101 -- for mypy; such a table has groups, or is refused
        self._verdict = answer.groups
        self._order = ordered(self._verdict.by, answer.rows.schema)
        return answer.rows

    def _following(self, spark: SparkSession, reading: Reading) -> partial[Content]:
        changes = [self._changes(spark, upstream, reading) for upstream in self._upstreams.upstreams]
        feeds = [
            None if one is None else self._completed(reading.of(upstream)[0].cut(one), upstream)
            for one, upstream in zip(changes, self._upstreams.upstreams, strict=True)
        ]
        touched = self._as_values(touched_of_joined(self._declared, self._verdict, feeds))
        return partial(self._of_groups, self._inputs(spark, reading, changes, touched), feeds, touched)

    def _inputs(
        self,
        spark: SparkSession,
        reading: Reading,
        changes: Sequence[DataFrame | None],  # noqa: ARG002 -- of those that keep their inputs
        touched: Groups | None,
    ) -> Inputs:
        """Return the rows of all upstreams at the vector, of the groups that changes touch; others may be among them.

        `changes`: of each upstream since the last vector, whether they are cut or not.
        """
        if touched is None:
            return self._all_rows(spark, reading)
        both = zip(self._verdict.plain_of, self._schemas, strict=True)
        return self._all_rows(spark, reading, [bounded(touched, of, schema) for of, schema in both])

    def _of_groups(self, inputs: Inputs, feeds: Sequence[DataFrame | None], touched: Groups | None) -> Content:
        """Return the function on the rows of the touched groups, in the place of these groups."""
        answer, rows, groups = recomputed_joined(
            self._declared, self._verdict, feeds, inputs.rows, small=False, few=lambda _: touched
        )
        answer = self._fitted(answer)
        if groups is not None and is_left_in_part(self._order, self._target.size()):
            return Content(answer, groups=groups, scanned=inputs.scan)
        by = self._verdict.by
        current, own = self._scan_current(answer.sparkSession)
        stay = semi_join(current, rows, by, by, "left_anti").select(*map(quoted, answer.columns))
        return Content(stay.unionByName(answer), scanned=Scan.all_of(inputs.scan, own))

    def _as_values(self, touched: DataFrame) -> Groups | None:
        """Return touched groups as values where they are few. Read at once: what is lost of a feed shows here."""
        try:
            found = touched.distinct().limit(MOST_GROUPS + 1).toArrow()
        except READ_FAILED as error:
            raise GoneMeanwhile(f"the changes of an upstream cannot be read any more: {error}") from error
        return Groups(self._verdict.by, found) if found.num_rows <= MOST_GROUPS else None

    def _everything(self, inputs: Inputs) -> Content:
        answer = all_of_joined(self._declared, self._verdict, inputs.rows)
        return Content(self._fitted(answer), scanned=inputs.scan)

    def _changes(self, spark: SparkSession, upstream: Upstream, reading: Reading) -> DataFrame | None:
        """Return all images of what changed in an upstream since the last vector; None where nothing did."""
        part, taken = reading.of(upstream)
        try:
            return upstream.table.changes_between(spark, taken.version, part.version)
        except READ_FAILED as error:
            raise GoneMeanwhile(f"the changes of {upstream.name} cannot be read any more: {error}") from error


def unique_by(table: Gold | Silver) -> tuple[str, ...]:
    """Return the keys of a Gold, which hold its groups. Those of a Silver tell rows of one group apart alone."""
    return table.keys if isinstance(table, Gold) else ()


JOINED = Kind("joined", JoinedQuery, check_joined, keys_of, unique_by, explain=joined_in_words)
"""The groups that changes of its upstreams touch are computed anew."""
