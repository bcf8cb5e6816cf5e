"""Commands that look: tables, status, tape, show, schema, path, releases. None starts Spark or changes anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from kappa_assets.cli.answer import Answer
from kappa_assets.cli.command import TableArgument, Where, command, status_answer
from kappa_assets.errors import TableMissing
from kappa_assets.names import Layer, TableName

if TYPE_CHECKING:
    from kappa_assets.declare.tables import Table
    from kappa_assets.graph import Pipeline
    from kappa_assets.place.local.lake import Lake
    from kappa_assets.place.port import StoredTable
    from kappa_assets.place.registry import Replay, State


@command
def tables(where: Where) -> Answer:
    """List the tables that the pipeline declares."""
    pipeline = where.pipeline()
    rows = [_declared(pipeline, table) for table in pipeline]
    return Answer(rows, ("table", "kind", "reads", "code_version", "description"), f"Pipeline {pipeline.name}")


def _declared(pipeline: Pipeline, table: Table) -> Mapping[str, object]:
    from kappa_assets.fingerprint.code_version import code_version

    upstreams = pipeline.upstreams.get(table.name)
    return {
        "table": str(table.name),
        "layer": str(table.name.layer),
        "kind": _kind(table),
        "reads": None if upstreams is None else ", ".join(map(str, upstreams)),
        "code_version": None if upstreams is None else code_version(table),
        "description": table.description.partition("\n")[0],
        "declared_at": str(table.origin),
        "owners": list(table.owners),
        "tags": dict(table.tags),
    }


def _kind(table: Table) -> str:
    """Return in words how a table gets its rows."""
    from kappa_assets.declare.options.cdc import Cdc
    from kappa_assets.declare.tables import Bronze, Gold, Silver

    match table:
        case Bronze():
            return f"tape of {'; '.join(source.described for source in table.sources)}"
        case Gold() if table.combine:
            return f"merged by {', '.join(table.keys)}"
        case Gold() if table.by:
            return f"recomputed by {', '.join(table.by)}; keys {', '.join(table.keys)}"
        case Gold() if table.keys:
            return f"recomputed by {', '.join(table.keys)}"
        case Gold():
            return "recomputed whole" + (f", every {table.every:g} s at most" if table.every else "")
        case Silver(cdc=Cdc(keys=keys, scd=scd)):
            return f"changes merged by {', '.join(keys)}: the {'newest state' if scd == 1 else 'versions'} of each"
        case Silver() if table.keys:
            return f"recomputed by {', '.join(next(iter(table.groups_of.values())))}; keys {', '.join(table.keys)}"
        case Silver() if table.unique:
            return f"row by row, each {', '.join(table.unique)} once"
    return "row by row"


@command
def status(where: Where) -> Answer:
    """Show how far every table is: version, rows, position, lag, state."""
    return status_answer(where.lake(), where.pipeline())


@command
@click.argument("bronze", type=TableArgument(Layer.BRONZE))
@click.option("--limit", type=click.IntRange(min=1), help="Only the newest commits.")
def tape(where: Where, bronze: TableName, limit: int | None) -> Answer:
    """List the commits on a tape: version, time, batch, rows, slices.

    A version listed here is what `kappa replay --from-version` takes.
    """
    from kappa_assets.log.tape import Tape

    lake = where.lake()
    commits = Tape(lake, bronze).commits()
    if not commits:
        raise _missing(bronze, "kappa tables lists what is declared; kappa drain brings in what landed.")
    rows: list[Mapping[str, object]] = [
        {"version": c.version, "time": c.at, "batch_id": c.batch, "rows": c.rows, "slices": c.slices}
        for c in (commits if limit is None else commits[-limit:])
    ]
    return Answer(rows, title=f"{bronze}: {len(commits)} batches, {sum(c.rows for c in commits)} rows")


@command
@click.argument("table", type=TableArgument())
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Rows shown at most.")
def show(where: Where, table: TableName, limit: int) -> Answer:
    """Show rows of a table, as its live generation holds them."""
    from kappa_assets.cli.table_rows import first_rows, python_rows

    lake = where.lake()
    generation = _folders(lake, table)[0]["generation"]
    found = first_rows(live_table(lake, table), limit)
    return Answer(python_rows(found), found.column_names, f"{table} g{generation}")


@command
@click.argument("table", type=TableArgument())
def schema(where: Where, table: TableName) -> Answer:
    """Show how the columns of a table changed, from one generation to the next and within each.

    The first line has all columns; then `+` came, `-` went, `->` has another type. Within a generation columns are only
    added: what goes, is renamed or gets another type needs a replay, which makes a new one.
    """
    from kappa_assets.log.schema_history import difference, schema_history
    from kappa_assets.place.registry import Registry

    lake = where.lake()
    state = Registry(lake).state()
    made = {number: one for (name, number), one in state.generations.items() if name == table}
    rows: list[Mapping[str, object]] = []
    before: Mapping[str, str] = {}
    for number in made or [1]:
        told = {"state": state.state_of(made[number]), "code_version": made[number].code_version} if made else {}
        for found in schema_history(lake.table(table, number)):
            change = {"version": found.version, "at": found.at, "change": difference(before, found.columns)}
            rows.append({"generation": number, **told, **change, "columns": dict(found.columns)})
            before = found.columns
    if not rows:
        raise _missing(table, "Its stream has not committed anything; kappa status shows how it is.")
    return Answer(rows, [name for name in rows[0] if name != "columns"], f"{table}: {len(before)} columns and fields")


@command
@click.argument("table", type=TableArgument(), required=False)
def path(where: Where, table: TableName | None) -> Answer:
    """Print the folders of the live release's tables.

    All are of one release, resolved once: read several tables by them and they fit together, whatever is promoted
    meanwhile. With TABLE, its folder alone is printed.
    """
    rows = _folders(where.lake(), table)
    return Answer(rows, plain=None if table is None else str(rows[0]["path"]))


def live_table(lake: Lake, table: TableName) -> StoredTable:
    """Return the live generation of a table. Raises TableMissing for one that holds nothing yet."""
    return lake.table(table, int(str(_folders(lake, table)[0]["generation"])))


def _folders(lake: Lake, table: TableName | None) -> list[Mapping[str, object]]:
    """Return where the live generations lie. Raises TableMissing for a table that holds nothing yet."""
    from kappa_assets.place.registry import Registry

    state = Registry(lake).state()
    numbers = _live_generations(lake, state)
    if table is not None and table not in numbers:
        raise _missing(table, f"The lake holds {', '.join(map(str, numbers)) or 'no tables yet'}.")
    chosen = {t: n for t, n in numbers.items() if table in (None, t)}
    rows: list[Mapping[str, object]] = [
        {
            "table": str(name),
            "generation": number,
            "release": state.current,
            "path": lake.table(name, number).location,
        }
        for name, number in chosen.items()
        if lake.table(name, number).newest() is not None
    ]
    if table is not None and not rows:
        raise _missing(table, "Its stream has not committed anything; kappa status shows how it is.")
    return rows


def _live_generations(lake: Lake, state: State) -> dict[TableName, int]:
    """Return the live generation of every table, the tapes included."""
    found = dict.fromkeys(lake.tapes(), 1)
    found |= state.release.tables if state.release else {}
    return dict(sorted(found.items(), key=lambda item: (list(Layer).index(item[0].layer), item[0].name)))


def _missing(table: TableName, hint: str) -> TableMissing:
    return TableMissing(f"{table} has not been written yet", hint=hint)


@command
def releases(where: Where) -> Answer:
    """List the releases: which generations readers see, and saw.

    Condition `needs replay`: can be selected, but its tables cannot go on, for what they have not read was vacuumed;
    `expired`: maintenance removed its tables.
    """
    from kappa_assets.log.releases import release_condition
    from kappa_assets.place.registry import Registry

    lake = where.lake()
    state = Registry(lake).state()
    rows: list[Mapping[str, object]] = [
        {
            "release": release.number,
            "current": release.number == state.current,
            "created_at": release.created_at,
            "reason": release.reason,
            "replay": release.replay,
            "tables": {str(table): number for table, number in release.tables.items()},
            "condition": release_condition(lake, state, release),
        }
        for release in state.releases.values()
    ]
    aside = [r for r in state.replays.values() if r.state in ("building", "held", "validated")]
    remark = "\n".join(f"replay {r.id} is {r.state}: {', '.join(_candidates(state, r))}" for r in aside) or None
    return Answer(rows, ("release", "current", "condition", "created_at", "reason", "tables"), remark=remark)


def _candidates(state: State, replay: Replay) -> list[str]:
    """Return a replay's candidates in words, with where on the tape they end if they do."""
    ends = {table: state.generations[table, number].to_batch for table, number in replay.candidates.items()}
    return [
        f"{table} g{number}" + (f" up to batch {ends[table]}" if ends[table] is not None else "")
        for table, number in replay.candidates.items()
    ]
