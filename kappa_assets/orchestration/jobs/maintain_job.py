"""The op job `maintain` and its schedule: small files merged, what nothing needs removed. It starts no Spark."""

import dagster as dg
from pydantic import Field

from kappa_assets.graph import Pipeline
from kappa_assets.orchestration.folders import Folders
from kappa_assets.orchestration.jobs.switch import Switch
from kappa_assets.orchestration.run_log import as_run
from kappa_assets.orchestration.shown.render import table_of


class MaintainConfig(dg.Config):
    """What stays, and what is done."""

    keep_releases: int = Field(
        default=3,
        ge=1,
        description="So many of the newest releases stay, besides the current one and those younger than keep_days. "
        "The tables of older ones are deleted; a rollback to them is refused.",
    )
    keep_days: int = Field(
        default=7,
        ge=7,
        description="What a table has removed stays on disk for so many days, 7 at least, and longer where a live "
        "table or a candidate has not read it yet. An older release that has not either is marked: needs replay. What "
        "a Gold has replaced stays for 6 hours. A table's keep= says otherwise.",
    )
    keep_commits: int = Field(
        default=1_000,
        ge=100,
        description="So many of the newest entries of each table's log stay at most, and more where a live table or a "
        "candidate has not read them: every look for new data lists them all. Raise it when streams of your own read "
        "these tables and may be down for longer than so many commits take.",
    )
    optimize: bool = Field(
        default=True, description="Merge the small files of finished days. Rows and values stay as they are."
    )
    vacuum: bool = Field(default=True, description="Remove files and log entries that nothing needs any more.")


def maintain_job(folders: Folders, pipeline: Pipeline) -> dg.JobDefinition:
    """Return the job that keeps a lake fast and small, beside running streams and replays."""

    @dg.op(
        name="maintain_tables",
        out=dg.Out(dg.Nothing),
        description="Merges small files; removes what no live table, candidate or kept release needs.",
    )
    def maintain_tables(context: dg.OpExecutionContext, config: MaintainConfig) -> None:
        from kappa_assets.maintenance import Policy
        from kappa_assets.maintenance.one_run import maintain

        wanted = Switch(context.instance, context.run_id, None)
        with as_run(context) as say:
            policy = Policy(config.keep_releases, config.keep_days, config.keep_commits, config.optimize, config.vacuum)
            done = maintain(folders.lake(), pipeline, policy, progress=say, wanted=wanted)
            facts = {"bytes": sum(u.bytes for u in done), "steps": len(done)}
            shown = {"done": table_of([u.row() for u in done])} if done else {}
            context.add_output_metadata({**facts, **shown})
        if wanted.terminated:
            raise dg.DagsterExecutionInterruptedError

    @dg.job(
        name="maintain",
        executor_def=dg.in_process_executor,
        description=f"Keeps the lake of {pipeline.name} fast and small: merges small files of finished days, and "
        "removes files, log entries and generations that nothing needs. Streams and replays go on.",
    )
    def maintain_() -> None:
        maintain_tables()

    return maintain_


def maintain_schedule(pipeline: Pipeline, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Return the schedule that runs maintenance each hour; on by default."""
    return dg.ScheduleDefinition(
        name=f"{pipeline.name}_maintenance",
        job=job,
        cron_schedule="5 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Each hour: logs kept short, small files of finished days merged, unneeded ones removed. Turn it "
        "off and the lake grows, and with its logs the time of each batch.",
    )
