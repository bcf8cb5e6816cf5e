"""Whether a table's function keeps the rules of its kind, judged on Spark's plan before any data flows.

A row-by-row table is Project, Filter and Generate on its upstream alone, with LINEAGE passed on, so that any part of
the tape can be redone by itself. For a table with `combine`, see `combine_check`; for groups, `groups`. Every table
gives the same answer whenever it is computed: no clock, no dice.

On Spark Connect, which shows no plan, only the columns are checked, and groups are refused.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.errors import PySparkException, QueryContextType
from pyspark.sql import DataFrame

from kappa_assets.columns import LINEAGE
from kappa_assets.declare.tables import Derived, Gold, Silver
from kappa_assets.logic.analysed import Node, SparkPlan, analysed, readings
from kappa_assets.logic.column_rules import (
    check_columns,
    check_event_time,
    check_expectations,
    check_free_names,
    check_judging_names,
    check_unique,
    with_expectations,
)
from kappa_assets.logic.combine_check import check_combine
from kappa_assets.logic.groups import judge, judge_joined
from kappa_assets.logic.plan_rules import (
    SUBQUERIES,
    check_reads_no_table,
    check_rows,
    check_same_answer,
    origin_of,
    refuse,
    renamed,
    short,
)
from kappa_assets.logic.row_expressions import ADDRESS, Reading
from kappa_assets.logic.time_of_day import columns_of_casts
from kappa_assets.logic.traced_plan import trace
from kappa_assets.logic.verdict import Verdict

_PYTHON_LINE = re.compile(r".+\.py:\d+")
_SPARKS_OWN = re.compile(r"/(pyspark|py4j)/")


@dataclass(frozen=True)
class Answer:
    """What a table's function makes of its upstream, whose rules it keeps."""

    rows: DataFrame
    groups: Verdict | None = None
    """Which groups may be recomputed alone, of a table that has some."""


def check_row_by_row(table: Silver, upstream: DataFrame, *, unique: Sequence[tuple[str, ...]] = ()) -> Answer:  # noqa: ARG001 -- it has no order
    """Return the function's answer to `upstream`, which may be empty; its schema is the table's.

    Raises LogicError, with the file and line of the declaration, for what is not row by row, for expectations that its
    columns cannot meet, and for what is late or unique by none of them.
    """
    frame, mine = _leaf(upstream)
    output = _call(table, frame)
    check_columns(table, output.schema, required=LINEAGE, hint="Add *LINEAGE to its select.")
    check_free_names(table, output.schema)
    check_judging_names(table, output.schema)
    check_event_time(table, output.schema)
    check_unique(table, output.schema)
    plan = analysed(with_expectations(table, output))
    if plan is not None:
        check_same_answer(table, plan.top)
        check_rows(table, plan.top, mine)
        _check_lineage(table, plan, mine)
        _check_deterministic(table, plan)
    return Answer(output)


def check_combined(table: Gold, upstream: DataFrame, *, unique: Sequence[tuple[str, ...]] = (ADDRESS,)) -> Answer:
    """Return what `check_groups` does, of a table whose batches are merged. Raises LogicError as it does."""
    return _grouped(table, upstream, (*table.keys, *table.combine), unique)


def check_groups(table: Gold, upstream: DataFrame, *, unique: Sequence[tuple[str, ...]] = (ADDRESS,)) -> Answer:
    """Return the function's answer to `upstream`, which may be empty, and which groups of it may be recomputed alone.

    `unique` says by which columns no two rows of the upstream are the same, if it is known; they end an order.
    Raises LogicError, with the file and line of the declaration, for what does not keep groups apart; and on Spark
    Connect, where no plan shows that it does.
    """
    return _grouped(table, upstream, table.keys, unique)


