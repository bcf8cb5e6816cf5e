"""`kappa repair`: chosen slices of a Silver done over in place, with the logic that wrote them."""

from __future__ import annotations

import datetime as dt

import click

from kappa_assets.cli.answer import Answer
from kappa_assets.cli.command import TableArgument, Where, command, setting_of
from kappa_assets.cli.progress import progress, stop_request
from kappa_assets.names import Layer, TableName

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
        setting = setting_of(where, shown, landing=False, cores=cores, background=True)
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
