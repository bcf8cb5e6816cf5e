"""Whether a table's function keeps the rules of its layer, judged on Spark's analysed plan before any data flows.

A Silver is row by row: Project, Filter and Generate on its upstream alone, with LINEAGE passed on, so that any part
of the tape can be redone by itself. A Gold with `combine` is one Aggregate by exactly its keys, whose columns are
sums, counts, minima and maxima, so that aggregates of two batches merge into the aggregate of both; counts merge by
adding. Sums of float or double are refused, for the order of adding would show. The function gives a sum of
decimal(p, s) as decimal(p + 10, s), of at most 38 digits; the table keeps it as decimal(38, s), so that merging does
not overflow what the function allows. Sums of integers are bigint. Every table must give the same answer whenever it
is computed: no clock, no dice.
"""

from __future__ import annotations

from typing import NoReturn

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql.types import DoubleType, FloatType

from kappa_assets.declare.tables import LINEAGE, Gold, Silver
from kappa_assets.errors import LogicError
from kappa_assets.streams.analysed import Node, analysed

_ROW_BY_ROW = {"Project", "Filter", "Generate", "Expand", "SubqueryAlias", "View", "ResolvedHint"}
_RENAMES = {"Project", "SubqueryAlias", "View"}
_AGGREGATES = {"Sum": "sum", "Count": "count", "Min": "min", "Max": "max"}
_WIDTH = 300  # characters of Spark's own message worth repeating

_ACROSS_ROWS = "A batch is only a part of the rows: {} in a Gold."
_REFUSED = {
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
    "EventTimeWatermark": ("sets a watermark", "Lateness is a property of each row here: leave it out."),
}
_REPARTITIONS = {"Repartition", "RepartitionByExpression", "RebalancePartitions"}
_SUBQUERIES = {"ScalarSubquery", "Exists", "ListQuery", "LateralSubquery"}
_NAMED_TABLES = {"LogicalRelation", "HiveTableRelation", "DataSourceV2Relation", "StreamingRelation"}
_CLOCK = {
    "CurrentTimestamp": "current_timestamp()",
    "CurrentBatchTimestamp": "current_timestamp()",
    "Now": "now()",
    "CurrentDate": "current_date()",
    "CurrentTime": "current_time()",
    "LocalTimestamp": "localtimestamp()",
}
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


def check_logic(table: Silver | Gold, upstream: DataFrame) -> DataFrame:
    """Return the output of the table's function on `upstream`, which may be empty: its schema is the table's.

    On Spark Connect, which shows no plan, only the columns are checked.

    Raises LogicError, with the file and line of the declaration, for what breaks a rule of the layer.
    """
    frame = _leaf(upstream)
    output = _call(table, frame)
    _check_names(table, output)
    filtered = _with_expectations(table, output)
    missing = [column for column in _required(table) if column not in output.columns]
    if missing:
        hint = "Add *LINEAGE to its select." if isinstance(table, Silver) else f"It has {output.columns}."
        _refuse(table, f"leaves out the column{'s'[: len(missing) - 1]} {', '.join(missing)}", hint)
    plan, source = analysed(filtered), analysed(frame)
    if plan is None or source is None:
        return output
    _check_same_answer(table, plan[0])
    mine = {column.id: str(column.fields["name"]) for column in source[0].expressions("projectList")}
    match table:
        case Silver():
            _check_rows(table, plan[0], mine)
            _check_lineage(table, plan[0], mine)
            _check_deterministic(table, deterministic=plan[1])
        case Gold(combine=combine) if combine:
            _check_combine(table, plan[0], output, mine)
            _check_deterministic(table, deterministic=plan[1])
        case Gold():
            _check_reads_no_table(table, plan[0])
    return output


def _leaf(upstream: DataFrame) -> DataFrame:
    """Return a DataFrame of the same columns whose plan is a single leaf, so that it is known again in a plan."""
    plan = analysed(upstream)
    if plan is None or not plan[0].children[0].children:
        return upstream
    return upstream.sparkSession.createDataFrame([], upstream.schema)