def check_joined(
    table: Silver | Gold, *upstreams: DataFrame, unique: Sequence[tuple[str, ...]] | None = None
) -> Answer:
    """Return what `check_groups` does, of a table whose declaration says what names its groups in each upstream.

    `upstreams`, and what is `unique` of each, come in the order of the function's parameters. Raises LogicError as
    `check_groups` does; and for a parameter that is not read, and columns that name groups and are not of one type.
    """
    frames, keys = _leaves(upstreams), [ADDRESS] * len(upstreams) if unique is None else unique
    groups = _groups_of_each(table, frames)
    output = _call(table, *frames)
    check_columns(table, output.schema, required=table.keys, hint=f"It has {output.columns}.")
    check_free_names(table, output.schema)
    check_expectations(table, output)
    plan = _plan(table, output)
    check_same_answer(table, plan.top)
    check_reads_no_table(table, plan.top)
    _check_all_are_read(table, plan, output, frames)
    read = tuple(
        Reading(_read(table, output, frame), parameter, dict(zip(columns, groups, strict=True)), key)
        for frame, (parameter, columns), key in zip(frames, table.groups_of.items(), keys, strict=True)
    )
    return Answer(output, _kept_apart(table, judge_joined(table, trace(plan.top, read), groups)))


def check_whole(table: Gold, *upstreams: DataFrame, unique: Sequence[tuple[str, ...]] = ()) -> Answer:  # noqa: ARG001 -- its order may show
    """Return the function's answer to `upstreams`, in the order of its parameters, which may be empty.

    Raises LogicError, with the file and line of the declaration, for what gives another answer another time, for
    tables that the function opens by itself, and for one of several parameters that it does not read.
    """
    frames = _leaves(upstreams)
    output = _call(table, *frames)
    check_columns(table, output.schema)
    check_expectations(table, output)
    plan = analysed(output)
    if plan is not None:
        check_same_answer(table, plan.top)
        check_reads_no_table(table, plan.top)
        _check_all_are_read(table, plan, output, frames)
    return Answer(output)


def _grouped(table: Gold, upstream: DataFrame, required: tuple[str, ...], unique: Sequence[tuple[str, ...]]) -> Answer:
    frame, mine = _leaf(upstream)
    output = _call(table, frame)
    check_columns(table, output.schema, required=required, hint=f"It has {output.columns}.")
    check_expectations(table, output)
    plan = _plan(table, output)
    check_same_answer(table, plan.top)
    if table.combine:
        check_combine(table, plan.top, output.schema, mine)
        _check_deterministic(table, plan)
    else:  # its aggregates may be what Spark calls non-deterministic: collect_set, first
        check_reads_no_table(table, plan.top)
    reading = Reading(_read(table, output, frame), unique=unique[0])
    return Answer(output, _kept_apart(table, judge(table, trace(plan.top, (reading,)))))


def _plan(table: Derived, output: DataFrame) -> SparkPlan:
    plan = analysed(output)
    if plan is None:
        hint = (
            "Its keys need a plan that says which rows belong together: leave them out, or use Spark without Connect."
        )
        refuse(table, "shows no plan", hint)
    return plan


def _read(table: Derived, output: DataFrame, upstream: DataFrame) -> frozenset[int]:
    """Return the ids of the columns of all readings of `upstream`."""
    read, computed = readings(output, upstream)
    if computed:
        hint = "Its plan is lost there: leave out checkpoint, localCheckpoint and rdd."
        refuse(table, "computes rows of its upstream outside of its plan", hint)
    return read


def _kept_apart(table: Derived, verdict: Verdict) -> Verdict:
    for one in verdict.refusals:
        refuse(table, f"{one.what} ({one.node} in its plan)", one.hint)
    return verdict


def _groups_of_each(table: Derived, upstreams: Sequence[DataFrame]) -> tuple[Node, ...]:
    """Return what names a group, as one for all upstreams. Raises LogicError where it is not of one type in all."""
    types: dict[str, list[str]] = {}
    for upstream, (parameter, columns) in zip(upstreams, table.groups_of.items(), strict=True):
        for column in columns:
            if column not in upstream.columns:
                what = f"names its groups by {column!r} of {parameter}, which has no such column"
                refuse(table, what, f"It has {upstream.columns}.")
        types[parameter] = [upstream.schema[column].dataType.simpleString() for column in columns]
    (first, names), *others = table.groups_of.items()
    for n, kind in enumerate(types[first]):
        if "map<" in kind or "variant" in kind:
            hint = "Rows cannot be grouped by it: name a column of a plain type."
            refuse(table, f"names its groups by {names[n]!r} of {first}, which is a {kind}", hint)
        for parameter, columns in others:
            if types[parameter][n] != kind:
                ours, theirs = f"{first}.{names[n]} is {kind}", f"{parameter}.{columns[n]} is {types[parameter][n]}"
                hint = "Cast one of them in the table that it is read from: equal values must be equal without a cast."
                refuse(table, f"names its groups by columns of two types: {ours}, {theirs}", hint)
    return tuple(
        Node("Group", {"number": n, "name": name, "dataType": kind}, ())
        for n, (name, kind) in enumerate(zip(names, types[first], strict=True))
    )


