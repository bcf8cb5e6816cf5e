"""Spark's plan of a function with, for every column at every operator, what it is of a single row of the upstream.

Columns are followed by their ids from the upstream up, never by name: a column that is overwritten is another one. The
left and the right of a self-join are two readings of one upstream, so that a column of both says the same of a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from kappa_assets.logic.analysed import Node
from kappa_assets.logic.row_expressions import Id, Pairs, Reading, Says, depends_on_the_row_alone, of_row

PASSED_ON = {
    "Filter",
    "SubqueryAlias",
    "View",
    "ResolvedHint",
    "Sort",
    "Repartition",
    "RepartitionByExpression",
    "RebalancePartitions",
}
"""Operators that take each row by itself and give its columns as they are."""
_LIKE_THEIR_CHILD = PASSED_ON | {"Deduplicate", "Distinct", "GlobalLimit", "LocalLimit", "Offset", "Tail", "Sample"}
_SEMI = {"LeftSemi", "LeftAnti"}
_LEFT_STAYS = _SEMI | {"LeftOuter", "Inner", "Cross"}
_RIGHT_STAYS = {"RightOuter", "Inner", "Cross"}
Keys = frozenset[frozenset[Id]]


@dataclass(frozen=True)
class Traced:
    """An operator of the plan, with what its output's columns say of one row of the upstream."""

    node: Node
    path: tuple[int, ...]
    """Which child to take at each step from the top of the plan."""
    children: tuple[Traced, ...]
    reads: int
    """How many times the upstream is read below; 0 for what is a constant of the code."""
    believes: bool
    """Whether a Python function below gives columns named as those it was applied by: no plan shows that they are."""
    columns: tuple[Id, ...] = ()
    """The output, in order."""
    says: Says = field(default_factory=dict)
    """What a column is of a row of the upstream, where it is a function of one."""
    pairs: Pairs = field(default_factory=dict)
    """Columns that a full outer join holds to be equal: one is null, or both are the same."""
    unique: Keys = frozenset()
    """Sets of columns of which no two rows have the same."""

    def __iter__(self) -> Iterator[Traced]:
        """Yield the operator and all below it, in the order in which Spark numbers them."""
        yield self
        for child in self.children:
            yield from child

    def of_row(self, expression: Node) -> Node | None:
        """Return what an expression on the output is of one row of the upstream; None where it is none."""
        return of_row(expression, self.says, self.pairs)


def trace(node: Node, upstream: frozenset[int] | tuple[Reading, ...], path: tuple[int, ...] = ()) -> Traced:
    """Return the plan, traced. `upstream` are the ids of the columns of all readings of it; of several, each's."""
    children = tuple(trace(child, upstream, (*path, n)) for n, child in enumerate(node.children))
    reads, python = sum(child.reads for child in children), node.kind.startswith("FlatMap")
    at = Traced(node, path, children, reads, python or any(child.believes for child in children))
    if not children:
        return _leaf(at, upstream)
    if node.kind in _LIKE_THEIR_CHILD:
        return _passed_on(at)
    match node.kind:
        case "Project":
            return _project(at)
        case "Aggregate":
            return _aggregate(at)
        case "Window":
            return _window(at)
        case "Generate":
            return _generate(at)
        case "Expand":
            return _expand(at)
        case "Join":
            return _join(at)
        case "Union" | "Intersect" | "Except":
            return _by_position(at)
    return _python(at)


def equal_in(join: Traced) -> dict[frozenset[Id], Node]:
    """Return what a join holds to be equal, by `=` or `<=>` in an AND, and is the same of a row on both sides."""
    left, right = join.children
    found: dict[frozenset[Id], Node] = {}
    for one in _conjuncts(join.node.expression("condition")):
        if one.kind in ("EqualTo", "EqualNullSafe"):
            for a, b in (one.children, one.children[::-1]):
                of_left, of_right = left.of_row(a), right.of_row(b)
                if of_left is not None and of_left == of_right:
                    found[frozenset((a.id, b.id))] = of_left
    return found


def join_type(node: Node) -> str:
    """Return `Inner`, `LeftOuter` and so on."""
    found = node.fields["joinType"]
    return str(found.get("object") or found.get("product-class")).rpartition(".")[2].rstrip("$")


def applied_by(at: Traced) -> dict[str, Node | None]:
    """Return what a Python function is applied by, by name: of a cogroup, what both sides have in one position."""
    node = at.node
    if node.kind.startswith("FlatMapGroups"):
        groups = node.expressions("groupingAttributes")
        return {str(one.fields["name"]): at.children[0].of_row(one) for one in groups}
    if node.kind.startswith("FlatMapCoGroups"):
        left, right = at.children
        many = int(node.fields["leftGroupingLen"])
        named = [str(one.fields["name"]) for one in left.node.expressions("projectList")[:many]]
        both = zip(named, left.columns, right.columns, strict=False)  # groups come first, on both sides
        return {name: left.says.get(a) if left.says.get(a) == right.says.get(b) else None for name, a, b in both}
    return {}


def _leaf(at: Traced, upstream: frozenset[int] | tuple[Reading, ...]) -> Traced:
    output = at.node.expressions("output")
    columns = _ids(output)
    readings = upstream if isinstance(upstream, tuple) else (Reading(upstream),)
    reading = next((one for one in readings if columns and set(columns) <= one.ids), None)
    if reading is None:
        return replace(at, columns=columns)
    names = {str(one.fields["name"]): one.id for one in output}
    says = {one.id: reading.of_row(one) for one in output}
    key = frozenset(names.get(name) for name in reading.unique)
    unique: Keys = frozenset() if None in key or not key else frozenset({key})
    return replace(at, columns=columns, says=says, reads=1, unique=unique)