def _call(table: Silver | Gold, upstream: DataFrame) -> DataFrame:
    try:
        output = table(upstream)
    except PySparkException as error:
        _refuse(
            table,
            f"does not fit its upstream: {_short(error)}",
            f"The upstream has {upstream.columns}.",
            error,
        )
    if not isinstance(output, DataFrame):
        _refuse(table, f"returns no DataFrame; got {type(output).__name__}", "Does it lack its return?")
    return output


def _required(table: Silver | Gold) -> tuple[str, ...]:
    return LINEAGE if isinstance(table, Silver) else (*table.keys, *table.combine)


def _check_names(table: Silver | Gold, output: DataFrame) -> None:
    lower = [column.lower() for column in output.columns]
    for column in output.columns:
        if lower.count(column.lower()) > 1:
            _refuse(table, f"has two columns named {column!r}", "Rename one, or select the columns by name.")
        if set(column) & set(" ,;{}()\n\t="):
            _refuse(
                table, f"has a column named {column!r}, which Delta does not take", "Name it with alias()."
            )


def _with_expectations(table: Silver | Gold, output: DataFrame) -> DataFrame:
    """Return `output` filtered by every expectation, so that their columns are resolved and their plan checked."""
    if isinstance(table, Silver):
        for expectation in table.expectations:
            try:
                output = output.filter(expectation.condition)
            except PySparkException as error:
                what = f"cannot meet its expectation {expectation.name!r}: {_short(error)}"
                _refuse(table, what, f"A condition is SQL on the output: {output.columns}.", error)
    return output


def _check_same_answer(table: Silver | Gold, plan: Node) -> None:
    for kind, fields in (one for node in plan for one in node.mentioned()):
        if kind in _CLOCK:
            hint = "A replay would give another answer: take the time from the row, such as _arrived_at."
            _refuse(table, f"uses {_CLOCK[kind]}", hint)
        if kind in _DICE:
            _refuse(
                table, f"uses {_DICE[kind]}", "A replay would give another answer: derive it from the row."
            )
        if fields.get("udfDeterministic") is False:
            hint = "A replay would give another answer: make it depend on the row alone."
            _refuse(table, f"uses the non-deterministic function {fields.get('name')!r}", hint)


def _check_deterministic(table: Silver | Gold, *, deterministic: bool) -> None:
    if not deterministic:
        hint = "A replay would give another answer: derive every column from the row alone."
        _refuse(table, "uses an expression that Spark calls non-deterministic", hint)


def _check_rows(table: Silver | Gold, plan: Node, mine: dict[int | None, str]) -> None:
    """Refuse what does not work row by row on the upstream alone."""
    for node in plan:
        for kind, _ in node.mentioned():
            if kind in _SUBQUERIES:
                _refuse(table, "reads rows in a subquery", _ACROSS_ROWS.format("do it"))
        if node.kind in _REFUSED:
            what, hint = _REFUSED[node.kind]
            _refuse(table, what, hint)
        if node.kind in _REPARTITIONS:
            _refuse(table, "repartitions", "Leave it out: how files are written is not the logic's business.")
        if not node.children and not {column.id for column in node.expressions("output")} <= set(mine):
            hint = "Read the parameter alone; put small lookups into the code as constants."
            _refuse(table, f"reads something beside its upstream ({node.kind})", hint)
        if node.children and node.kind not in _ROW_BY_ROW:
            _refuse(table, f"is not row by row: its plan has {node.kind}", "Use select, filter and explode.")


def _check_lineage(table: Silver, plan: Node, mine: dict[int | None, str]) -> None:
    before = _renamed(plan)
    for column in plan.expressions("projectList"):
        name = str(column.fields["name"])
        if name in LINEAGE and mine.get(_origin(column.id, before)) != name:
            _refuse(table, f"changes {name}, which is the row's address on the tape", "Pass it on: *LINEAGE.")