def _check_all_are_read(table: Derived, plan: SparkPlan, output: DataFrame, upstreams: Sequence[DataFrame]) -> None:
    if any(kind in SUBQUERIES for node in plan.top for kind, _ in node.mentioned()):
        return  # what a subquery reads is no leaf of the plan
    for parameter, upstream in zip(table.reads, upstreams, strict=True) if len(upstreams) > 1 else ():
        ids, computed = readings(output, upstream)
        if not ids and not computed:
            hint = "Leave the parameter out: each change of that table would be followed for nothing."
            refuse(table, f"does not read its upstream {parameter!r}", hint)


def text_casts(table: Silver, upstream: DataFrame) -> frozenset[str]:
    """Return the columns of `upstream` whose texts `with_days` may complete; none on Spark Connect."""
    frame, ids = _leaf(upstream)
    plan = analysed(table(frame))
    return frozenset() if plan is None else columns_of_casts(plan, frame, ids)


def _check_deterministic(table: Derived, plan: SparkPlan) -> None:
    if not plan.deterministic:
        hint = "A replay would give another answer: derive every column from the row alone."
        refuse(table, "uses an expression that Spark calls non-deterministic", hint)


def _leaf(upstream: DataFrame) -> tuple[DataFrame, dict[int | None, str]]:
    """Return `upstream` as a single leaf of a plan, and its columns by their ids, to know them again."""
    plan = analysed(upstream)
    if plan is None:
        return upstream, {}
    if plan.top.children[0].children:
        return _leaf(upstream.sparkSession.createDataFrame([], upstream.schema))
    return upstream, {column.id: str(column.fields["name"]) for column in plan.top.expressions("projectList")}


def _leaves(upstreams: Sequence[DataFrame]) -> tuple[DataFrame, ...]:
    """Return each upstream as a leaf of its own, also where two parameters are given one DataFrame."""
    frames: list[DataFrame] = []
    taken: set[int | None] = set()
    for upstream in upstreams:
        frame, columns = _leaf(upstream)
        if taken & columns.keys():
            frame, columns = _leaf(upstream.sparkSession.createDataFrame([], upstream.schema))
        frames.append(frame)
        taken |= columns.keys()
    return tuple(frames)


def _call(table: Derived, *upstreams: DataFrame) -> DataFrame:
    try:
        output = table(*upstreams)
    except PySparkException as error:
        what = "its upstream" if len(upstreams) == 1 else "its upstreams"
        has = [f"{parameter} has {one.columns}" for parameter, one in zip(table.reads, upstreams, strict=True)]
        hint = f"The upstream has {upstreams[0].columns}." if len(upstreams) == 1 else f"{'; '.join(has)}."
        refuse(table, f"does not fit {what}: {short(error)}{_line(error)}", hint, error)
    if not isinstance(output, DataFrame):
        refuse(table, f"returns no DataFrame; got {type(output).__name__}", "Does it lack its return?")
    return output


def _check_lineage(table: Silver, plan: SparkPlan, mine: dict[int | None, str]) -> None:
    before = renamed(plan.top)
    for column in plan.top.expressions("projectList"):
        name = str(column.fields["name"])
        if name in LINEAGE and mine.get(origin_of(column.id, before)) != name:
            refuse(table, f"changes {name}, which is the row's address on the tape", "Pass it on: *LINEAGE.")


def _line(error: PySparkException) -> str:
    """Return where in the function the error arose: the column's line, if Spark was told to note it, or the call's.

    `kappa check` tells it to. Even then it notes the lines of `F.col` and of what is done to a Column, no others.
    """
    contexts = error.getQueryContext() or ()
    sites = [c.callSite() for c in contexts if c.contextType() is QueryContextType.DataFrame]
    noted = next((site for site in sites if _PYTHON_LINE.fullmatch(site)), None)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _SPARKS_OWN.search(f.filename)]
    return f" (at {noted or f'{frames[-1].filename}:{frames[-1].lineno}'})"