def _passed_on(at: Traced) -> Traced:
    child = at.children[0]
    return replace(at, columns=child.columns, says=child.says, pairs=child.pairs, unique=child.unique)


def _project(at: Traced) -> Traced:
    child, made = at.children[0], at.node.expressions("projectList")
    same = {one.id: one.id for one in made if one.kind == "AttributeReference"}
    renamed = {one.children[0].id: one.id for one in made if one.kind == "Alias"} | same
    unique = frozenset(frozenset(renamed[c] for c in key) for key in child.unique if key <= set(renamed))
    pairs = {pair: of for pair, of in child.pairs.items() if pair <= set(same)}
    return replace(at, columns=_ids(made), says=_named(made, child), pairs=pairs, unique=unique)


def _aggregate(at: Traced) -> Traced:
    """Take over what is made of the grouping expressions alone: Spark sees to it that all else is aggregated."""
    child, groups = at.children[0], at.node.expressions("groupingExpressions")
    made = at.node.expressions("aggregateExpressions")
    whole = [one for one in made if not any(inner.kind == "AggregateExpression" for inner in one)]
    plain = [one.children[0] if one.kind == "Alias" else one for one in whole]
    there = [whole[plain.index(group)].id for group in groups if group in plain]
    unique: Keys = frozenset({frozenset(there)}) if len(there) == len(groups) else frozenset()
    return replace(at, columns=_ids(made), says=_named(whole, child), unique=unique)


def _window(at: Traced) -> Traced:
    child, made = at.children[0], at.node.expressions("windowExpressions")
    parts = frozenset(one.id for one in at.node.expressions("partitionSpec"))
    numbered = {
        parts | {one.id} for one in made if any(inner.kind == "RowNumber" for inner in one.children[0].children)
    }
    passed = _passed_on(at)
    return replace(passed, columns=(*child.columns, *_ids(made)), unique=passed.unique | numbered)


def _generate(at: Traced) -> Traced:
    """Take what is exploded as a value of its own: a row of the upstream then belongs to several groups."""
    child, made = at.children[0], _ids(at.node.expressions("generatorOutput"))
    says = {**child.says, **{one: _exploded(one) for one in made}} if child.reads else {}
    return replace(at, columns=(*child.columns, *made), says=says)


def _expand(at: Traced) -> Traced:
    child, columns = at.children[0], _ids(at.node.expressions("output"))
    rows = at.node.fields["projections"]
    same = {c: n for n, c in enumerate(columns) if all((row[n][0].get("exprId") or {}).get("id") == c for row in rows)}
    says = {c: child.says[c] if c in same and c in child.says else _exploded(c) for c in columns}
    return replace(at, columns=columns, says=says if child.reads else {})


def _join(at: Traced) -> Traced:
    """Keep what the side says that the join does not fill up with nulls."""
    left, right = at.children
    how = join_type(at.node)
    columns = left.columns if how in _SEMI else (*left.columns, *right.columns)
    says = {**(left.says if how in _LEFT_STAYS else {}), **(right.says if how in _RIGHT_STAYS else {})}
    equal = equal_in(at) if left.reads and right.reads else {}
    unique = left.unique if how in _SEMI else frozenset(a | b for a in left.unique for b in right.unique)
    matched = frozenset(column for pair in equal for column in pair)
    if how in ("Inner", "LeftOuter") and any(key <= matched for key in right.unique):
        unique |= left.unique  # each of its rows meets one at most
    if how in ("Inner", "RightOuter") and any(key <= matched for key in left.unique):
        unique |= right.unique
    pairs = equal if how == "FullOuter" else {}
    return replace(at, columns=columns, says=says, pairs=pairs, unique=unique if how != "FullOuter" else frozenset())


def _by_position(at: Traced) -> Traced:
    """Keep what all sides say in one position."""
    first = at.children[0]
    says = {
        column: first.says[column]
        for n, column in enumerate(first.columns)
        if column in first.says and all(c.says.get(c.columns[n]) == first.says[column] for c in at.children)
    }
    return replace(at, columns=first.columns, says=says)


def _python(at: Traced) -> Traced:
    made, named = at.node.expressions("output"), applied_by(at)
    found = {one.id: named.get(str(one.fields["name"])) for one in made}
    return replace(at, columns=_ids(made), says={one: of for one, of in found.items() if of is not None})


def _named(made: tuple[Node, ...] | list[Node], child: Traced) -> Says:
    found: dict[Id, Node] = {}
    for one in made:
        if one.fields.get("is_session"):
            continue
        of = child.of_row(one)
        if of is not None:
            found[one.id] = of
        elif one.kind == "Alias" and depends_on_the_row_alone(one, child.says):
            found[one.id] = Node("Computed", {"id": one.id, "name": one.fields["name"]}, ())
    return found


def _exploded(column: Id) -> Node:
    return Node("Exploded", {"id": column}, ())


def _conjuncts(condition: Node | None) -> Iterator[Node]:
    if condition is not None and condition.kind == "And":
        for child in condition.children:
            yield from _conjuncts(child)
    elif condition is not None:
        yield condition


def _ids(columns: tuple[Node, ...]) -> tuple[Id, ...]:
    return tuple(one.id for one in columns)
