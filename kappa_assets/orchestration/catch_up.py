"""What Materialize does to a table with the same logic: brings it up to the tape's end, through the one host."""

from __future__ import annotations

import time
from collections.abc import Sequence

import dagster as dg

from kappa_assets.declare.tables import Table
from kappa_assets.errors import HostRunning, KappaError
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.graph import Pipeline
from kappa_assets.host.host_status import QueryStatus, host_alive
from kappa_assets.log.generation_positions import live_position
from kappa_assets.log.note import Position
from kappa_assets.log.tape import Tape
from kappa_assets.orchestration.folders import Folders
from kappa_assets.orchestration.jobs.switch import Switch
from kappa_assets.orchestration.lineage.provenance import (
    DATA_VERSION,
    NO_POINTER,
    Input,
    data_version,
    kept_provenance,
    parse_data_version,
    provenance_tags,
)
from kappa_assets.orchestration.resources import KappaSpark
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry
from kappa_assets.status import living_host, query_statuses

_LOOK_EVERY = 0.5
_PATIENCE = 600.0
"""Seconds to wait for a living host to move a table at all before giving up."""


def catch_up(
    context: dg.AssetExecutionContext, folders: Folders, pipeline: Pipeline, table: Table, spark: KappaSpark
) -> str:
    """Bring the table to the tape's end as of now, and say how: drained here, or waited for the host that lives."""
    lake = folders.lake()
    switch = Switch(context.instance, context.run.run_id, None)
    while True:
        if host_alive(lake) is not None:
            said = _wait(lake, pipeline, table, switch)
            if said is not None:
                return said
        from kappa_assets.host.host import Host

        try:
            ended = Host(spark.setting(folders, pipeline), pipeline, wanted=switch, run_id=context.run.run_id).drain()
        except HostRunning:
            continue  # it came up meanwhile: wait for it
        if switch.terminated:
            raise dg.DagsterExecutionInterruptedError
        return f"no host ran; drained here: {ended.reason}"


def _wait(lake: Lake, pipeline: Pipeline, table: Table, switch: Switch) -> str | None:
    """Wait until the living host has brought the table to the head of the tape as of now; None when the host ended."""
    tapes = [Tape(lake, name) for name in pipeline.tapes_of(table.name)]
    targets = [tape.head() for tape in tapes]
    deadline, best = time.monotonic() + _PATIENCE, [Position(-2, -2) for _ in tapes]
    while (holder := host_alive(lake)) is not None:
        if switch() is not None:
            raise dg.DagsterExecutionInterruptedError
        state = Registry(lake).state()
        reached = [live_position(lake, state, table.name, tape) for tape in tapes]
        if all(position >= target for position, target in zip(reached, targets, strict=True)):
            return f"the host streams ({holder}); {table.name} is at {_listed(reached)}"
        _refuse_stuck(query_statuses(living_host(lake)).get(str(table.name)))
        if any(position > before for position, before in zip(reached, best, strict=True)):
            deadline, best = time.monotonic() + _PATIENCE, reached
        if time.monotonic() > deadline:
            raise KappaError(
                f"{table.name} has stayed at {_listed(reached)} for {_PATIENCE:.0f} s; the tape's head was "
                f"{_listed(targets)}",
                hint="Look at the run of the job stream, and at the check stream_healthy.",
            )
        time.sleep(_LOOK_EVERY)
    return None


def _listed(positions: Sequence[Position]) -> str:
    return "; ".join(map(str, positions))


def _refuse_stuck(query: QueryStatus | None) -> None:
    if query is not None and query.state in ("held", "parked"):
        raise KappaError(
            f"{query.table} is {query.state} by the host: {query.error or 'no reason given'}",
            hint="Mend the cause, then turn the stream's switch off and on; changed logic needs the job replay.",
        )


def caught_up_events(
    instance: dg.DagsterInstance,
    lake: Lake,
    pipeline: Pipeline,
    table: Table,
    partitions: Sequence[str | None],
    said: str,
) -> list[dg.AssetMaterialization]:
    """Return a run's own event for each slice that was asked for; none for a table that was not written yet.

    They repeat the provenance of what the lineage sensor reported last: the run wrote nothing that the sensor does
    not report, and another data version would make everything downstream look stale.
    """
    live = Registry(lake).state().live(table.name)
    generation = live.number if live and not table.name.is_tape else 1
    version = lake.table(table.name, generation).newest()
    if version is None:
        return []
    events = []
    key = dg.AssetKey(table.name.key)
    for partition in partitions:
        record = instance.get_latest_data_version_record(key, False, partition)
        event = None if record is None else record.asset_materialization
        tags = kept_provenance(event.tags or {}) if event else {}
        if parse_data_version(tags.get(DATA_VERSION)) is None:
            made = live.code_version if live else code_version(table)
            inputs = inputs_of(instance, pipeline, table, partition)
            tags = provenance_tags(data_version(generation, version), made, inputs)
        text = f"{tags[DATA_VERSION]}: {said}. What was written is reported by {pipeline.name}_lineage."
        facts: dict[str, int | str] = {"version": version, "generation": generation, "what happened": text}
        events.append(dg.AssetMaterialization(key, partition=partition, metadata=facts, tags=tags))
    return events


def as_result(event: dg.AssetMaterialization) -> dg.MaterializeResult[None]:
    """Return an event as the result of an asset's op, with its provenance in place of what Dagster assumes."""
    tags = dict(event.tags or {})
    version = tags.pop(DATA_VERSION)
    return dg.MaterializeResult(
        asset_key=event.asset_key, metadata=event.metadata, data_version=dg.DataVersion(version), tags=tags
    )


def inputs_of(instance: dg.DagsterInstance, pipeline: Pipeline, table: Table, partition: str | None) -> list[Input]:
    """Return what a slice was made from: the last that was reported of the same slice of each upstream."""
    upstreams = pipeline.upstreams.get(table.name, ())
    return [_last_reported(instance, dg.AssetKey(upstream.key), partition) for upstream in upstreams]


def _last_reported(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None) -> Input:
    record = instance.get_latest_data_version_record(key, False, partition)
    event = None if record is None else record.asset_materialization
    version = (event.tags or {}).get(DATA_VERSION, NO_POINTER) if event else NO_POINTER
    return Input(key, version, record.storage_id if record else None)
