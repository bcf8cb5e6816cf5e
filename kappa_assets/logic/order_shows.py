"""Whether the order in which rows happen to lie, or are added up, shows in a Gold's answer.

A repair, a replay and a merge of files change that order, and the same rows must give the same answer. So what takes
one row of several needs an order that ends in unique columns; sums of floats depend on the order of adding.
"""

from __future__ import annotations

from collections.abc import Iterator

from kappa_assets.logic.analysed import Node
from kappa_assets.logic.row_expressions import ADDRESS, Id
from kappa_assets.logic.traced_plan import Traced
from kappa_assets.logic.verdict import Refusal

_TAKES_ONE = {
    "First": "first",
    "Last": "last",
    "AnyValue": "any_value",
    "CollectList": "collect_list",
    "ListAgg": "listagg",
    "HistogramNumeric": "histogram_numeric",
    "ApproximatePercentile": "approx_percentile",
    "Mode": "mode",
}
_BY_THE_GREATEST = {"MaxBy": "max_by", "MinBy": "min_by"}
_BY_PLACE = {
    "RowNumber": "row_number",
    "NTile": "ntile",
    "Lead": "lead",
    "Lag": "lag",
    "NthValue": "nth_value",
    **_TAKES_ONE,
}
_TIES_ARE_EQUAL = {"Rank", "DenseRank", "PercentRank", "CumeDist"}
_FLOATS = {"Sum": "sum", "Average": "avg"}
_ALWAYS_FLOATS = {
    "StddevSamp",
    "StddevPop",
    "VarianceSamp",
    "VariancePop",
    "Skewness",
    "Kurtosis",
    "CovPopulation",
    "CovSample",
    "Corr",
    "PearsonCorrelation",
    "RegrSlope",
    "RegrIntercept",
    "RegrR2",
    "RegrSXX",
    "RegrSXY",
    "RegrSYY",
}
_SORTED = {"SortArray", "ArraySort"}
_UNIQUE = "End the order in columns that no two rows share, such as {}"
_EXACT = "Its last digits depend on the order of adding: cast to a decimal or an integer first"


def check_order(top: Traced) -> list[Refusal]:
    """Return what in the plan depends on the order of rows."""
    found: list[Refusal] = []
    last = _known_to_be_unique(top) or ADDRESS
    for at in (one for one in top if one.reads and one.children):
        match at.node.kind:
            case "Aggregate":
                found += _aggregate(at, last)
            case "Window":
                found += _window(at, last)
            case "Deduplicate":
                found += _deduplicate(at, last)
    return found


def _known_to_be_unique(top: Traced) -> tuple[str, ...]:
    """Return the columns by which rows of what is read are known to be told apart, for a hint."""
    leaves = [at for at in top if at.reads and not at.children]
    keys = [(at.node.expressions("output"), key) for at in leaves for key in at.unique]
    return tuple(dict.fromkeys(str(one.fields["name"]) for output, key in keys for one in output if one.id in key))


def _aggregate(at: Traced, last: tuple[str, ...]) -> Iterator[Refusal]:
    groups = {group.id for group in at.node.expressions("groupingExpressions")}
    for column, above, one in _within(at.node.expressions("aggregateExpressions")):
        name = _TAKES_ONE.get(one.kind)
        if name is not None and not (one.kind == "CollectList" and above in _SORTED) and not _has_an_order(one):
            ends = f"{', '.join(last)}{_OR_SORT.get(name, '')}"
            hint = f"Take the row by row_number over a window whose order ends in {ends}."
            yield Refusal("Aggregate", column, f"makes {column!r} with {name}, which takes rows as they lie", hint)
        if one.kind in _BY_THE_GREATEST and not _is_unique(at.children[0], {c.id for c in one.children[1]} | groups):
            name = _BY_THE_GREATEST[one.kind]
            ends = f"{name}(value, struct(order, {', '.join(map(repr, last))}))"
            hint = f"{_UNIQUE.format(', '.join(last))}: {ends}."
            yield Refusal("Aggregate", column, f"makes {column!r} with {name}, where several rows may be first", hint)
        yield from _inexact(at, column, one)


_OR_SORT = {"collect_list": ", or sort it: sort_array(collect_list(...))"}


def _window(at: Traced, last: tuple[str, ...]) -> Iterator[Refusal]:
    order = [one.children[0].id for one in at.node.expressions("orderSpec")]
    fixed = {one.id for one in at.node.expressions("partitionSpec")}
    unique = bool(order) and _is_unique(at.children[0], {*order, *fixed})
    for column, above, one in _within(at.node.expressions("windowExpressions")):
        if above == "WindowExpression" and one.kind != "WindowSpecDefinition":
            function = one.children[0] if one.kind == "AggregateExpression" else one
            name = _BY_PLACE.get(function.kind)
            if not unique and (name is not None or _counts_rows(at, column, function)):
                what = f"makes {column!r} with {name or 'a frame of rows'}, and rows may share a place in its order"
                yield Refusal("Window", column, what, f"{_UNIQUE.format(', '.join(last))}.")
        yield from _inexact(at, column, one)


def _deduplicate(at: Traced, last: tuple[str, ...]) -> Iterator[Refusal]:
    keys = {one.id for one in at.node.expressions("keys")}
    if not set(at.columns) <= keys and not _is_unique(at.children[0], keys):
        ends = ", ".join(last)
        hint = f"Number the rows with row_number over a window whose order ends in {ends}, and keep the first."
        yield Refusal("Deduplicate", None, "removes duplicates, and keeps which it meets first", hint)


def _inexact(at: Traced, column: str, one: Node) -> Iterator[Refusal]:
    if one.kind in _ALWAYS_FLOATS or (one.kind in _FLOATS and one.fields.get("argument_type") in ("float", "double")):
        name = _FLOATS.get(one.kind, one.kind)
        yield Refusal(at.node.kind, column, f"makes {column!r} with {name} of floats", f"{_EXACT}.")


def _counts_rows(at: Traced, column: str, function: Node) -> bool:
    """Return whether a function takes rows by their number before and after, and not the whole of its partition."""
    if function.kind in _TIES_ARE_EQUAL:
        return False
    whole = next(one for one in at.node.expressions("windowExpressions") if one.fields["name"] == column)
    frame = next((one for one in whole if one.kind == "SpecifiedWindowFrame"), None)
    if frame is None or "RowFrame" not in str(frame.fields.get("frameType")):
        return False
    return [bound.kind for bound in frame.children] != ["UnboundedPreceding$", "UnboundedFollowing$"]


def _has_an_order(one: Node) -> bool:
    return one.kind in ("ListAgg", "Mode") and any(inner.kind == "SortOrder" for inner in one)


def _is_unique(at: Traced, columns: set[Id]) -> bool:
    return any(key <= columns for key in at.unique)


def _within(made: tuple[Node, ...]) -> Iterator[tuple[str, str, Node]]:
    """Yield each expression, after the column that it helps to make and the kind of what it is in."""
    for one in made:
        todo = [("", one)]
        while todo:
            above, inner = todo.pop()
            yield str(one.fields.get("name")), above, inner
            under = above if inner.kind == "AggregateExpression" and above in _SORTED else inner.kind
            todo += [(under, child) for child in inner.children]
