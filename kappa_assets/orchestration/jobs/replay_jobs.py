"""The op jobs that go back: `replay`, `promote`, `rollback`, `discard`. Configured in the Launchpad."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

from kappa_assets.graph import Pipeline
from kappa_assets.names import TableName
from kappa_assets.orchestration.folders import Folders
from kappa_assets.orchestration.jobs.replay_config import DiscardConfig, PromoteConfig, ReplayConfig, RollbackConfig
from kappa_assets.orchestration.jobs.switch import Switch
from kappa_assets.orchestration.resources import KappaSpark
from kappa_assets.orchestration.run_log import as_run
from kappa_assets.orchestration.shown.render import compared_events, observed, parts_of, table_of, tables_of, verdict_of
from kappa_assets.place.registry import Release

if TYPE_CHECKING:
    from kappa_assets.replay import ReplayResult


def replay_job(folders: Folders, pipeline: Pipeline) -> dg.JobDefinition:
    """Return the job that builds tables anew beside the live ones, compares, and promotes or holds them."""

    @dg.op(name="replay_tables", out=dg.Out(dg.Nothing), description="Plans, builds, compares; promotes or holds.")
    def replay_tables(context: dg.OpExecutionContext, config: ReplayConfig, spark: KappaSpark) -> None:
        from kappa_assets.replay import plan_replay, run_replay

        switch = Switch(context.instance, context.run_id, None)
        with _terminated_as_such(switch), as_run(context) as say:
            plan = plan_replay(
                folders.lake(),
                pipeline,
                [TableName.parse(t) for t in config.tables],
                from_version=config.from_version,
                from_time=config.from_time,
                to_version=config.to_version,
                to_time=config.to_time,
            )
            say(plan.text + _lines(plan.rows()))
            for table in plan.tables:
                context.log_event(observed(table, plan.text, {"plan": table_of(plan.rows())}))
            result = run_replay(
                spark.setting(folders, pipeline, cores=config.cores, background=True),
                pipeline,
                plan,
                promote=config.promote,
                limits=config.limits.limits(),
                max_bytes_per_batch=config.max_bytes_per_batch,
                progress=say,
                wanted=switch,
            )
            _show_comparison(context, result)
            live = f", release {result.release}" if result.release is not None else ""
            say(f"{result.id} is {result.state}{live}")

    @dg.job(
        name="replay",
        executor_def=dg.in_process_executor,
        tags={"kappa/replay": pipeline.name},
        description=(
            "Rewind and play: builds a table and everything downstream from the tape, beside the live tables, with "
            "the logic that is deployed; compares; then promotes, or holds for the job promote. The streams go on."
        ),
    )
    def replay() -> None:
        replay_tables()

    return replay


def promote_job(folders: Folders, pipeline: Pipeline) -> dg.JobDefinition:
    """Return the job that makes a held replay live."""

    @dg.op(
        name="promote_replay", out=dg.Out(dg.Nothing), description="Drains the last of the tape, then makes a release."
    )
    def promote_held(context: dg.OpExecutionContext, config: PromoteConfig, spark: KappaSpark) -> None:
        from kappa_assets.replay import promote_replay

        switch = Switch(context.instance, context.run_id, None)
        with _terminated_as_such(switch), as_run(context) as say:
            release = promote_replay(
                spark.setting(folders, pipeline),
                pipeline,
                config.replay_id,
                force=config.force,
                progress=say,
                wanted=switch,
            )
            say(f"release {release.number} is live: {_release(release)}")

    @dg.job(
        name="promote",
        executor_def=dg.in_process_executor,
        description="Makes the candidates of a held replay live, all at once. Roll back with the job rollback.",
    )
    def promote() -> None:
        promote_held()

    return promote


def rollback_job(folders: Folders) -> dg.JobDefinition:
    """Return the job that selects an earlier release. It starts no Spark."""

    @dg.op(
        name="select_release", out=dg.Out(dg.Nothing), description="Selects an earlier release; one registry commit."
    )
    def select_release(context: dg.OpExecutionContext, config: RollbackConfig) -> None:
        from kappa_assets.log.releases import stuck_remark
        from kappa_assets.place.registry import Registry
        from kappa_assets.replay import rollback as roll_back

        with as_run(context) as say:
            reason = config.reason or f"job rollback, run {context.run_id}"
            lake = folders.lake()
            release = roll_back(lake, config.release, reason=reason)
            say(f"release {release.number} is live: {_release(release)}")
            if remark := stuck_remark(lake, Registry(lake).state(), release):
                context.log.warning(remark)

    @dg.job(
        name="rollback",
        executor_def=dg.in_process_executor,
        description="Readers see an earlier release at once: the previous one, or the one named. Its tables move on "
        "when the code that wrote them is deployed.",
    )
    def rollback() -> None:
        select_release()

    return rollback


def discard_job(folders: Folders) -> dg.JobDefinition:
    """Return the job that gives up a replay. It starts no Spark."""

    @dg.op(name="discard_replay", out=dg.Out(dg.Nothing), description="Deletes the candidates of a replay.")
    def give_up(context: dg.OpExecutionContext, config: DiscardConfig) -> None:
        from kappa_assets.replay import discard_replay

        with as_run(context) as say:
            discard_replay(folders.lake(), config.replay_id)
            say(f"{config.replay_id} is discarded, with all it wrote")

    @dg.job(
        name="discard",
        executor_def=dg.in_process_executor,
        description="Gives up a replay that is held, or died, with all it wrote. What is live is not touched.",
    )
    def discard() -> None:
        give_up()

    return discard


@contextmanager
def _terminated_as_such(switch: Switch) -> Iterator[None]:
    """End a run that was stopped because somebody terminated it as terminated, not as failed."""
    try:
        yield
    except dg.Failure:
        if switch.terminated:
            raise dg.DagsterExecutionInterruptedError from None
        raise


def _show_comparison(context: dg.OpExecutionContext, result: "ReplayResult") -> None:
    """Show the comparison as tables with the run, and on each asset, there as a picture too."""
    for event in compared_events(result):
        context.log_event(event)
    stored = result.comparison.facts()
    facts = {"replay": result.id, "state": result.state, "verdict": verdict_of(result)}
    context.add_output_metadata({**facts, "comparison": table_of(stored["tables"]), **tables_of(parts_of(stored))})


def _lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join("\n" + ", ".join(f"{k} {v}" for k, v in row.items() if v is not None) for row in rows)


def _release(release: Release) -> str:
    return ", ".join(f"{table} g{number}" for table, number in release.tables.items())
