"""A pipeline as Dagster definitions: assets, checks, jobs, sensors, Spark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from kappa_assets.graph import Pipeline
from kappa_assets.orchestration.asset_checks import table_checks
from kappa_assets.orchestration.assets import table_asset
from kappa_assets.orchestration.beta_warnings import beta_used_knowingly
from kappa_assets.orchestration.folders import Folders
from kappa_assets.orchestration.jobs.maintain_job import maintain_job, maintain_schedule
from kappa_assets.orchestration.jobs.replay_jobs import discard_job, promote_job, replay_job, rollback_job
from kappa_assets.orchestration.jobs.stream_and_drain import drain_job, stream_job
from kappa_assets.orchestration.replay_options import ReplayOptions
from kappa_assets.orchestration.resources import KappaSpark
from kappa_assets.orchestration.sensors.lineage_sensor import lineage_sensor
from kappa_assets.orchestration.sensors.replay_sensor import replay_sensor
from kappa_assets.orchestration.sensors.stream_sensor import stream_sensor


def build_definitions(
    pipeline: Pipeline,
    *,
    lake: Path | str,
    landing: Path | str,
    cores: int | None = None,
    memory: str | None = None,
    extra_sensors: Sequence[dg.SensorDefinition] = (),
    max_slices_per_run: int = 366,
) -> dg.Definitions:
    """Return everything Dagster needs to show and steer `pipeline`.

    Args:
        lake: folder of the lake; made when something first needs it.
        landing: folder below which the sources' folders lie.
        cores: threads of a Spark driver; None: all of the machine's.
        memory: heap of a driver's JVM, such as "2g"; None: Spark's 1g.
        extra_sensors: sensors to load beside the pipeline's own.
        max_slices_per_run: slices that one run of a backfill repairs; above it Dagster splits the range.

    No JVM is started, here or by a sensor.
    """
    with beta_used_knowingly():
        spark = KappaSpark(spark_config={}, cores=cores, memory=memory)
        definitions = _build(pipeline, lake, landing, spark, extra_sensors, max_slices_per_run)
        definitions.get_repository_def()  # resolved here, where what is declared wrongly is found, and kept
        return definitions


def _build(
    pipeline: Pipeline,
    lake: Path | str,
    landing: Path | str,
    spark: KappaSpark,
    extra_sensors: Sequence[dg.SensorDefinition],
    max_slices_per_run: int,
) -> dg.Definitions:
    folders = Folders(Path(lake).expanduser().absolute(), Path(landing).expanduser().absolute())
    assets = [table_asset(folders, pipeline, table, max_slices_per_run) for table in pipeline]
    undescribed = frozenset(
        table.name
        for table, asset in zip(pipeline, assets, strict=True)
        if "dagster/column_schema" not in asset.metadata_by_key[dg.AssetKey(table.name.key)]
    )
    stream, maintain, replay = (
        stream_job(folders, pipeline),
        maintain_job(folders, pipeline),
        replay_job(folders, pipeline),
    )
    return dg.Definitions(
        assets=assets,
        asset_checks=[table_checks(folders, pipeline, table) for table in pipeline],
        jobs=[
            stream,
            drain_job(folders, pipeline),
            replay,
            promote_job(folders, pipeline),
            rollback_job(folders),
            discard_job(folders),
            maintain,
        ],
        schedules=[maintain_schedule(pipeline, maintain)],
        sensors=[
            stream_sensor(folders, pipeline, stream),
            lineage_sensor(folders, pipeline, undescribed),
            replay_sensor(folders, pipeline, replay),
            *extra_sensors,
        ],
        resources={"spark": spark, "replay": ReplayOptions.configure_at_launch()},
        # In one process: the steps of a run share one JVM.
        executor=dg.in_process_executor,
    )
