"""A table of several upstreams that keeps its inputs: a batch reads in proportion to the groups that it touches.

Rows of a group lie in every slice of an upstream that is in order of arrival. So the columns that the function uses of
each upstream are kept once more, in files in the order of the groups, and follow the change feeds row by row. Two
commits for each batch, that of the inputs first.

Where an upstream is cut at a batch in the midst of a commit, the inputs end before that commit: what is read of it is
added to what they give, for this batch alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, StructField, StructType

from kappa_assets.columns import quoted
from kappa_assets.declare.tables import Gold, Silver
from kappa_assets.kinds.joined.in_words import kept_join_in_words
from kappa_assets.kinds.joined.joined_query import JoinedQuery, unique_by
from kappa_assets.kinds.joined.several_query import Inputs
from kappa_assets.kinds.joined.vector import Part, Reading, Upstream
from kappa_assets.kinds.kept_rows import KeptRows, check_rows_are_told_apart
from kappa_assets.kinds.kind import Kind
from kappa_assets.kinds.rewriting_query import Content, complete, is_left_in_part, keys_of, ordered
from kappa_assets.logic.analysed import columns_used
from kappa_assets.logic.logic_check import Answer, check_joined
from kappa_assets.place.change import Groups, Scan
from kappa_assets.place.local.change_feed.row_changes import CHANGE
from kappa_assets.place.local.pinned import read_pinned

_INPUT = "_kappa_input"
"""Which upstream a row that is kept is of, by its place among the parameters."""
_COMMITTED = "_commit_version"
"""In the change feed: the version that brought a change."""


def check_kept_join(
    table: Silver | Gold, *upstreams: DataFrame, unique: Sequence[tuple[str, ...]] | None = None
) -> Answer:
    """Return what `check_joined` does. Raises LogicError also where columns tell no rows apart that are to be kept."""
    answer = check_joined(table, *upstreams, unique=unique)
    for parameter, upstream in zip(table.groups_of, upstreams, strict=True):
        check_rows_are_told_apart(table, upstream, answer.rows, of=f" of {parameter}")
    return answer


class KeptJoinQuery(JoinedQuery):
    """The query of a table whose touched groups are recomputed from rows of its upstreams that are kept beside it."""

    _checked = staticmethod(check_kept_join)
    _kept: KeptRows
    _kept_order: tuple[str, ...]
    _columns: tuple[tuple[str, ...], ...]
    """Of each upstream, those that are kept."""

    def prepare(self) -> None:
        """Check the function's plan, make the table and what is kept beside it, and plan what there is."""
        super().prepare()
        named = zip(self._verdict.by, self._verdict.plain_of[0], strict=True)
        groups = [StructField(name, self._schemas[0][of].dataType) for name, of in named]
        inputs = [
            StructField(_of(number), StructType([StructField(name, schema[name].dataType) for name in columns]))
            for number, (schema, columns) in enumerate(zip(self._schemas, self._columns, strict=True))
        ]
        schema = StructType([*groups, StructField(_INPUT, IntegerType()), *inputs])
        self._kept_order = ordered(self._verdict.by, schema)
        names = [str(upstream.name) for upstream in self._upstreams.upstreams]
        kept_by = {"inputs": {"of": names, "columns": [*map(list, self._columns)], "by": [*self._verdict.by]}}
        stored = self._setting.lake.state_of(self.table, self.generation)
        self._kept = KeptRows(stored, self.table, self.generation, kept_by, self._kept_order)
        self._kept.prepare(schema, self._setting.fence)

    def _answer(self, *upstreams: DataFrame) -> DataFrame:
        output = super()._answer(*upstreams)
        used = columns_used(output)
        self._columns = tuple(
            tuple(name for name in schema.names if used is None or name in used or name in named)
            for schema, named in zip(self._schemas, self._verdict.plain_of, strict=True)
        )
        return output

    def _anew(self, spark: SparkSession, reading: Reading) -> partial[Content]:
        if not self._kept.has_taken(reading.ranges):
            self._keep_anew(spark, reading)
        return super()._anew(spark, reading)

    def _inputs(
        self, spark: SparkSession, reading: Reading, changes: Sequence[DataFrame | None], touched: Groups | None
    ) -> Inputs:
        groups = touched if is_left_in_part(self._kept_order, self._kept.size()) else None
        if not self._is_kept(spark, reading, changes, groups):
            return super()._inputs(spark, reading, changes, touched)
        held, scan = self._kept.scan(spark, groups)
        rows = tuple(self._at_vector(number, held, reading, one) for number, one in enumerate(changes))
        return Inputs(rows, Scan.all_of(*[scan] * len(rows)))

    def _is_kept(
        self, spark: SparkSession, reading: Reading, changes: Sequence[DataFrame | None], groups: Groups | None
    ) -> bool:
        """Bring what is kept to the vector, by the changes since the last one or anew; return whether that was done."""
        if self._kept.has_taken(reading.ranges):
            return True
        if not self._kept.goes_with(self._last_note()):
            return self._keep_anew(spark, reading)
        self._put(partial(self._changed, spark, reading, changes, groups), reading)
        return True

    def _keep_anew(self, spark: SparkSession, reading: Reading) -> bool:
        """Keep all inputs; not where a version cannot be read any more that ends before the cut."""
        rows = [self._before_the_cut(spark, number, reading) for number in range(len(self._columns))]
        known = [self._encoded(number, one) for number, one in enumerate(rows) if one is not None]
        if len(known) == len(rows):
            self._put(lambda: Content(reduce(DataFrame.unionByName, known)), reading)
        return len(known) == len(rows)

    def _put(self, content: Callable[[], Content], reading: Reading) -> None:
        coming = sum(above.size() for above in self._above)
        self._kept.put(content, self._read_by(reading), self._setting.fence, coming, small=False)

    def _before_the_cut(self, spark: SparkSession, number: int, reading: Reading) -> DataFrame | None:
        """Return the rows of the last version that is wholly read; None where it cannot be read any more.

        Rows of a later one will not do, though cut: its repairs are told once more by the changes to come.
        """
        upstream, part = self._upstream(number, reading)
        if part.upto < 0:
            return spark.createDataFrame([], self._schemas[number])
        rows, version = read_pinned(spark, upstream.table, part.upto)
        return rows if version == part.upto else None

    def _changed(
        self, spark: SparkSession, reading: Reading, changes: Sequence[DataFrame | None], groups: Groups | None
    ) -> Content:
        """Return what is kept of some groups, or of all, after the changes since the last vector."""
        held = self._kept.rows(spark, groups)
        images = [
            self._encoded(number, one.where(F.col(_COMMITTED) <= self._upstream(number, reading)[1].upto), CHANGE)
            for number, one in enumerate(changes)
            if one is not None
        ]
        return Content(self._kept.after(held, reduce(DataFrame.unionByName, images)), groups=groups)

    def _at_vector(self, number: int, held: DataFrame, reading: Reading, changes: DataFrame | None) -> DataFrame:
        """Return the rows of an upstream at the vector, from what is kept of all."""
        upstream, part = self._upstream(number, reading)
        kept = held.where(F.col(_INPUT) == number).select(f"{_of(number)}.*")
        if changes is not None and part.version > part.upto:
            kept = self._kept.after(kept, part.cut(changes.where(F.col(_COMMITTED) > part.upto)))
        return self._completed(kept, upstream)

    def _encoded(self, number: int, rows: DataFrame, *beside: str) -> DataFrame:
        """Return rows of an upstream as they are kept; `beside`: columns that stay as they are."""
        rows = complete(rows, StructType([*self._schemas[number], *(rows.schema[name] for name in beside)]))
        named = zip(self._verdict.plain_of[number], self._verdict.by, strict=True)
        groups = [F.col(quoted(of)).alias(name) for of, name in named]
        kept = self._kept.schema()
        others = [F.lit(None).cast(kept[_of(n)].dataType).alias(_of(n)) for n in range(len(self._columns))]
        inputs = [*others[:number], _struct(rows, kept[_of(number)]), *others[number + 1 :]]
        return rows.select(*groups, F.lit(number).alias(_INPUT), *inputs, *beside)

    def _upstream(self, number: int, reading: Reading) -> tuple[Upstream, Part]:
        upstream = self._upstreams.upstreams[number]
        return upstream, reading.vector.parts[str(upstream.name)]


def _of(number: int) -> str:
    """Return the column of what is kept in which the rows of an upstream are."""
    return f"_kappa_{number}"


def _struct(rows: DataFrame, kept: StructField) -> Column:
    """Return rows as one column; what is kept of columns that rows lack, which the function reads no more, is null."""
    assert isinstance(kept.dataType, StructType)  # noqa: S101 -- for mypy; it is made so
    there = set(rows.columns)
    columns = [F.col(quoted(f.name)) if f.name in there else F.lit(None) for f in kept.dataType]
    named = [one.cast(f.dataType).alias(f.name) for one, f in zip(columns, kept.dataType, strict=True)]
    return F.struct(*named).alias(kept.name)


KEPT_JOIN = Kind(
    "joined, keeping its inputs", KeptJoinQuery, check_kept_join, keys_of, unique_by, explain=kept_join_in_words
)
"""The groups that changes of its upstreams touch are computed anew, from rows that are kept beside the table."""
