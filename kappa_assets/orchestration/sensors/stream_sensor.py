"""`<pipeline>_stream`: the on/off switch of the streams. On: a host lives, or a run is asked for. Starts no JVM."""

from collections.abc import Iterator

import dagster as dg

from kappa_assets.graph import Pipeline
from kappa_assets.host.host_status import host_alive, read_beat, read_status
from kappa_assets.host.host_watch import HostWatch
from kappa_assets.orchestration.folders import Folders
from kappa_assets.orchestration.sensors.stream_decision import RunSeen, Seen, decide
from kappa_assets.orchestration.sensors.ticks import TICK_SECONDS, instance_of
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.machine import Moment

STREAM_TAG = "kappa/stream"
_LOOK_AT = 8


def switch_name(pipeline: Pipeline) -> str:
    """Return the name of the sensor that is the pipeline's switch."""
    return f"{pipeline.name}_stream"


def stream_sensor(
    folders: Folders, pipeline: Pipeline, job: dg.JobDefinition, watch: HostWatch | None = None
) -> dg.SensorDefinition:
    """Return the switch of a pipeline's streams; on by default. `watch` remembers the host from tick to tick."""
    host_watch = watch or HostWatch()

    @dg.sensor(
        name=switch_name(pipeline),
        job=job,
        minimum_interval_seconds=TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            f"The on/off switch of {pipeline.name}'s streams. On: sees to it that a host runs, and brings it back when "
            "it dies. Off: the host finishes its batch and stops within 15 seconds. A run that was terminated stays so "
            "until the switch is turned off and on."
        ),
    )
    def keep_streaming(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        instance = instance_of(context)
        on = context.last_sensor_start_time
        decision = decide(look(instance, folders.lake(), pipeline, host_watch, switched_on=on))
        for run_id, why in decision.fail.items():
            run = instance.get_run_by_id(run_id)
            if run is not None and not run.is_finished:
                instance.report_run_failed(run, f"The stream sensor found that this run is dead: {why}.")
        if decision.ask is None:
            yield dg.SkipReason(decision.reason)
        else:
            context.log.info(decision.reason)
            yield dg.RunRequest(run_key=decision.ask, tags={"kappa/why": decision.reason[:200]})

    return keep_streaming


def look(
    instance: dg.DagsterInstance, lake: Lake, pipeline: Pipeline, watch: HostWatch, *, switched_on: float | None
) -> Seen:
    """Return what there is to see: the lock, the heartbeat, and the latest runs of the stream job."""
    # The lock is looked at first: a host that comes or goes in between shows in its words.
    holder = host_alive(lake)
    judged = watch.judge(holder, read_beat(lake))
    status = read_status(lake)
    wanted = dg.RunsFilter(tags={STREAM_TAG: pipeline.name})
    records = instance.get_run_records(wanted, limit=_LOOK_AT)
    runs = tuple(_run(instance, r) for r in records)
    failed = runs and runs[0].status == "FAILURE" and holder is None
    return Seen(
        moment=Moment.now(),
        holder=holder,
        judged=judged,
        status=status,
        runs=runs,
        switched_on=switched_on,
        last_error=_error(instance, runs[0].id) if failed else "",
    )


def _run(instance: dg.DagsterInstance, record: dg.RunRecord) -> RunSeen:
    run = record.dagster_run
    return RunSeen(
        id=run.run_id,
        status=run.status.value,
        created=record.create_timestamp.timestamp(),
        started=record.start_time,
        ended=record.end_time,
        terminated=_terminated(instance, run.run_id) if run.status is dg.DagsterRunStatus.CANCELED else None,
    )


def _terminated(instance: dg.DagsterInstance, run_id: str) -> float | None:
    """Return when somebody asked to terminate the run."""
    found = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.RUN_CANCELING, limit=1).records
    return found[0].timestamp if found else None


def _error(instance: dg.DagsterInstance, run_id: str) -> str:
    """Return the first line of what made the run fail."""
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    for record in instance.get_records_for_run(run_id, of_type=kinds, limit=1).records:
        event = record.event_log_entry.dagster_event
        failure = None if event is None else getattr(event.event_specific_data, "error", None)
        cause = failure.cause or failure if failure else None
        text = cause.message if cause else (event.message if event else "")
        return (text or "").strip().splitlines()[0][:300] if (text or "").strip() else ""
    return ""
