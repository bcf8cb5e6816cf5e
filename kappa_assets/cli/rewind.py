"""Commands that go back: replay, compare, promote, discard, rollback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from kappa_assets.cli.answer import Answer
from kappa_assets.cli.command import TableArgument, Where, command, setting_of
from kappa_assets.cli.progress import progress, stop_request
from kappa_assets.errors import ReplayError
from kappa_assets.names import Layer, TableName

if TYPE_CHECKING:
    from kappa_assets.place.registry import Registry, Release, Replay

_VERSION = click.IntRange(min=0)
_SHARE = click.FloatRange(min=0)


def _replay_options(function: Callable[..., Answer]) -> Callable[..., Answer]:
    """Add what says which part of the tape is played, how far tables may differ, and what the machine may give."""
    for option in reversed(
        (
            click.option(
                "--tables",
                multiple=True,
                required=True,
                type=TableArgument(Layer.SILVER, Layer.GOLD),
                help="A table to rebuild, with all below it; may be given several times.",
            ),
            click.option(
                "--from-version",
                type=_VERSION,
                help="The Bronze version to start with, as `kappa tape` lists it; 0, the default, is inception.",
            ),
            click.option(
                "--from-time",
                metavar="DAY",
                help="Instead: start with the first batch with rows that arrived on this day (UTC) or later.",
            ),
            click.option(
                "--to-version",
                type=_VERSION,
                help="The last Bronze version to play. The replay is then a validation: compared, never promoted.",
            ),
            click.option(
                "--to-time",
                metavar="DAY",
                help="Instead: stop before the first batch whose rows all arrived after this day (UTC).",
            ),
            click.option("--plan", "plan_only", is_flag=True, help="Print what would be built, and do nothing."),
            click.option(
                "--promote",
                type=click.Choice(["auto", "hold", "never"]),
                default="auto",
                show_default=True,
                help="Go live if the comparison finds no fault, wait for `kappa promote`, or only compare.",
            ),
            click.option(
                "--max-changed", type=_SHARE, help="A fault: a larger share of the keys changed; 0.001 is 1 in 1000."
            ),
            click.option("--max-lost", type=_VERSION, help="A fault: more keys than this are lost."),
            click.option(
                "--max-rows-off", type=_SHARE, help="A fault: rows differ by a larger share than this; 0.01 is 1 %."
            ),
            click.option(
                "--max-bytes-per-batch", metavar="SIZE", help="What one batch reads at most, such as 512m; default: 8g."
            ),
            click.option(
                "--cores", type=click.IntRange(min=1), help="Threads to work with; default: all of the machine's."
            ),
        )
    ):
        function = option(function)
    return function


@command
@_replay_options
def replay(
    where: Where,
    tables: tuple[TableName, ...],
    plan_only: bool,  # noqa: FBT001 -- click passes it by name
    promote: Literal["auto", "hold", "never"],
    max_bytes_per_batch: str | None,
    cores: int | None,
    **asked: Any,
) -> Answer:
    """Rebuild tables, and all below them, from the tape.

    They are built beside the live ones, and compared with them, table by table. With `--promote auto`, a replay
    that is held nevertheless, because the comparison found a fault, ends with exit code 1.

    A replay that died or was stopped goes on when the same is launched again. With --to-version or --to-time the past
    is validated: tables are built as they would have been then, and compared with the live ones as of then.
    """
    from kappa_assets.compare import Limits
    from kappa_assets.replay import plan_replay, run_replay

    pipeline = where.pipeline()
    limits = Limits(asked.pop("max_changed"), asked.pop("max_lost"), asked.pop("max_rows_off"))
    plan = plan_replay(where.lake(), pipeline, tables, **asked)
    if plan_only:
        rows = plan.rows()
        known = {"resumes": plan.resumes, "free_bytes": plan.free_bytes}
        return Answer([{**row, **known} for row in rows], list(rows[0]), title=plan.text)
    with stop_request() as stop, progress() as shown:
        setting = setting_of(where, shown, landing=False, cores=cores, background=True, packages=pipeline.packages)
        stop.listen()
        result = run_replay(
            setting,
            pipeline,
            plan,
            promote=promote,
            limits=limits,
            max_bytes_per_batch=max_bytes_per_batch,
            progress=shown.say,
            wanted=stop,
        )
    facts = {"replay": result.id, "state": result.state, "release": result.release, "to": plan.asked.end}
    rows = [{**facts, **row} for row in result.comparison.rows()]
    shown_columns = [name for name in rows[0] if name not in facts] if rows else []
    live = f", release {result.release}" if result.release else ""
    held = "\n".join([f"replay {result.id} was not promoted: the comparison found a fault", *result.comparison.faults])
    return Answer(
        rows,
        shown_columns,
        title=f"replay {result.id}: {result.state}{live}",
        remark=f"kappa compare {result.id} shows columns, slices and rows that differ",
        failure=held if promote == "auto" and result.state == "held" else None,
    )


@command
@click.argument("what", metavar="[ID | TABLE]", required=False)
@click.option(
    "--with",
    "outside",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Compare TABLE of the lake with the Delta table in this folder, which is none of the lake.",
)
@click.option("--keys", metavar="A,B", help="With --with: the columns that match rows.  [default: as declared]")
def compare(where: Where, what: str | None, outside: Path | None, keys: str | None) -> Answer:
    """Show what a replay's comparison with the live tables found: the newest one's, or that of ID.

    By table, by column, by slice, and a sample of rows that differ. It was stored when the replay was compared.

    With --with PATH, compare TABLE now with a Delta table that somebody else wrote, such as what a batch job gave so
    far: the columns that both have, the lineage left out. Exit code 1 when a row differs.
    """
    if outside is not None:
        return _with_outside(where, what, outside, keys)
    if keys is not None:
        raise click.UsageError("--keys goes with --with: a replay's comparison knows its keys.")
    from kappa_assets.compare import comparison_rows
    from kappa_assets.place.registry import Registry

    found = _compared(Registry(where.lake()), what)
    facts = found.comparison or {}
    verdict = "; ".join(facts.get("faults", ())) or "no fault found"
    end = next((f", up to {name[3:]} {value}" for name, value in _asked(found).items() if name.startswith("to_")), "")
    parts = (
        Answer(facts.get("tables", ()), title=f"replay {found.id}{end}, {found.state}: {verdict}"),
        Answer(facts.get("columns", ()), title="keys on both sides whose values differ, by column"),
        Answer(facts.get("slices", ()), title="totals, and what differs by slice (day of arrival)"),
        Answer(facts.get("sample", ()), title="a sample of what differs"),
    )
    return Answer([{"replay": found.id, **row} for row in comparison_rows(facts)], parts=parts)


def _with_outside(where: Where, what: str | None, outside: Path, keys: str | None) -> Answer:
    """Compare a table of the lake with one that is none of it."""
    from kappa_assets.cli.look import live_table
    from kappa_assets.compare.outside import compare_with, how_it_differs, told_apart

    if what is None:
        raise click.UsageError(
            "--with goes with the name of a table of the lake: kappa compare gold.revenue --with ..."
        )
    table = TableArgument().convert(what, None, click.get_current_context())
    mine = live_table(where.lake(), table)
    chosen = _declared_keys(where, table) if keys is None else tuple(filter(None, map(str.strip, keys.split(","))))
    with progress() as shown:
        setting = setting_of(where, shown, landing=False, background=True)
        found = compare_with(setting.spark, table, mine, outside.expanduser().resolve(), chosen)
    told, differs = told_apart(found), how_it_differs(found)
    titles = {
        "tables": f"{table} (here) and {outside} (there): {differs or 'the same in the columns that both have'}",
        "columns": "keys on both sides whose values differ, by column",
        "totals": "totals",
        "sample": "a sample of what differs",
    }
    rows = [{"what": name.removesuffix("s"), **row} for name, rows in told.items() for row in rows]
    parts = [Answer(told[name], title=title) for name, title in titles.items()]
    return Answer(rows, parts=parts, failure=None if differs is None else f"{table} differs from {outside}: {differs}")


def _declared_keys(where: Where, table: TableName) -> tuple[str, ...]:
    """Return the columns that match rows of a table, where it has some that are its own; of a tape none."""
    from kappa_assets.columns import OF_THE_TAPE
    from kappa_assets.declare.tables import Derived
    from kappa_assets.kinds.known_kinds import kind_of

    declared = where.pipeline()[table]
    keys: tuple[str, ...] = kind_of(declared).matched_by(declared) if isinstance(declared, Derived) else ()
    return () if set(keys) & set(OF_THE_TAPE) else keys


def _compared(registry: Registry, replay_id: str | None) -> Replay:
    known = registry.state().replays
    if replay_id is None:
        found = next((r for r in reversed(list(known.values())) if r.comparison is not None), None)
    else:
        found = known.get(replay_id)
    if found is None or found.comparison is None:
        what = "no replay was compared yet" if replay_id is None else f"replay {replay_id!r} is not there, or compared"
        raise ReplayError(what, hint="kappa replay --promote hold, or never, makes a comparison.")
    return found


def _asked(replay: Replay) -> Mapping[str, object]:
    asked = replay.plan.get("asked", {})
    return asked if isinstance(asked, Mapping) else {}


@command
@click.argument("replay_id", metavar="[ID]", required=False)
@click.option(
    "--force", is_flag=True, help="Although the comparison found faults, or is missing; the release says so for ever."
)
def promote(where: Where, replay_id: str | None, force: bool) -> Answer:  # noqa: FBT001 -- click passes it by name
    """Make the tables of a held replay live, all at once."""
    from kappa_assets.replay import promote_replay

    pipeline = where.pipeline()
    with stop_request() as stop, progress() as shown:
        setting = setting_of(where, shown, landing=False, packages=pipeline.packages)
        stop.listen()
        release = promote_replay(setting, pipeline, replay_id, force=force, progress=shown.say, wanted=stop)
    return _released(release)


@command
@click.argument("replay_id", metavar="ID")
def discard(where: Where, replay_id: str) -> Answer:
    """Give up a replay that was not promoted, and remove what it built."""
    from kappa_assets.replay import discard_replay

    discard_replay(where.lake(), replay_id)
    row: Mapping[str, object] = {"replay": replay_id, "state": "discarded"}
    return Answer([row])


@command
@click.argument("release", type=click.IntRange(min=1), required=False)
@click.option("--reason", default="", help="Kept with the change, for those who wonder later.")
def rollback(where: Where, release: int | None, reason: str) -> Answer:
    """Go back to the previous release, or to the one named."""
    from kappa_assets.log.releases import stuck_remark
    from kappa_assets.place.registry import Registry
    from kappa_assets.replay import rollback as select_release

    lake = where.lake()
    selected = select_release(lake, release, reason=reason)
    return _released(selected, stuck_remark(lake, Registry(lake).state(), selected))


def _released(release: Release, remark: str | None = None) -> Answer:
    row: Mapping[str, object] = {
        "release": release.number,
        "current": True,
        "created_at": release.created_at,
        "reason": release.reason,
        "replay": release.replay,
        "tables": {str(table): number for table, number in release.tables.items()},
    }
    if remark is not None:
        row = {**row, "needs_replay": remark}
    return Answer([row], ("release", "created_at", "reason", "tables"), remark=remark)