def _check_combine(table: Gold, plan: Node, output: DataFrame, mine: dict[int | None, str]) -> None:
    aggregate = _aggregate(table, plan)
    for below in aggregate.children:
        _check_rows(table, below, mine)
    before = _renamed(plan, until=aggregate)
    made = {one.id: one for one in aggregate.expressions("aggregateExpressions")}
    groups = aggregate.expressions("groupingExpressions")
    keys: list[Node] = []
    for column in plan.expressions("projectList"):
        name, made_by = str(column.fields["name"]), made.get(_origin(column.id, before))
        if made_by is None:
            _refuse(
                table, f"computes {name!r} from aggregates", "Combine its parts; divide where they are read."
            )
        plain = made_by.children[0] if made_by.kind == "Alias" else made_by
        if name in table.keys and plain in groups:
            keys.append(plain)
        elif name in table.keys:
            _refuse(table, f"does not group by its key {name!r}", "Keys are the columns of groupBy, by name.")
        elif name in table.combine:
            _check_aggregate(table, name, plain)
        else:
            _refuse(table, f"has a column {name!r} that is neither in keys nor in combine", "Add it to one.")
    if len(groups) != len(table.keys) or any(group not in keys for group in groups):
        _refuse(
            table, f"groups by {len(groups)} columns; its keys are {list(table.keys)}", "Make them the same."
        )
    for entry in output.schema:
        if table.combine.get(entry.name) == "sum" and isinstance(entry.dataType, FloatType | DoubleType):
            hint = (
                "Its last digits would depend on the order of adding: cast to a decimal or an integer first."
            )
            _refuse(table, f"sums {entry.name!r} as {entry.dataType.simpleString()}", hint)


def _aggregate(table: Gold, plan: Node) -> Node:
    """Return the one Aggregate of a plan that has only renamings above it."""
    found = [node for node in plan if node.kind == "Aggregate"]
    if len(found) != 1:
        _refuse(
            table, f"has {len(found) or 'no'} aggregations; combine needs one", "Use one groupBy and agg."
        )
    top = plan
    while top.kind in _RENAMES:
        top = top.children[0]
    if top.kind == "Filter":
        hint = "A group that fails now may pass with the next batch: filter before groupBy, or when reading."
        _refuse(table, "filters its groups", hint)
    if top is not found[0]:
        what = _REFUSED.get(top.kind, (f"has {top.kind} after its aggregation", ""))[0]
        _refuse(table, f"{what} after aggregating", "Leave it out: batches are merged, and would undo it.")
    return top


def _check_aggregate(table: Gold, name: str, made_by: Node) -> None:
    how = table.combine[name]
    if made_by.kind != "AggregateExpression":
        hint = "Cast or compute inside it, or where the table is read."
        _refuse(table, f"makes {name!r} by more than a plain {how}", hint)
    function = made_by.children[0].kind
    if made_by.fields.get("isDistinct"):
        hint = "Distinct values of two batches cannot be added: leave combine out, and keys are recomputed."
        _refuse(table, f"makes {name!r} from distinct values", hint)
    if _AGGREGATES.get(function) != how:
        found = _AGGREGATES.get(function, function)
        hint = (
            "Say so in combine." if function in _AGGREGATES else "Leave combine out, and keys are recomputed."
        )
        _refuse(table, f"makes {name!r} with {found}, and combines it as {how!r}", hint)


def _check_reads_no_table(table: Gold, plan: Node) -> None:
    for node in plan:
        if node.kind in _NAMED_TABLES:
            hint = "Only the upstream's changes reach it: read the parameter alone."
            _refuse(table, "reads a table or file beside its upstream", hint)


def _renamed(plan: Node, until: Node | None = None) -> dict[int | None, int | None]:
    """Return, for every column that is another one renamed, which that is; only above `until`."""
    found: dict[int | None, int | None] = {}
    for node in plan:
        if node is until:
            break
        for one in node.expressions("projectList"):
            if one.kind == "Alias" and one.children[0].kind == "AttributeReference":
                found[one.id] = one.children[0].id
    return found


def _origin(column: int | None, before: dict[int | None, int | None]) -> int | None:
    while column in before:
        column = before[column]
    return column


def _short(error: PySparkException) -> str:
    """Return Spark's message without plan, query text and state code."""
    text = str(error).partition(" SQLSTATE")[0].partition("\n")[0].strip()
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}..."


def _refuse(table: Silver | Gold, what: str, hint: str, cause: Exception | None = None) -> NoReturn:
    raise LogicError(f"{table.origin}: {table.name} {what}", hint=hint) from cause
