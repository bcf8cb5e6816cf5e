"""The groups of a table that a batch touches, and the rows of its upstreams that belong to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from kappa_assets.columns import quoted
from kappa_assets.declare.tables import Gold, Silver
from kappa_assets.errors import GroupsMixed
from kappa_assets.logic.analysed import plan_in_spark
from kappa_assets.logic.verdict import Feed, Verdict
from kappa_assets.place.change import Groups

_MIXED = "kappa: groups are mixed: "
"""How Spark's error begins that a row of a foreign group, or a key that comes twice, raises inside of its job."""


def recomputed_groups(
    table: Gold,
    verdict: Verdict,
    images: DataFrame,
    rows: DataFrame,
    *,
    small: bool,
    few: Callable[[DataFrame], Groups | None],
) -> tuple[DataFrame, DataFrame, Groups | None]:
    """Return what a Gold's function gives of all groups that a change feed touches, and these groups; also as values.

    `few` holds groups as values, where they are few.

    `images` are all rows of the feed: what was inserted, what was deleted, and what was updated as it was before and
    after. `rows` are those of the upstream after all that. Every row of the table that is in one of the groups is to
    be replaced, also where nothing comes in its place. Groups are named by the columns `by`; null is one.
    """
    touched = touched_groups(verdict, images, table(images))
    touched, groups = _as_values(touched, small=small, few=few)
    answer = table(rows_of_groups(verdict, rows, touched))
    if not verdict.plain:  # a row may belong to several groups, so there are others in it
        answer = semi_join(answer, touched, verdict.by, verdict.by)
    return checked(verdict, table.keys, answer, touched), touched, groups


def recomputed_joined(
    table: Silver | Gold,
    verdict: Verdict,
    images: Sequence[DataFrame | None],
    rows: Sequence[DataFrame],
    *,
    small: bool,
    few: Callable[[DataFrame], Groups | None],
) -> tuple[DataFrame, DataFrame, Groups | None]:
    """Return what `recomputed_groups` does, of a table that says what names its groups in each upstream.

    `images` and `rows` are those of each upstream, in the order of the function's parameters; None: nothing came. Of
    the images, the columns that name groups are enough.
    """
    touched, groups = _as_values(touched_of_joined(table, verdict, images), small=small, few=few)
    read = [
        semi_join(one, touched, columns, verdict.by).select(*map(quoted, one.columns))
        for one, columns in zip(rows, verdict.plain_of, strict=True)
    ]
    return checked(verdict, row_keys(table, verdict), table(*read), touched), touched, groups


def all_of_joined(table: Silver | Gold, verdict: Verdict, rows: Sequence[DataFrame]) -> DataFrame:
    """Return what a function of several upstreams gives of all their rows, checked as `recomputed_joined` does."""
    known = [_named(verdict, n, one) for n, one in enumerate(rows)]
    return checked(verdict, row_keys(table, verdict), table(*rows), reduce(DataFrame.unionAll, known))


def touched_of_joined(table: Silver | Gold, verdict: Verdict, images: Sequence[DataFrame | None]) -> DataFrame:
    """Return the groups that rows of the upstreams of a table belong to, in columns named as `by`.

    Raises ValueError where nothing came for any of them, so that no group is touched.
    """
    found = [_named(verdict, n, one) for n, one in enumerate(images) if one is not None]
    if not found:
        raise ValueError(f"nothing came for {table.name}, so no group of it is touched")
    return reduce(DataFrame.unionAll, found)


def row_keys(table: Silver | Gold, verdict: Verdict) -> tuple[str, ...]:
    """Return the columns that tell the rows of a table apart: its keys do so within a group.

    So that rows of a group that is recomputed need not be compared with those of all others.
    """
    return (*(name for name in verdict.by if name not in table.keys), *table.keys)


def touched_groups(verdict: Verdict, rows: DataFrame, answer: DataFrame) -> DataFrame:
    """Return the groups that `rows` of the upstream belong to, in columns named as `by`.

    `answer` is the function on these rows: computed groups are read off its plan, where rows go up to be grouped.
    """
    if verdict.plain:
        return _selected(rows, verdict.plain, verdict.by)
    read_off = [_read_off(answer, feed).toDF(*verdict.by) for feed in verdict.feeds]
    return reduce(DataFrame.unionAll, read_off)


def rows_of_groups(verdict: Verdict, rows: DataFrame, touched: DataFrame) -> DataFrame:
    """Return the rows of the upstream that belong to groups; all of them where groups are computed."""
    if not verdict.plain:
        return rows
    return semi_join(rows, touched, verdict.plain, verdict.by).select(*map(quoted, rows.columns))


