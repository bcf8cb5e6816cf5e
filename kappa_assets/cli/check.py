"""`kappa check` and `kappa explain`: the pipeline's code, and Spark's plans of tables whose upstream is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import click

from kappa_assets.cli.answer import Answer
from kappa_assets.cli.command import TableArgument, Where, command
from kappa_assets.errors import KappaError
from kappa_assets.names import Layer

if TYPE_CHECKING:
    from pyspark.sql.types import StructType

    from kappa_assets.declare.tables import Derived
    from kappa_assets.graph import Pipeline
    from kappa_assets.logic.logic_check import Answer as Checked
    from kappa_assets.names import TableName
    from kappa_assets.place.local.lake import Lake
    from kappa_assets.place.registry import State

Result = Literal["ok", "refused", "unchecked"]
_NAME_LINES = {
    "spark.sql.dataFrameQueryContext.enabled": "true",
    "spark.python.sql.dataFrameDebugging.enabled": "true",
}
"""Has Spark note the line of code of every column, so that an error names it. Off elsewhere: it makes batches slow."""


@command
def check(where: Where) -> Answer:
    """Check the pipeline's code and, on Spark's plans, its rules.

    A plan needs the columns of what a table reads: while nothing has landed, a table is `unchecked`. Nothing is
    changed. Ends with exit code 1 when a table is refused.
    """
    pipeline = where.pipeline()
    lake = where.lake() if where.lake_path is not None and where.lake_path.is_dir() else None
    rows = _check_tables(pipeline, lake)
    refused = [str(row["detail"]) for row in rows if row["result"] == "refused"]
    return Answer(
        rows,
        ("table", "code_version", "result", "detail"),
        title=f"Pipeline {pipeline.name}",
        failure="\n".join(refused) or None,
    )


@command
@click.argument("table", type=TableArgument(Layer.SILVER, Layer.GOLD))
def explain(where: Where, table: TableName) -> Answer:
    """Say how a batch of a table is applied, what it reads and writes, and what would make it cheaper.

    No data is read, and no host has to run. Of groups more is told once something has landed: Spark's plan needs the
    columns of what a table reads. Fails when the table is refused.
    """
    from kappa_assets.kinds.known_kinds import kind_of

    pipeline = where.pipeline()
    declared = pipeline.derived_table(table)
    lake = where.lake() if where.lake_path is not None and where.lake_path.is_dir() else None
    answer = _answer_of(pipeline, declared, {} if lake is None else _tapes_with_columns(pipeline, lake))
    upstream = " and ".join(map(str, pipeline.upstreams[table]))
    said = kind_of(declared).explain(declared, upstream, answer)
    rows = [
        {"about": "a batch", "what": said.batch},
        *([] if said.groups is None else [{"about": "its groups", "what": said.groups}]),
        {"about": f"read of {upstream}", "what": said.reads},
        {"about": f"of {table}", "what": said.writes},
        *({"about": "cheaper", "what": one} for one in said.cheaper),
    ]
    unknown = f"The columns of {upstream} are not known: nothing has landed, or no lake was named."
    title = f"{table} ({kind_of(declared).name}) reads {upstream}"
    return Answer(rows, ("about", "what"), title=title, remark=unknown if answer is None else None)


def _answer_of(pipeline: Pipeline, table: Derived, schemas: dict[TableName, StructType]) -> Checked | None:
    """Return what a table's function makes of its upstream; None where the columns of that are not known."""
    for above in pipeline.derived:
        if table.name in pipeline.downstream(above.name):
            _check_table(pipeline, above, schemas)
    reads = [schemas.get(upstream) for upstream in pipeline.upstreams[table.name]]
    return None if None in reads else _checked(pipeline, table, [schema for schema in reads if schema is not None])


def _check_tables(pipeline: Pipeline, lake: Lake | None) -> list[Mapping[str, object]]:
    from kappa_assets.fingerprint.code_version import code_version
    from kappa_assets.place.registry import Registry

    schemas = {} if lake is None else _tapes_with_columns(pipeline, lake)
    state = None if lake is None else Registry(lake).state()
    rows: list[Mapping[str, object]] = [
        {"table": str(b.name), "code_version": None, "result": "ok", "detail": None} for b in pipeline.bronzes
    ]
    for table in pipeline.derived:
        deployed = code_version(table)
        result, detail = _check_table(pipeline, table, schemas)
        if result == "ok":
            detail = _beside_the_live_one(state, table.name, deployed) or detail
        rows.append({"table": str(table.name), "code_version": deployed, "result": result, "detail": detail})
    return rows


def _check_table(pipeline: Pipeline, table: Derived, schemas: dict[TableName, StructType]) -> tuple[Result, str | None]:
    """Check one table's plan, and note its output's columns for the tables below it."""
    reads = pipeline.upstreams[table.name]
    unknown = next((upstream for upstream in reads if upstream not in schemas), None)
    if unknown is not None:
        return "unchecked", f"the columns of {unknown} are not known: nothing has landed, or it is refused"
    try:
        answer = _checked(pipeline, table, [schemas[upstream] for upstream in reads])
    except KappaError as error:
        return "refused", str(error)
    schemas[table.name] = answer.rows.schema
    return "ok", None if answer.groups is None else f"groups by {', '.join(answer.groups.groups)}"


def _checked(pipeline: Pipeline, table: Derived, reads: Sequence[StructType]) -> Checked:
    from kappa_assets.host.session import build_session
    from kappa_assets.kinds.known_kinds import kind_of, unique_in

    spark = build_session("kappa check", extra=_NAME_LINES, packages=pipeline.packages)
    empty = [spark.createDataFrame([], schema) for schema in reads]
    return kind_of(table).check(table, *empty, unique=unique_in(pipeline, table))


def _tapes_with_columns(pipeline: Pipeline, lake: Lake) -> dict[TableName, StructType]:
    found = {b.name: lake.table(b.name).open().schema() for b in pipeline.bronzes}
    return {name: schema for name, schema in found.items() if schema is not None}


def _beside_the_live_one(state: State | None, table: TableName, deployed: str) -> str | None:
    live = None if state is None else state.live(table)
    if live is None or live.code_version == deployed:
        return None
    return f"the live generation {live.number} was written by logic {live.code_version}: replay it"
