"""`kappa check`: the pipeline's code, and Spark's plan of every table whose upstream's columns are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from kappa_assets.cli.answer import Answer
from kappa_assets.cli.command import Where, command
from kappa_assets.errors import KappaError

if TYPE_CHECKING:
    from pyspark.sql.types import StructType

    from kappa_assets.declare.tables import Derived
    from kappa_assets.graph import Pipeline
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
    upstream = pipeline.upstreams[table.name]
    schema = schemas.get(upstream)
    if schema is None:
        return "unchecked", f"the columns of {upstream} are not known: nothing has landed, or it is refused"
    from kappa_assets.host.session import build_session
    from kappa_assets.kinds.known_kinds import kind_of

    try:
        empty = build_session("kappa check", extra=_NAME_LINES).createDataFrame([], schema)
        answer = kind_of(table).check(table, empty)
    except KappaError as error:
        return "refused", str(error)
    schemas[table.name] = answer.rows.schema
    return "ok", None if answer.groups is None else f"groups by {', '.join(answer.groups.groups)}"


def _tapes_with_columns(pipeline: Pipeline, lake: Lake) -> dict[TableName, StructType]:
    found = {b.name: lake.table(b.name).open().schema() for b in pipeline.bronzes}
    return {name: schema for name, schema in found.items() if schema is not None}


def _beside_the_live_one(state: State | None, table: TableName, deployed: str) -> str | None:
    live = None if state is None else state.live(table)
    if live is None or live.code_version == deployed:
        return None
    return f"the live generation {live.number} was written by logic {live.code_version}: replay it"