def semi_join(
    rows: DataFrame, touched: DataFrame, columns: tuple[str, ...], by: tuple[str, ...], how: str = "left_semi"
) -> DataFrame:
    """Join on groups, where null equals null."""
    pairs = zip(map(quoted, columns), map(quoted, by), strict=True)
    same = [F.col(f"a.{column}").eqNullSafe(F.col(f"b.{name}")) for column, name in pairs]
    return rows.alias("a").join(touched.alias("b"), reduce(Column.__and__, same), how)


def checked(verdict: Verdict, keys: tuple[str, ...], answer: DataFrame, touched: DataFrame) -> DataFrame:
    """Return what the function gave of touched groups; a job that reads it fails where its plan proves too little.

    It fails at a row of a group that was not touched, which a Python function may give, and at a key that comes twice.
    """
    if verdict.believed:
        names = tuple(f"_kappa_{n}" for n in range(len(verdict.by)))
        known = touched.toDF(*names).distinct().withColumn("_kappa_is_touched", F.lit(1))
        found = semi_join(answer, known, verdict.by, names, "left")
        is_touched = F.col("_kappa_is_touched").isNotNull()
        answer = found.where(_unless(is_touched, "a row of a group that no row read is in", verdict.by)).select("a.*")
    if not verdict.keys_are_unique:
        counted = answer.withColumn("_kappa_rows", F.count(F.lit(1)).over(Window.partitionBy(*map(quoted, keys))))
        is_once = F.col("_kappa_rows") == 1
        answer = counted.where(_unless(is_once, "a key that comes twice", keys)).drop("_kappa_rows")
    return answer


@contextmanager
def telling_what_is_mixed(table: Gold | Silver, *, leave_out: str) -> Iterator[None]:
    """Raise GroupsMixed for a job that failed because of what `checked` found; any other failure stays as it is.

    `leave_out`: which option of the declaration makes the table one that is recomputed whole.
    """
    try:
        yield
    except PySparkException as error:
        mixed = what_is_mixed(error)
        if mixed is None:
            raise
        hint = f"Give each row under the keys of its own group, once; or leave {leave_out} out: it is recomputed whole."
        raise GroupsMixed(f"{table.origin}: {table.name} gives {mixed}", hint=hint) from error


def what_is_mixed(error: Exception) -> str | None:
    """Return what `checked` found wrong, where that is why a job failed."""
    _, found, rest = str(error).partition(_MIXED)
    return rest.partition("\n")[0].partition(" SQLSTATE")[0] if found else None


def _as_values(
    touched: DataFrame, *, small: bool, few: Callable[[DataFrame], Groups | None]
) -> tuple[DataFrame, Groups | None]:
    """Return groups as rows that are cheap to join with, and as values where they are few."""
    if (groups := few(touched)) is not None:
        return touched.sparkSession.createDataFrame(groups.values), groups
    # joins take them as they come; to plan it takes longer than it saves
    return touched if small else touched.distinct(), None


def _named(verdict: Verdict, number: int, rows: DataFrame) -> DataFrame:
    return _selected(rows, verdict.plain_of[number], verdict.by)


def _selected(rows: DataFrame, columns: tuple[str, ...], by: tuple[str, ...]) -> DataFrame:
    """Return the groups that rows belong to, in columns named as `by`."""
    return rows.select(*[F.col(quoted(of)).alias(name) for of, name in zip(columns, by, strict=True)])


def _unless(right: Column, what: str, columns: tuple[str, ...]) -> Column:
    shown = F.to_json(F.struct(*[F.col(quoted(name)) for name in columns]), {"ignoreNullFields": "false"})
    fails = F.raise_error(F.concat(F.lit(f"{_MIXED}{what}: "), shown)).cast("boolean")
    return F.when(right, F.lit(True)).otherwise(fails)


def _read_off(answer: DataFrame, feed: Feed) -> DataFrame:
    """Return columns of an operator inside of a plan as rows of their own."""
    spark: Any = answer.sparkSession  # its way into the JVM is not typed
    node = plan_in_spark(answer)
    for step in feed.path:
        node = node.children().apply(step)
    inside = spark._jvm.org.apache.spark.sql.classic.Dataset.ofRows(spark._jsparkSession, node)  # noqa: SLF001 - no public way runs a plan
    rows = DataFrame(inside, spark)
    named = rows.toDF(*[f"_{place}" for place in range(len(rows.columns))])
    return named.select(*[f"_{place}" for place in feed.places])
