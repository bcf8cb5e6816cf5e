"""What an expression is of one row of the upstream, in a form in which equal ones mean the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kappa_assets.columns import BATCH_ID, ROW
from kappa_assets.logic.analysed import Node

Id = int | None
Says = Mapping[Id, Node]
Pairs = Mapping[frozenset[Id], Node]
_OF_SEVERAL_ROWS = {
    "AggregateExpression",
    "WindowExpression",
    "ScalarSubquery",
    "Exists",
    "ListQuery",
    "OuterReference",
}
_NO_PLAN = ("UDF", "Collate", "Invoke")
"""Functions that look alike though they are not, and texts that are equal though they are not the same."""
ADDRESS = (BATCH_ID, ROW)
"""What tells rows of a tape apart, and of what is made of it row by row."""
_NOT_TO_BE_SEEN = {"exprId", "evalContext"}


@dataclass(frozen=True)
class Reading:
    """How one upstream is read in a plan, and which of its columns mean the same in every upstream."""

    ids: frozenset[int]
    """Of the columns of all readings of it."""
    parameter: str | None = None
    """What reads it, of several upstreams: a column of one is none of another, whatever they are called."""
    groups: Mapping[str, Node] = field(default_factory=dict)
    """By name, those of its columns that name groups, each as what it is of every upstream: a `Group`."""
    unique: tuple[str, ...] = ADDRESS
    """Columns of which no two of its rows have the same; none: no such columns are known."""

    def of_row(self, column: Node) -> Node:
        """Return what a column that is read is of a row."""
        name = str(column.fields["name"])
        of = {} if self.parameter is None else {"of": self.parameter}
        return self.groups.get(name) or Node(
            "Upstream", {**of, "name": name, "dataType": column.fields["dataType"]}, ()
        )


def of_row(expression: Node, says: Says, pairs: Pairs) -> Node | None:
    """Return what an expression is of one row of the upstream, made of `Upstream` columns; None where it is none."""
    if expression.kind == "AttributeReference":
        return says.get(expression.id)
    if expression.kind == "Alias":
        return of_row(expression.children[0], says, pairs)
    if expression.kind == "Coalesce":
        both = frozenset(child.id for child in expression.children)
        if len(expression.children) == len(both) and None not in both and both in pairs:
            return pairs[both]
    if expression.kind in _OF_SEVERAL_ROWS or any(part in expression.kind for part in _NO_PLAN):
        return None
    children = [of_row(child, says, pairs) for child in expression.children]
    whole = tuple(child for child in children if child is not None)
    if len(whole) < len(children) or (not children and expression.kind != "Literal"):
        return None
    fields = {name: value for name, value in expression.fields.items() if name not in _NOT_TO_BE_SEEN}
    return Node(expression.kind, fields, whole)


def depends_on_the_row_alone(expression: Node, says: Says) -> bool:
    """Return whether an expression, functions in Python and all, is computed from one row of the upstream."""
    columns = [inner for inner in expression if inner.kind == "AttributeReference"]
    return (
        bool(columns) and all(c.id in says for c in columns) and not any(e.kind in _OF_SEVERAL_ROWS for e in expression)
    )


def follows_from(of: Node, held: Iterable[Node]) -> bool:
    """Return whether rows that agree in all that is `held` agree in this too: it is one of them, or made of them."""
    known = list(held)
    if of in known or of.kind == "Literal":
        return True
    if any(inner.fields.get("dataType") in ("float", "double") for inner in of):
        return False  # 0.0 and -0.0 are one group, and what is computed of them may differ
    return bool(of.children) and all(follows_from(child, known) for child in of.children)


def upstream_columns(of: Node) -> set[str]:
    """Return the names of the one upstream's columns that it is made of; of what has no plan, none."""
    return {str(one.fields["name"]) for one in of if one.kind == "Upstream"}


def text_of(of: Node) -> str:
    """Return it as people read it."""
    match of.kind:
        case "Upstream" | "Computed" | "Group":
            return ".".join(str(of.fields[part]) for part in ("of", "name") if part in of.fields)
        case "Literal":
            return repr(of.fields.get("value"))
        case "Exploded":
            return "a value of several of one row"
    return f"{of.kind.lower()}({', '.join(map(text_of, of.children))})"
