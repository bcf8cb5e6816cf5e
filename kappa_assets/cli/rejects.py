"""Commands about what was delivered or set aside: deliveries, rejects, quarantine, and what lets rows out of it."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any

import click

from kappa_assets.cli.answer import Answer
from kappa_assets.cli.command import TableArgument, Where, command, setting_of
from kappa_assets.cli.progress import progress
from kappa_assets.names import Layer, TableName

if TYPE_CHECKING:
    from kappa_assets.declare.source import DeclaredSource
    from kappa_assets.place.port import StoredTable

_OF_A_ROW = ("_batch_id", "_row", "_arrived_at", "reasons", "row")


@command
@click.argument("bronze", type=TableArgument(Layer.BRONZE))
def rejects(where: Where, bronze: TableName) -> Answer:
    """List the landed files that were set aside, and why.

    A file is known by its path below the landing folder. `retried as`: the name under which it was put back.
    """
    from kappa_assets.sources.side_table import SideTable

    where.pipeline()[bronze]
    aside = SideTable(where.lake(), bronze)
    rows: list[dict[str, object]] = [
        _of(r.source) | {"file": r.file, "reason": r.reason, "at": r.at, "batch": r.batch, "retried_as": r.retried_as}
        for r in aside.all()
    ]
    return Answer(rows, title=f"{bronze}: {len(rows)} files set aside")


@command
@click.argument("silver", type=TableArgument(Layer.SILVER))
@click.option("--dropped", is_flag=True, help="List the rows that were dropped instead.")
@click.option("--limit", default=100, show_default=True, help="How many rows at most, the newest first.")
def quarantine(where: Where, silver: TableName, limit: int, *, dropped: bool) -> Answer:
    """List the rows that the live generation of a table keeps in quarantine, or has dropped.

    A row is known by its address on the tape, `_batch_id` and `_row`; the function may have given several of one. `row`
    is what it gave, as JSON, without the columns that are null; `reasons` are the expectations that the row fails.
    """
    from kappa_assets.place.registry import Registry

    where.pipeline()[silver]
    lake = where.lake()
    live, beside = Registry(lake).state().live(silver), lake.set_aside(silver)
    version = beside.newest()
    found = [] if live is None or version is None else _aside(beside, version, live.number, dropped=dropped)
    newest = sorted(found, key=lambda row: (row["_batch_id"], row["_row"]), reverse=True)[:limit]
    rows: list[dict[str, object]] = [{name: row[name] for name in _OF_A_ROW} for row in newest]
    state = "dropped" if dropped else "in quarantine"
    shown = f", the {limit} newest" if len(found) > limit else ""
    return Answer(rows, _OF_A_ROW, f"{silver}: {len(found)} rows {state}{shown}")


def _aside(beside: StoredTable, version: int, generation: int, *, dropped: bool) -> list[dict[str, Any]]:
    """Return the rows that a generation has set aside; one of before there was a quarantine was dropped.

    What a release has marked is in quarantine until it comes to its end.
    """
    import pyarrow.compute as pc

    mine = beside.arrow(version).to_table(filter=pc.field("generation") == generation).to_pylist()
    return [row for row in mine if (row.get("on_fail") or "").startswith("quarantine") != dropped]


@command
@click.argument("silver", type=TableArgument(Layer.SILVER))
@click.option(
    "--where",
    "condition",
    required=True,
    metavar="SQL",
    help="Which rows: a condition on the columns of `kappa quarantine`; true chooses all.",
)
@click.option("--cores", type=click.IntRange(min=1), help="Threads to work with; default: all of the machine's.")
def release(where: Where, silver: TableName, condition: str, cores: int | None) -> Answer:
    """Take rows in quarantine through today's function, and put those that pass into the table.

    --where "array_contains(reasons, 'priced') and _batch_id >= 41". Rows that something still sets aside stay in
    quarantine. The stream may run, but for a table whose rows are unique. Where other logic than is deployed wrote the
    table, a replay does it, unless it is declared with on_change="forward". Started again after it was interrupted, it
    finishes, and no row is in twice.
    """
    from kappa_assets.repair import release_rows

    pipeline = where.pipeline()
    with progress() as shown:
        setting = setting_of(where, shown, landing=False, cores=cores, background=True, packages=pipeline.packages)
        done = release_rows(setting, pipeline, silver, condition, progress=shown.say)
    row: dict[str, object] = {
        "table": str(done.table),
        "generation": done.generation,
        "chosen": done.chosen,
        "released": done.released,
        "duplicates": done.duplicates,
        "in_quarantine": done.chosen - done.taken,
    }
    return Answer([row], title=done.summary)


@command
@click.argument("bronze", type=TableArgument(Layer.BRONZE))
@click.option(
    "--file", "pattern", default="*", help="A path below the landing folder; * and ? stand for any. Else all."
)
@click.option("--source", help="Of a tape with several sources, the one that is meant. Else all.")
@click.option("--limit", default=100, show_default=True, help="How many of each source at most, the newest first.")
@click.option("--again", is_flag=True, help="Have those that were set aside taken once more.")
def deliveries(where: Where, bronze: TableName, pattern: str, source: str | None, limit: int, *, again: bool) -> Answer:
    """List the landed files that a tape has taken, and those set aside; --again has these taken once more.

    `batch`: the `_batch_id` of its rows. A file that was touched, or put back, is there once more with its other time,
    and without a batch: its bytes were on the tape already. `hash`: of its bytes, where it was written down. Of a
    source whose deliveries are numbered, the numbers that each batch took.

    --again is for files that are sound now: mended in their place, readable again, or fit for the table as it is
    declared now. Each is renamed, `a.csv` to `a.retry-1.csv`, and the stream takes it as one that landed; it may run
    meanwhile. One that still cannot be taken is set aside again.
    """
    from kappa_assets.sources.known_sources import deliveries_of

    meant = _sources(where, bronze, source)
    if again:
        return _again(where, bronze, meant, pattern)
    lake = where.lake()
    rows: list[dict[str, object]] = []
    for one, label in meant:
        rows += [_of(label) | row for row in deliveries_of(one, lake, bronze, pattern, limit, label)]
    return Answer(rows, title=f"{bronze}: the {len(rows)} newest" if len(rows) == limit else None)


def _again(where: Where, bronze: TableName, meant: list[tuple[DeclaredSource, str | None]], pattern: str) -> Answer:
    """Have what was set aside and fits the pattern taken once more. Raises SourceError for a name that was not."""
    from kappa_assets.log.delta_log import newest_of_tape
    from kappa_assets.sources.known_sources import take_again
    from kappa_assets.sources.side_table import SideTable
    from kappa_assets.sources.standings import mine, unnamed

    lake, landing = where.lake(), where.landing()
    before = unnamed(newest_of_tape(lake.table(bronze)))
    aside = SideTable(lake, bronze).all()
    rows: list[dict[str, object]] = []
    for one, label in meant:
        is_mine = mine(label, before)
        names = [row.file for row in aside if is_mine(row.source)]
        exact = pattern in names or not any(sign in pattern for sign in "*?[")
        if exact and pattern not in names and len(meant) > 1:
            continue  # another source's
        fitting = (pattern,) if exact else tuple(name for name in names if fnmatch.fnmatchcase(name, pattern))
        if fitting:
            given = () if pattern == "*" else fitting
            done = take_again(one, lake, bronze, landing, given, is_mine)
            rows += [_of(label) | {"file": file, "retried_as": name} for file, name in done.items()]
    return Answer(rows, title="the stream takes these next" if rows else f"no file set aside from {bronze} lies there")


def _of(label: str | None) -> dict[str, object]:
    return {} if label is None else {"source": label}


def _sources(where: Where, bronze: TableName, label: str | None) -> list[tuple[DeclaredSource, str | None]]:
    """Return the sources of a tape that are meant, each with its label where the tape has or had several."""
    from kappa_assets.declare.tables import Bronze
    from kappa_assets.log.delta_log import newest_of_tape
    from kappa_assets.sources.standings import are_told_apart

    table = where.pipeline()[bronze]
    assert isinstance(table, Bronze)  # noqa: S101 -- for mypy; only a tape has a name in the layer Bronze
    known = [one.label for one in table.sources]
    if label is not None and label not in known:
        raise click.BadParameter(f"{bronze} has no source {label!r}, but {', '.join(known)}", param_hint="--source")
    several = are_told_apart(table, newest_of_tape(where.lake().table(bronze)))
    return [(one, one.label if several else None) for one in table.sources if label in (None, one.label)]
