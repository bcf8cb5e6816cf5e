"""The command that keeps a lake fast and small: maintain. It starts no Spark."""

from __future__ import annotations

import click

from kappa_assets.cli.answer import Answer
from kappa_assets.cli.command import Where, command
from kappa_assets.cli.progress import progress, stop_request


@command
@click.option(
    "--keep-releases",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="So many of the newest releases stay, besides those that are younger than the days kept.",
)
@click.option(
    "--keep-days",
    type=click.IntRange(min=7),
    default=7,
    show_default=True,
    help="What a table has removed stays on disk for so many days, and longer where a reader is behind; what a Gold "
    "has replaced for 6 hours. A table's keep= says otherwise.",
)
@click.option(
    "--keep-commits",
    type=click.IntRange(min=100),
    default=1_000,
    show_default=True,
    help="So many of the newest entries of each log stay at most, and more where a reader is behind.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
def maintain(
    where: Where,
    keep_releases: int,
    keep_days: int,
    keep_commits: int,
    dry_run: bool,  # noqa: FBT001 -- click passes it by name
) -> Answer:
    """Merge small files, and remove what nothing needs any more.

    Safe while streams and replays run. Small files of finished days become few; files that no reader still needs,
    old log entries, and generations of old releases go.
    """
    from kappa_assets.maintenance import Policy
    from kappa_assets.maintenance.one_run import maintain as do_maintain
    from kappa_assets.maintenance.one_run import preview

    lake, pipeline, policy = where.lake(), where.pipeline(), Policy(keep_releases, keep_days, keep_commits)
    if dry_run:
        found = preview(lake, pipeline, policy)
        return Answer([u.row() for u in found], title="what maintenance would do" if found else "nothing to do")
    with stop_request() as stop, progress() as shown:
        done = do_maintain(lake, pipeline, policy, progress=shown.say, wanted=stop)
    return Answer([u.row() for u in done], title="what was done" if done else "nothing to do")
