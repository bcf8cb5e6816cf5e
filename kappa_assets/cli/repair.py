"""Commands that mend: slices of a Silver done over in place, and a tape that goes on behind what its topic lost."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from kappa_assets.cli.answer import Answer
from kappa_assets.cli.command import TableArgument, Where, command, setting_of
from kappa_assets.cli.progress import progress, stop_request
from kappa_assets.names import Layer, TableName

if TYPE_CHECKING:
    from kappa_assets.repair.accept_loss import Loss

_DAY = click.DateTime(formats=["%Y-%m-%d"])


@command
@click.argument("table", type=TableArgument(Layer.SILVER))
@click.option("--from", "first", type=_DAY, required=True, help="The first slice: a day of arrival, UTC.")
@click.option("--to", "last", type=_DAY, help="The last slice; without it the first one alone.")
@click.option(
    "--bronze-version",
    type=click.IntRange(min=0),
    help="As the tape stood at this version, as `kappa tape` lists it: later rows are left alone.",
)
@click.option("--cores", type=click.IntRange(min=1), help="Threads to work with; default: all of the machine's.")
@click.option("--plan", "plan_only", is_flag=True, help="Print what would be done over, and do nothing.")
def repair(
    where: Where,
    table: TableName,
    first: dt.datetime,
    last: dt.datetime | None,
    bronze_version: int | None,
    cores: int | None,
    plan_only: bool,  # noqa: FBT001 -- click passes it by name
) -> Answer:
    """Compute slices of a Silver anew and replace them, one commit each.

    The stream may run. The logic must be the one that wrote the table: changed logic is replayed. Gold follows through
    the change feed. Stopped, it leaves whole slices; started again, it does them all.
    """
    from kappa_assets.repair import plan_repair, run_repair

    pipeline = where.pipeline()
    end = first if last is None else last
    if end < first:
        raise click.UsageError(f"--to {end:%Y-%m-%d} is before --from {first:%Y-%m-%d}")
    days = [first.date() + dt.timedelta(days=n) for n in range((end - first).days + 1)]
    plan = plan_repair(where.lake(), pipeline, table, days, bronze_version=bronze_version)
    if plan_only:
        return Answer([{"slice": day, "upto_batch": plan.upto.batch} for day in days], title=plan.summary)
    with stop_request() as stop, progress() as shown:
        setting = setting_of(where, shown, landing=False, cores=cores, background=True, packages=pipeline.packages)
        stop.listen()
        done = list(run_repair(setting, pipeline, plan, progress=shown.say, wanted=stop))
    rows = [
        {
            "table": str(d.table),
            "slice": d.slice,
            "rows": d.rows,
            "replaced": d.replaced,
            "generation": d.generation,
            "version": d.version,
            "upto_batch": d.upto.batch,
            "upto_version": d.upto.version,
            "code_version": d.code_version,
        }
        for d in done
    ]
    return Answer(rows, ("slice", "rows", "replaced", "version"), title=plan.summary)


@command
@click.argument("bronze", type=TableArgument(Layer.BRONZE))
@click.option("--reason", help="Why what is lost may be passed over: kept for those who ask later.")
@click.option("--source", help="Of a tape with several sources, the one that is meant. Else all that lost something.")
@click.option("--plan", "plan_only", is_flag=True, help="Print what would be passed over, and record nothing.")
def accept_loss(
    where: Where,
    bronze: TableName,
    reason: str | None,
    source: str | None,
    plan_only: bool,  # noqa: FBT001 -- click passes it by name
) -> Answer:
    """Let a tape go on behind what its topic does not have any more.

    For a tape that has stopped because the brokers lost what it has not read yet: records kept shorter than it was
    away, a partition that is gone or was cut, a topic made anew. What is passed over is printed by partition, and
    recorded with who and why; kappa status shows it, and the note of the tape's next commit. The tape goes on when its
    query is started next: turn the stream off and on. What is lost later stops it again.
    """
    from kappa_assets.declare.tables import Bronze
    from kappa_assets.repair.accept_loss import accept_losses, losses_of, who

    if not plan_only and not (reason or "").strip():
        raise click.UsageError(
            "Missing option '--reason': rows that nobody can bring back are given up, and somebody will ask why.\n"
            "Hint: --plan prints what would be passed over."
        )
    pipeline = where.pipeline()
    table = pipeline[bronze]
    assert isinstance(table, Bronze)  # noqa: S101 -- for mypy; only a tape has a name in the layer Bronze
    known = [one.label for one in table.sources]
    if source is not None and source not in known:
        raise click.BadParameter(f"{bronze} has no source {source!r}, but {', '.join(known)}", param_hint="--source")
    with progress() as shown:
        setting = setting_of(where, shown, landing=False, packages=pipeline.packages)
        found = losses_of(setting, table, source)
        if not plan_only:
            accept_losses(setting, table, found, by=who(), reason=(reason or "").strip())
    title = "would go on behind this" if plan_only else "goes on behind this when its query is started next"
    return Answer(list(_rows(found)), title=f"{bronze} {title}")


def _rows(losses: Iterable[Loss]) -> Iterable[dict[str, object]]:
    for loss in losses:
        for part, missing in loss.lost.missing.items():
            stands, begins = loss.stands.stands.get(part), loss.lost.begins.get(part)
            yield {"source": loss.source, "partition": part, "lost": missing, "stands": stands, "goes_on": begins}
