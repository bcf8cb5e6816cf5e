"""A text such as `09:15`, cast to a timestamp, is on the day on which its row arrived, not on today's.

Spark gives a time without a date the day on which it is computed, so that a replay would give another answer. No plan
shows it, for it depends on the text. Where a column is read for nothing but casts to timestamps, its texts are
completed with the day of arrival before the function sees them, which only the casts can tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from kappa_assets.columns import ARRIVAL_DATE, quoted
from kappa_assets.logic.analysed import Node, SparkPlan

_BLANK = r"[\x00-\x20\x7f]*"
"""What Spark cuts off a text before it reads it."""
_TIME_ALONE = rf"^(T\d|{_BLANK}\d{{1,2}}:)"
"""How a text begins that Spark takes for a time without a date."""
_NULL_OR_NOT = {"IsNull", "IsNotNull"}


def with_days(rows: DataFrame, columns: frozenset[str]) -> DataFrame:
    """Return rows of a tape with the day of arrival, UTC, put before each time without a date in `columns`."""
    if not columns:
        return rows
    return rows.withColumns({f.name: _with_day(f.name) for f in rows.schema if f.name in columns})


def columns_of_casts(plan: SparkPlan, upstream: DataFrame, ids: Mapping[int | None, str]) -> frozenset[str]:
    """Return the text columns of `upstream` that a function only casts to timestamps, or tests for null.

    `ids` are the columns of `upstream` by their ids in the plan of the function's output.
    """
    texts = {f.name for f in upstream.schema if isinstance(f.dataType, StringType)}
    same = {column: name for column, name in ids.items() if name in texts}
    cast: set[str] = set()
    read: set[str] = set()
    for node in reversed(list(plan.top)):  # from the upstream on, so that columns are known by what they are renamed to
        for operand in node.operands() if node.children else ():
            inner = operand.children[0] if operand.kind == "Alias" else operand
            if node.kind == "Project" and node is not plan.top and inner.kind == "AttributeReference":
                if inner.id in same:
                    same[operand.id] = same[inner.id]
                continue
            for parent, column in _references(operand, None):
                name = same.get(column)
                if name is not None and parent is not None and _is_cast(parent):
                    cast.add(name)
                elif name is not None and (parent is None or parent.kind not in _NULL_OR_NOT):
                    read.add(name)
    return frozenset(cast - read)


def _with_day(name: str) -> Column:
    text = F.col(quoted(name))
    day = F.date_format(ARRIVAL_DATE, "yyyy-MM-dd")  # of a row whose time of arrival is unknown too
    time = F.regexp_replace(text, rf"^{_BLANK}T?", "")
    return F.when(text.rlike(_TIME_ALONE), F.concat(day, F.lit(" "), time)).otherwise(text)


def _is_cast(node: Node) -> bool:
    """Return whether an expression reads a text as a timestamp without being told a format."""
    if node.kind == "Cast":
        return bool(node.fields.get("dataType") == "timestamp")
    return node.kind == "ParseToTimestamp" and len(node.children) == 1 and node.fields.get("dataType") == "timestamp"


def _references(node: Node, parent: Node | None) -> Iterator[tuple[Node | None, int | None]]:
    if node.kind == "AttributeReference":
        yield parent, node.id
    for child in node.children:
        yield from _references(child, node)
