"""Whether the aggregates of two batches can be merged into the aggregate of both.

A Gold with `combine` is one Aggregate by exactly its keys, whose other columns are sums, counts, minima and
maxima; counts merge by adding. Sums of float or double are refused, for the order of adding would show.

The function gives the sum of a decimal(p, s) as decimal(p + 10, s), of at most 38 digits; the table keeps it
as decimal(38, s), so that a long life does not overflow. Sums of integers are bigint, and so are counts.
"""

from __future__ import annotations

from pyspark.sql.types import DoubleType, FloatType, StructType

from kappa_assets.declare.tables import Gold
from kappa_assets.logic.analysed import Node
from kappa_assets.logic.plan_rules import REFUSED, check_rows, origin_of, refuse, renamed

_RENAMES = {"Project", "SubqueryAlias", "View"}
_AGGREGATES = {"Sum": "sum", "Count": "count", "Min": "min", "Max": "max"}


def check_combine(table: Gold, plan: Node, schema: StructType, mine: dict[int | None, str]) -> None:
    """Refuse what is not one Aggregate by exactly `keys`, of what `combine` says, over upstream rows."""
    aggregate = _aggregate(table, plan)
    for below in aggregate.children:
        check_rows(table, below, mine)
    before = renamed(plan, until=aggregate)
    made = {one.id: one for one in aggregate.expressions("aggregateExpressions")}
    groups = aggregate.expressions("groupingExpressions")
    keys: list[Node] = []
    for column in plan.expressions("projectList"):
        name, made_by = str(column.fields["name"]), made.get(origin_of(column.id, before))
        if made_by is None:
            refuse(table, f"computes {name!r} from aggregates", "Combine its parts; divide where they are read.")
        plain = made_by.children[0] if made_by.kind == "Alias" else made_by
        if name in table.keys and plain in groups:
            keys.append(plain)
        elif name in table.keys:
            refuse(table, f"does not group by its key {name!r}", "Keys are the columns of groupBy, by name.")
        elif name in table.combine:
            _check_aggregate(table, name, plain)
        else:
            refuse(table, f"has a column {name!r} that is neither in keys nor in combine", "Add it to one.")
    if len(groups) != len(table.keys) or any(group not in keys for group in groups):
        refuse(table, f"groups by {len(groups)} columns; its keys are {list(table.keys)}", "Make them the same.")
    for entry in schema:
        if table.combine.get(entry.name) == "sum" and isinstance(entry.dataType, FloatType | DoubleType):
            hint = "Its last digits would depend on the order of adding: cast to a decimal or an integer first."
            refuse(table, f"sums {entry.name!r} as {entry.dataType.simpleString()}", hint)


def _aggregate(table: Gold, plan: Node) -> Node:
    """Return the one Aggregate of a plan that has only renamings above it."""
    found = [node for node in plan if node.kind == "Aggregate"]
    if len(found) != 1:
        refuse(table, f"has {len(found) or 'no'} aggregations; combine needs one", "Use one groupBy and agg.")
    top = plan
    while top.kind in _RENAMES:
        top = top.children[0]
    if top.kind == "Filter":
        hint = "A group that fails now may pass with the next batch: filter before groupBy, or when reading."
        refuse(table, "filters its groups", hint)
    if top is not found[0]:
        what = REFUSED.get(top.kind, (f"has {top.kind} after its aggregation", ""))[0]
        refuse(table, f"{what} after aggregating", "Leave it out: batches are merged, and would undo it.")
    return top


def _check_aggregate(table: Gold, name: str, made_by: Node) -> None:
    how = table.combine[name]
    if made_by.kind != "AggregateExpression":
        hint = "Cast or compute inside it, or where the table is read."
        refuse(table, f"makes {name!r} by more than a plain {how}", hint)
    function = made_by.children[0].kind
    if made_by.fields.get("isDistinct"):
        hint = "Distinct values of two batches cannot be added: leave combine out, and keys are recomputed."
        refuse(table, f"makes {name!r} from distinct values", hint)
    if _AGGREGATES.get(function) != how:
        found = _AGGREGATES.get(function, function)
        hint = "Say so in combine." if function in _AGGREGATES else "Leave combine out, and keys are recomputed."
        refuse(table, f"makes {name!r} with {found}, and combines it as {how!r}", hint)
