"""Every table as an asset: what it is, where it lies, how it looks, and what pressing Materialize does."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from kappa_assets.declare.tables import Table
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.graph import Pipeline
from kappa_assets.kinds.known_kinds import is_sliced
from kappa_assets.orchestration.catch_up import as_result
from kappa_assets.orchestration.folders import Folders
from kappa_assets.orchestration.rebuild import Rebuild
from kappa_assets.orchestration.replay_options import ReplayOptions
from kappa_assets.orchestration.resources import KappaSpark
from kappa_assets.orchestration.run_log import as_run
from kappa_assets.orchestration.shown.shown_columns import columns_of
from kappa_assets.place.local.lake import Lake


def slices_of(pipeline: Pipeline) -> dg.DailyPartitionsDefinition:
    """Return the partitions of Bronze and Silver: one per day of arrival, UTC, today's too, which is still growing."""
    start = dt.datetime.combine(pipeline.start, dt.time(), dt.UTC)
    return dg.DailyPartitionsDefinition(start, timezone="UTC", end_offset=1)


def table_spec(folders: Folders, pipeline: Pipeline, table: Table) -> dg.AssetSpec:
    """Return what Dagster shows of a table. Reads the columns of one that has been written already."""
    lake = Lake(folders.root)
    metadata: dict[str, Any] = {
        "dagster/table_name": str(table.name),
        "dagster/uri": lake.shown(table.name).uri,
        "dagster/code_references": dg.CodeReferencesMetadataValue(
            code_references=[
                dg.LocalFileCodeReference(
                    file_path=table.origin.file,
                    line_number=table.origin.line,
                    label=f"{Path(table.origin.file).name}:{table.origin.line}",
                )
            ]
        ),
    }
    metadata |= {
        f"kappa/{what}": ", ".join(columns) for what in ("keys", "by") if (columns := getattr(table, what, ()))
    }
    columns = columns_of(lake.shown(table.name), table.columns) or columns_of(lake.table(table.name), table.columns)
    if columns is not None:
        metadata["dagster/column_schema"] = columns
    return dg.AssetSpec(
        key=dg.AssetKey(table.name.key),
        deps=[dg.AssetKey(upstream.key) for upstream in pipeline.upstreams.get(table.name, ())],
        description=table.description or None,
        group_name=pipeline.name,
        code_version=code_version(table),
        owners=list(table.owners),
        tags=dict(table.tags),
        kinds={"deltalake", "pyspark", table.name.layer.value},
        metadata=metadata,
        partitions_def=slices_of(pipeline) if is_sliced(table) else None,
        skippable=True,
    )


def table_asset(folders: Folders, pipeline: Pipeline, table: Table, max_slices_per_run: int) -> dg.AssetsDefinition:
    """Return one table as an asset. Materialize catches up, repairs slices, or replays; the resource `replay` says."""
    policy = dg.BackfillPolicy.multi_run(max_slices_per_run) if is_sliced(table) else None

    @dg.multi_asset(
        name=f"{table.name.layer}_{table.name.name}",
        specs=[table_spec(folders, pipeline, table)],
        backfill_policy=policy,
        op_tags={"kappa/table": str(table.name)},
        pool=f"{pipeline.name}_tables",
    )
    def bring_up(
        context: dg.AssetExecutionContext, spark: KappaSpark, replay: ReplayOptions
    ) -> Iterator[dg.MaterializeResult[None]]:
        partitions = context.partition_keys if context.has_partition_key_range else [None]
        if context.has_partition_key:
            partitions = [context.partition_key]
        with as_run(context) as say:
            events = Rebuild(context, folders, pipeline, table, spark, replay, say).run(partitions)
        if events:
            # Without a result Dagster would skip what is downstream in the same run, or make up a data version.
            yield as_result(events[-1])
        if len(events) > 1:
            # The result was given to every slice of the range: now each gets its own provenance back.
            for event in events:
                context.log_event(event)

    return bring_up
