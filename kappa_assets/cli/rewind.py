"""Commands that go back: replay, promote, discard, rollback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import click

from kappa_assets.cli.answer import Answer
from kappa_assets.cli.command import TableArgument, Where, command
from kappa_assets.cli.play import setting_of
from kappa_assets.cli.progress import progress, stop_request
from kappa_assets.table import Layer, TableName

if TYPE_CHECKING:
    from kappa_assets.registry import Release


@command
@click.option(
    "--tables",
    multiple=True,
    required=True,
    type=TableArgument(Layer.SILVER, Layer.GOLD),
    help="A table to rebuild, with all below it; may be given several times.",
)
@click.option(
    "--from-version",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="The Bronze version to start with, as `kappa tape` lists it; 0 is inception.",
)
@click.option("--plan", "plan_only", is_flag=True, help="Print what would be built, and do nothing.")
@click.option(
    "--promote",
    type=click.Choice(["auto", "hold"]),
    default="auto",
    show_default=True,
    help="Go live if the comparison finds no fault, or wait for `kappa promote`.",
)
def replay(
    where: Where,
    tables: tuple[TableName, ...],
    from_version: int,
    plan_only: bool,  # noqa: FBT001 -- click passes it by name
    promote: Literal["auto", "hold"],
) -> Answer:
    """Rebuild tables, and all below them, from the tape.

    They are built beside the live ones, and compared with them, table by table. With `--promote auto`, a replay
    that is held nevertheless, because the comparison found a fault, ends with exit code 1.
    """
    from kappa_assets.replay import plan_replay, run_replay

    pipeline = where.pipeline()
    plan = plan_replay(where.lake(), pipeline, tables, from_version=from_version)
    if plan_only:
        return Answer(plan.rows(), title=plan.summary)
    with stop_request() as stop, progress() as shown:
        setting = setting_of(where, shown, landing=False)
        stop.listen()
        result = run_replay(setting, pipeline, plan, promote=promote, progress=shown.say, wanted=stop)
    facts = {"replay": result.id, "state": result.state, "release": result.release}
    rows = [{**facts, **row} for row in result.comparison.rows()]
    shown_columns = [name for name in rows[0] if name not in facts] if rows else []
    held = f"replay {result.id} was not promoted: the comparison found a fault"
    return Answer(
        rows,
        shown_columns,
        title=f"replay {result.id}: {result.state}" + (f", release {result.release}" if result.release else ""),
        failure=held if promote == "auto" and result.state != "promoted" else None,
    )


@command
@click.argument("replay_id", metavar="[ID]", required=False)
def promote(where: Where, replay_id: str | None) -> Answer:
    """Make the tables of a held replay live, all at once."""
    from kappa_assets.replay import promote_replay

    pipeline = where.pipeline()
    with stop_request() as stop, progress() as shown:
        setting = setting_of(where, shown, landing=False)
        stop.listen()
        release = promote_replay(setting, pipeline, replay_id, progress=shown.say, wanted=stop)
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
    from kappa_assets.replay import rollback as select_release

    return _released(select_release(where.lake(), release, reason=reason))


def _released(release: Release) -> Answer:
    row: Mapping[str, object] = {
        "release": release.number,
        "current": True,
        "created_at": release.created_at,
        "reason": release.reason,
        "replay": release.replay,
        "tables": {str(table): number for table, number in release.tables.items()},
    }
    return Answer([row], ("release", "created_at", "reason", "tables"))
