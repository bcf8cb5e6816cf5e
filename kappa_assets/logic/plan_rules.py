"""Rules on the analysed plan that several kinds of table share."""

from __future__ import annotations

import re
from typing import NoReturn

from pyspark.errors import PySparkException

from kappa_assets.declare.tables import Derived
from kappa_assets.errors import LogicError
from kappa_assets.logic.analysed import Node

_ROW_BY_ROW = {"Project", "Filter", "Generate", "Expand", "SubqueryAlias", "View", "ResolvedHint"}
_ACROSS_ROWS = "A batch is only a part of the rows: {} in a Gold."
REFUSED = {
    "Aggregate": ("groups rows", _ACROSS_ROWS.format("aggregate")),
    "Window": ("uses a window function", _ACROSS_ROWS.format("use it")),
    "Join": ("joins", _ACROSS_ROWS.format("join")),
    "Distinct": ("removes duplicates", _ACROSS_ROWS.format("count distinct values")),
    "Deduplicate": ("removes duplicates", _ACROSS_ROWS.format("count distinct values")),
    "Sort": ("orders rows", "Rows of a table have no order: order them where they are read."),
    "GlobalLimit": ("limits the number of rows", _ACROSS_ROWS.format("limit")),
    "Offset": ("skips rows", _ACROSS_ROWS.format("limit")),
    "Tail": ("limits the number of rows", _ACROSS_ROWS.format("limit")),
    "Sample": ("samples rows", "A replay would draw other rows: filter by a column."),
    "Union": ("unites DataFrames", "To make several rows of one, explode an array."),
}
_REPARTITIONS = {"Repartition", "RepartitionByExpression", "RebalancePartitions"}
SUBQUERIES = {"ScalarSubquery", "Exists", "ListQuery", "LateralSubquery", "FunctionTableSubqueryArgumentExpression"}
_NAMED_TABLES = {"LogicalRelation", "HiveTableRelation", "DataSourceV2Relation", "StreamingRelation"}
_CLOCK = {
    "CurrentTimestamp": "current_timestamp()",
    "CurrentBatchTimestamp": "current_timestamp()",
    "Now": "now()",
    "CurrentDate": "current_date()",
    "CurrentTime": "current_time()",
    "LocalTimestamp": "localtimestamp()",
}
_MOMENTS = {"date", "timestamp", "timestamp_ntz"}
_OF_TODAY = re.compile(r"[\x00-\x20\x7f]*(now|today|tomorrow|yesterday)(\s|$)", re.IGNORECASE)
_TIME_ALONE = re.compile(r"T\d|[\x00-\x20\x7f]*\d{1,2}:")
_DICE = {
    "Rand": "rand()",
    "Randn": "randn()",
    "RandStr": "randstr()",
    "Uniform": "uniform()",
    "Uuid": "uuid()",
    "Shuffle": "shuffle()",
    "MonotonicallyIncreasingID": "monotonically_increasing_id()",
    "SparkPartitionID": "spark_partition_id()",
    "InputFileName": "input_file_name()",
    "InputFileBlockStart": "input_file_block_start()",
    "InputFileBlockLength": "input_file_block_length()",
    "CurrentUser": "current_user()",
}


def check_same_answer(table: Derived, plan: Node) -> None:
    """Refuse the clock and dice: a replay would give another answer."""
    _check_no_text_of_today(table, plan)
    if any(node.kind == "Sample" for node in plan):
        refuse(table, *REFUSED["Sample"])
    for kind, fields in (one for node in plan for one in node.mentioned()):
        if kind in _CLOCK:
            hint = "A replay would give another answer: take the time from the row, such as _arrived_at."
            refuse(table, f"uses {_CLOCK[kind]}", hint)
        if kind in _DICE:
            refuse(table, f"uses {_DICE[kind]}", "A replay would give another answer: derive it from the row.")
        if fields.get("udfDeterministic") is False:
            hint = "A replay would give another answer: make it depend on the row alone."
            refuse(table, f"uses the non-deterministic function {fields.get('name')!r}", hint)


def _check_no_text_of_today(table: Derived, plan: Node) -> None:
    """Refuse a constant text that Spark reads as a moment of today: `now`, or a time without a date."""
    for one in (inner for node in plan for operand in node.operands() for inner in operand):
        child = one.children[0] if one.kind == "Cast" and one.children else None
        if child is None or child.kind != "Literal" or child.fields.get("dataType") != "string":
            continue
        kind, text = str(one.fields.get("dataType")), str(child.fields.get("value"))
        if (kind in _MOMENTS and _OF_TODAY.match(text)) or (kind == "timestamp" and _TIME_ALONE.match(text)):
            hint = "A replay would give another answer: take the time, or the date, from the row, such as _arrived_at."
            refuse(table, f"casts {text!r} to {kind}, which is one of the day on which it is computed", hint)


def check_rows(table: Derived, plan: Node, mine: dict[int | None, str]) -> None:
    """Refuse what does not work row by row on the upstream alone."""
    for node in plan:
        if any(kind in SUBQUERIES for kind, _ in node.mentioned()):
            refuse(table, "reads rows in a subquery", _ACROSS_ROWS.format("do it"))
        if node.kind in REFUSED:
            refuse(table, *REFUSED[node.kind])
        if node.kind in _REPARTITIONS:
            refuse(table, "repartitions", "Leave it out: how files are written is not the logic's business.")
        columns = {column.id for column in node.expressions("output")}
        if not node.children and not (columns and columns <= set(mine)):
            hint = "Read the parameter alone; put small lookups into the code as constants."
            refuse(table, f"reads something beside its upstream ({node.kind})", hint)
        if node.children and node.kind not in _ROW_BY_ROW:
            refuse(table, f"is not row by row: its plan has {node.kind}", "Use select, filter and explode.")


def check_reads_no_table(table: Derived, plan: Node) -> None:
    """Refuse tables and files that the function opens by itself."""
    for node in plan:
        if node.kind in _NAMED_TABLES:
            hint = "Only the upstream's changes reach it: read the parameter alone."
            refuse(table, "reads a table or file beside its upstream", hint)


def renamed(plan: Node, until: Node | None = None) -> dict[int | None, int | None]:
    """Return, for every column that is another one renamed, which that is; only above `until`."""
    found: dict[int | None, int | None] = {}
    for node in plan:
        if node is until:
            break
        for one in node.expressions("projectList"):
            if one.kind == "Alias" and one.children[0].kind == "AttributeReference":
                found[one.id] = one.children[0].id
    return found


def origin_of(column: int | None, before: dict[int | None, int | None]) -> int | None:
    """Return the column that `column` was before it was renamed."""
    while column in before:
        column = before[column]
    return column


_WIDTH = 300  # characters of Spark's own message worth repeating


def refuse(table: Derived, what: str, hint: str, cause: Exception | None = None) -> NoReturn:
    """Raise LogicError with the place of the declaration."""
    raise LogicError(f"{table.origin}: {table.name} {what}", hint=hint) from cause


def short(error: PySparkException) -> str:
    """Return Spark's message without plan, query text and state code."""
    text = str(error).partition(" SQLSTATE")[0].partition("\n")[0].strip()
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}..."
