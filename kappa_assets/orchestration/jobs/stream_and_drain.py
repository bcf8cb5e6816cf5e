"""The op jobs that move data: `stream` runs until the switch is turned off, `drain` until everything is caught up."""

import dagster as dg

from kappa_assets.graph import Pipeline
from kappa_assets.orchestration.folders import Folders
from kappa_assets.orchestration.jobs.switch import Switch
from kappa_assets.orchestration.resources import KappaSpark
from kappa_assets.orchestration.run_log import as_run
from kappa_assets.orchestration.sensors.stream_sensor import STREAM_TAG, switch_name


def stream_job(folders: Folders, pipeline: Pipeline) -> dg.JobDefinition:
    """Return the job that is the host: one run streams until told to stop."""

    @dg.op(
        name="stream_tables",
        out=dg.Out(dg.Nothing),
        description=f"One Spark driver that runs the queries of {pipeline.name} until the switch is off.",
    )
    def stream_tables(context: dg.OpExecutionContext, spark: KappaSpark) -> None:
        from kappa_assets.host.host import Host

        switch = Switch(context.instance, context.run_id, switch_name(pipeline))
        with as_run(context) as say:
            off = switch()
            if off is not None:
                say(f"not started: {off}")
                return
            host = Host(spark.setting(folders, pipeline, live=True), pipeline, wanted=switch, run_id=context.run_id)
            say(f"streaming {', '.join(map(str, pipeline.tables))}")
            ended = host.stream()
            say(f"ended: {ended.reason}" + ("; the sensor starts a new one" if ended.restart else ""))
        _end_as_terminated(switch)

    @dg.job(
        name="stream",
        # Before the runs of a backfill, which have priority 0.
        tags={STREAM_TAG: pipeline.name, "dagster/priority": "10"},
        executor_def=dg.in_process_executor,
        description=f"The streams of {pipeline.name}. Started by the sensor {switch_name(pipeline)}, its switch.",
    )
    def stream() -> None:
        stream_tables()

    return stream


def drain_job(folders: Folders, pipeline: Pipeline) -> dg.JobDefinition:
    """Return the job that brings every table up to what has landed, once."""

    @dg.op(
        name="drain_tables",
        out=dg.Out(dg.Nothing),
        description="Runs every query, upstream first, until it has caught up with what has landed.",
    )
    def drain_tables(context: dg.OpExecutionContext, spark: KappaSpark) -> None:
        from kappa_assets.host.host import Host

        switch = Switch(context.instance, context.run_id, None)
        with as_run(context) as say:
            host = Host(spark.setting(folders, pipeline), pipeline, wanted=switch, run_id=context.run_id)
            say(f"ended: {host.drain().reason}")
        _end_as_terminated(switch)

    @dg.job(
        name="drain",
        executor_def=dg.in_process_executor,
        description=f"Brings every table of {pipeline.name} up to what has landed, and ends. For when no stream runs.",
    )
    def drain() -> None:
        drain_tables()

    return drain


def _end_as_terminated(switch: Switch) -> None:
    """End the run as Terminate would have, when its status said so and no signal came."""
    if switch.terminated:
        raise dg.DagsterExecutionInterruptedError
