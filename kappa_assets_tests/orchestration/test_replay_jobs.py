"""The replay jobs as the Launchpad starts them: their configuration, their tables, and how they end."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kappa_assets import replay
from kappa_assets.errors import ReplayError
from kappa_assets.orchestration.build import build_definitions
from kappa_assets.orchestration.jobs import replay_config
from kappa_assets_tests.oracle import DAILY_REVENUE, oracle
from kappa_assets_tests.orchestration.given_spark import GivenSpark, messages
from kappa_assets_tests.retail_sales import pipeline

REVENUE = dg.AssetKey(["gold", "daily_revenue"])
RESOURCES = {"spark": GivenSpark(spark_config={})}


@pytest.fixture
def files(three_days: Path) -> list[Path]:
    """The files of a drained lake, a batch each."""
    return sorted((three_days / "landing" / "invoices").iterdir())


@pytest.fixture
def definitions(three_days: Path) -> dg.Definitions:
    return build_definitions(pipeline, lake=three_days / "lake", landing=three_days / "landing")


def run(
    definitions: dg.Definitions, instance: dg.DagsterInstance, name: str, config: dict[str, Any] | None = None
) -> dg.ExecuteInProcessResult:
    job = definitions.resolve_job_def(name)
    settings = {"ops": {next(iter(job.graph.node_dict)): {"config": config}}} if config else {}
    return job.execute_in_process(settings, instance=instance, resources=RESOURCES, raise_on_error=False)


def rows_of(metadata: dict[str, Any], name: str) -> list[dict[str, Any]]:
    table = metadata[name]
    assert isinstance(table, dg.TableMetadataValue)
    return [dict(record.data) for record in table.records]


def test_a_validation_shows_plan_and_comparison_as_tables_and_never_goes_live(
    definitions: dg.Definitions, instance: dg.DagsterInstance, files: list[Path]
) -> None:
    asked = {
        "tables": ["gold.daily_revenue"],
        "to_version": 1,
        "promote": "auto",
        "limits": {"changed_share": 0.001, "lost_keys": 0, "rows_share": 0.01},
        "max_bytes_per_batch": "512m",
        "cores": 1,
    }
    found = run(definitions, instance, "replay", asked)
    assert found.success
    said = messages(instance, found.run_id)
    assert "replay from inception up to Bronze version 1, to be validated" in said
    assert "that are free, takes unknown, nothing was measured yet" in said
    assert " is validated" in said
    records = instance.fetch_observations(dg.AssetRecordsFilter(REVENUE), limit=10, ascending=True).records
    planned, compared = (dict(r.asset_observation.metadata) for r in records if r.asset_observation)
    assert [row["to_batch"] for row in rows_of(planned, "plan")] == [0]
    expected = oracle(files[:1]).daily_revenue
    totals = {row["measure"]: row for row in rows_of(compared, "totals and slices")}
    assert totals["rows"]["live"] == totals["rows"]["candidate"] == str(len(expected))
    assert Decimal(totals["revenue"]["candidate"]) == sum(row[DAILY_REVENUE.index("revenue")] for row in expected)
    assert compared["changed"].value == 0
    refused = run(definitions, instance, "promote", {"replay_id": compared["replay"].value, "force": True})
    assert not refused.success
    assert "never goes live: it ends with to_version 1" in messages(instance, refused.run_id)
    assert run(definitions, instance, "discard", {"replay_id": compared["replay"].value}).success


def test_a_replay_that_is_terminated_ends_as_terminated(
    definitions: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, wanted: Any, **__: object) -> None:
        (record,) = instance.get_run_records(dg.RunsFilter(job_name="replay"))
        instance.report_run_canceling(record.dagster_run)
        wanted._next_look = 0.0
        raise ReplayError(f"the replay was stopped: {wanted()}")

    monkeypatch.setattr(replay, "run_replay", stopped)
    run(definitions, instance, "replay", {"tables": ["gold.daily_revenue"]})
    (record,) = instance.get_run_records(dg.RunsFilter(job_name="replay"))
    assert record.dagster_run.status is dg.DagsterRunStatus.CANCELED


@pytest.mark.parametrize("config", [c for c in vars(replay_config).values() if isinstance(c, type)])
def test_every_field_of_the_launchpad_is_explained(config: type) -> None:
    if issubclass(config, dg.Config):
        assert all(field.description for field in config.model_fields.values())
