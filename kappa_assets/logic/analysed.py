"""Spark's plan of a DataFrame, analysed or optimized: fetched in one call, read in Python."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_NOISE = {"class", "num-children", "metadata", "qualifier", "resultId"}


@dataclass(frozen=True)
class Node:
    """An operator of the plan, or an expression in it: `Project`, `Sum`. Equal ones mean the same."""

    kind: str
    fields: Mapping[str, Any]
    children: tuple[Node, ...]

    def __iter__(self) -> Iterator[Node]:
        """Yield the node and all below it, from the top."""
        yield self
        for child in self.children:
            yield from child

    @property
    def id(self) -> int | None:
        """What tells a column from every other; a column passed on unchanged keeps it."""
        found = self.fields.get("exprId")
        return int(found["id"]) if found is not None else None

    def expressions(self, name: str) -> tuple[Node, ...]:
        """Return the expressions in one field of an operator, such as the `projectList` of a Project."""
        return tuple(tree(one) for one in self.fields.get(name) or [])

    def expression(self, name: str) -> Node | None:
        """Return the one expression in a field of an operator, such as the `condition` of a Join."""
        found = self.fields.get(name)
        return tree(found) if found else None

    def operands(self) -> Iterator[Node]:
        """Yield the expressions that the operator is made with, each as a tree."""
        return _trees(self.fields.values())

    def mentioned(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield kind and fields of every expression the operator is made with, at any depth."""
        return _mentioned(self.fields.values())


@dataclass(frozen=True)
class SparkPlan:
    """An analysed plan; at the top stands a Project whose `projectList` is the columns of the output."""

    top: Node
    deterministic: bool
    """Whether Spark says so: it does not know the clock, and doubts `collect_set`."""


def tree(nodes: list[dict[str, Any]]) -> Node:
    """Return the tree that Spark lists from the top, each node with its number of children."""
    return _next(iter(nodes))


def analysed(frame: DataFrame) -> SparkPlan | None:
    """Return the analysed plan; None on Spark Connect, which shows none."""
    if not hasattr(frame, "_jdf"):
        return None
    plan = plan_in_spark(frame)
    nodes = json.loads(plan.toJSON())
    for number, node in enumerate(nodes):
        _add_what_is_left_out(plan, number, node)
    return SparkPlan(tree(nodes), bool(plan.deterministic()))


def plan_in_spark(frame: DataFrame) -> Any:
    """Return Spark's own analysed plan of a DataFrame, what WITH names put in the places that name it."""
    spark: Any = frame.sparkSession  # its way into the JVM is not typed
    plan = frame.select("*")._jdf.queryExecution().analyzed()  # noqa: SLF001 - no public way shows the plan
    if "WithCTE" not in str(plan.treeString()):
        return plan
    return spark._jvm.org.apache.spark.sql.catalyst.optimizer.InlineCTE(True, False).apply(plan)  # noqa: SLF001 - as above; Scala takes them by place


def readings(frame: DataFrame, upstream: DataFrame) -> tuple[frozenset[int], bool]:
    """Return the ids of the columns of each reading of `upstream`, a single leaf, in the plan of `frame`.

    A self-join reads it twice, under other ids. Also whether another leaf was computed from its rows.
    """
    mine = _leaves(upstream)[0]
    ids: set[int] = set()
    computed = False
    for leaf in _leaves(frame):
        if _is_rows(leaf) and _is_rows(mine) and leaf.rdd().id() == mine.rdd().id():
            output = leaf.output()
            ids |= {int(output.apply(n).exprId().id()) for n in range(output.size())}
        elif _is_rows(leaf):
            rdd = leaf.rdd()
            computed = computed or bool(rdd.isCheckpointed()) or _comes_from(rdd, int(mine.rdd().id()))
    return frozenset(ids), computed


def columns_used(frame: DataFrame) -> frozenset[str] | None:
    """Return the names of the columns that `frame` needs of the empty DataFrame it was made from.

    A bare count of rows needs none. A column without nulls is always needed: the optimizer counts its values without
    reading them, and they must not become null. None where that cannot be told: on Spark Connect, which shows no plan,
    and where the optimizer has seen that what is read is empty.
    """
    if not hasattr(frame, "_jdf"):
        return None
    plan = frame._jdf.queryExecution().optimizedPlan()  # noqa: SLF001 - no public way shows the plan
    result = plan.output()
    used = {int(result.apply(n).exprId().id()) for n in range(result.size())}
    nodes = list(tree(json.loads(plan.toJSON())))
    for node in nodes:
        if node.children:
            used |= {int(fields["exprId"]["id"]) for _, fields in node.mentioned() if "exprId" in fields}
    leaves = [node for node in nodes if not node.children]
    if any(leaf.kind != "LogicalRDD" for leaf in leaves):
        return None
    read = [column for leaf in leaves for column in leaf.expressions("output")]
    needed = [column for column in read if column.id in used or not column.fields["nullable"]]
    return frozenset(str(column.fields["name"]) for column in needed)


def _add_what_is_left_out(plan: Any, number: int, node: dict[str, Any]) -> None:
    """Add to the text of an operator's expressions what Spark leaves out of it.

    `argument_type`: of what is summed. `is_session`: a session window looks like a column of its row, but for metadata.
    """
    for field in ("projectList", "aggregateExpressions", "windowExpressions"):
        for place, expressions in enumerate(node.get(field) or ()):
            for inner, one in enumerate(expressions):
                if _kind(one) in ("Sum", "Average"):
                    found = getattr(plan.apply(number), field)().apply(place).apply(inner).children().apply(0)
                    one["argument_type"] = found.dataType().simpleString()
            if any(_kind(one) == "PreciseTimestampConversion" for one in expressions):
                column = getattr(plan.apply(number), field)().apply(place)
                expressions[0]["is_session"] = bool(column.metadata().contains("spark.sessionWindow"))


def _leaves(frame: DataFrame) -> list[Any]:
    leaves = plan_in_spark(frame).collectLeaves()
    return [leaves.apply(n) for n in range(leaves.size())]


def _is_rows(leaf: Any) -> bool:
    return str(leaf.getClass().getSimpleName()) == "LogicalRDD"


def _comes_from(rdd: Any, ancestor: int) -> bool:
    if int(rdd.id()) == ancestor:
        return True
    above = rdd.dependencies()
    return any(_comes_from(above.apply(n).rdd(), ancestor) for n in range(above.size()))


def _next(nodes: Iterator[dict[str, Any]]) -> Node:
    node = next(nodes)
    children = tuple(_next(nodes) for _ in range(node["num-children"]))
    return Node(_kind(node), {name: value for name, value in node.items() if name not in _NOISE}, children)


def _kind(node: Mapping[str, Any]) -> str:
    return str(node["class"]).rpartition(".")[2]


def _trees(values: Iterable[Any]) -> Iterator[Node]:
    for value in values:
        if isinstance(value, list) and value and isinstance(value[0], dict) and "class" in value[0]:
            yield tree(value)
        elif isinstance(value, list):
            yield from _trees(value)


def _mentioned(values: Iterable[Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for value in values:
        if isinstance(value, dict):
            if "class" in value:
                yield _kind(value), value
            yield from _mentioned(value.values())
        elif isinstance(value, list):
            yield from _mentioned(value)
