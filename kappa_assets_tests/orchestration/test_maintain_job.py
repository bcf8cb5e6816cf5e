"""The job `maintain` on a lake written without Spark, and the schedule that runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from deltalake import DeltaTable

import kappa_assets.orchestration
from kappa_assets.orchestration.build import build_definitions
from kappa_assets_tests.maintenance.hand_lake import MONDAY, HandLake
from kappa_assets_tests.written_logs import CLICKS, PIPELINE


@pytest.fixture
def hand(lake_path: Path) -> HandLake:
    made = HandLake(lake_path)
    for _ in range(5):
        made.land(MONDAY)
    return made


def run(hand: HandLake, config: dict[str, Any]) -> dg.ExecuteInProcessResult:
    definitions = build_definitions(PIPELINE, lake=hand.lake.root, landing=hand.lake.root)
    job = definitions.resolve_job_def("maintain")
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(
            run_config={"ops": {"maintain_tables": {"config": config}}}, instance=instance, raise_on_error=False
        )


def test_the_job_merges_files_and_shows_what_it_did_as_a_table(hand: HandLake) -> None:
    before = hand.rows(CLICKS)
    result = run(hand, {})
    assert result.success
    metadata = next(e for e in result.all_events if e.is_step_materialization or e.event_type_value == "STEP_OUTPUT")
    shown = metadata.step_output_data.metadata["done"]
    assert isinstance(shown, dg.TableMetadataValue)
    assert [dict(r.data) | {"bytes": 0} for r in shown.records] == [
        {"table": "bronze.clicks", "what": "optimize 1 slices", "files_before": 5, "files_after": 1, "bytes": 0}
    ]
    assert hand.rows(CLICKS) == before
    assert len(DeltaTable(hand.folder(CLICKS)).file_uris()) == 1


def test_less_than_a_week_is_refused_before_anything_is_done(hand: HandLake) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError):
        run(hand, {"keep_days": "six"})
    assert not run(hand, {"keep_days": 6}).success
    assert len(DeltaTable(hand.folder(CLICKS)).file_uris()) == 5


def test_maintenance_runs_each_hour_unless_somebody_turns_it_off(hand: HandLake) -> None:
    definitions = build_definitions(PIPELINE, lake=hand.lake.root, landing=hand.lake.root)
    schedule = definitions.resolve_schedule_def("web_maintenance")
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert schedule.job_name == "maintain"
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("5 * * * *", "UTC")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def test_ticks_of_sensors_and_schedules_are_not_kept_for_ever() -> None:
    settings = yaml.safe_load((Path(kappa_assets.orchestration.__path__[0]) / "dagster.yaml").read_text())
    for kind in ("schedule", "sensor"):
        days = settings["retention"][kind]["purge_after_days"]
        assert set(days) == {"skipped", "started", "failure", "success"}
        assert all(0 < n <= 30 for n in days.values())
