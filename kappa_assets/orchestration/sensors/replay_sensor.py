"""`<pipeline>_replay`: launches the replay of tables whose deployed logic did not write them. Off by default."""

import hashlib
import json

import dagster as dg

from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.graph import Pipeline
from kappa_assets.names import TableName
from kappa_assets.orchestration.folders import Folders
from kappa_assets.place.registry import Registry, State


def changed_tables(pipeline: Pipeline, state: State) -> dict[TableName, str]:
    """Return the tables to replay, with their deployed logic: those that changed, with nothing changed above them."""
    changed = {}
    for table in pipeline.derived:
        live = state.live(table.name)
        deployed = code_version(table)
        if live is not None and live.code_version != deployed and table.on_change == "replay":
            changed[table.name] = deployed
    below = {name for table in changed for name in pipeline.downstream(table)}
    return {name: deployed for name, deployed in changed.items() if name not in below}


def replay_sensor(folders: Folders, pipeline: Pipeline, replay: dg.JobDefinition) -> dg.SensorDefinition:
    """Return the sensor; when somebody turns it on, changed logic is replayed once, and held for a person."""

    @dg.sensor(
        name=f"{pipeline.name}_replay",
        job=replay,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=(
            f"When the deployed logic of a table of {pipeline.name} is not the one that wrote it: launches the job "
            "replay for it, from inception, once for each logic, and holds the result for the job promote."
        ),
    )
    def launch(_: dg.SensorEvaluationContext) -> dg.SensorResult:
        state = Registry(folders.lake()).state()
        changed = changed_tables(pipeline, state)
        if not changed:
            return dg.SensorResult(skip_reason="every live table was written by the deployed logic")
        names = [str(name) for name in changed]
        waiting = state.open_replay()
        if waiting is not None:
            return dg.SensorResult(
                skip_reason=f"the logic of {', '.join(names)} changed; replay {waiting.id} is {waiting.state}"
            )
        body = json.dumps({str(name): deployed for name, deployed in changed.items()}, sort_keys=True)
        run = dg.RunRequest(
            # A run key is used once: logic whose replay was discarded is not replayed again by itself.
            run_key=hashlib.sha256(body.encode()).hexdigest()[:16],
            run_config={"ops": {"replay_tables": {"config": {"tables": names, "promote": "hold"}}}},
            tags={"kappa/launched-by": f"{pipeline.name}_replay"},
        )
        return dg.SensorResult(run_requests=[run])

    return launch
