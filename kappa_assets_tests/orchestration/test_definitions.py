"""What Dagster loads: complete, quick, and without a JVM."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from kappa_assets.health import checks_of
from kappa_assets.names import TableName
from kappa_assets.orchestration.build import build_definitions
from kappa_assets.pipelines.retail import pipeline

REPOSITORY = Path(__file__).parents[2]
SALES = dg.AssetKey(["silver", "sales"])

LOAD = """
import time
import kappa_assets.definitions as d
took = time.process_time()  # of this process alone, whatever else the machine does
from pyspark import SparkContext
assert SparkContext._gateway is None, "a JVM was started"
assert took < 15, f"loading took {took:.1f} CPU seconds"
print(sorted(s.name for s in d.defs.get_repository_def().sensor_defs))
"""


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    folder = tmp_path_factory.mktemp("place")
    return build_definitions(pipeline, lake=folder / "lake", landing=folder / "landing")


def test_definitions_load_without_a_jvm_and_without_touching_the_disk(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOAD],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "KAPPA_PIPELINE": "kappa_assets.pipelines.retail"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == "['retail_feed', 'retail_lineage', 'retail_replay', 'retail_stream']"
    assert list(tmp_path.iterdir()) == []


def test_definitions_on_kafka_read_topics_and_have_a_feed_that_sends_to_them(tmp_path: Path) -> None:
    told = "print([b.source.label for b in d.pipeline.bronzes]); print(d.pipeline.start)"
    found = subprocess.run(
        [sys.executable, "-c", f"import kappa_assets.definitions as d; {told}; print(d.defs.sensors[-1].description)"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "KAPPA_PIPELINE": "kappa_assets.pipelines.retail",
            "KAPPA_SOURCE": "kafka",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert "['kafka:customer_changes', 'kafka:invoices']" in found.stdout
    assert dt.datetime.now(dt.UTC).date().isoformat() in found.stdout, "its first slice is today's"
    assert "to two topics every few seconds" in found.stdout
    assert list(tmp_path.iterdir()) == []


def test_definitions_without_a_pipeline_are_refused_because_a_guess_would_write_into_somebodys_lake() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import kappa_assets.definitions"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    assert "PipelineNotFound: KAPPA_PIPELINE is not set" in found.stderr


def test_every_table_is_an_asset_that_can_be_materialized(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    assert graph.materializable_asset_keys == {dg.AssetKey(t.name.key) for t in pipeline}


def test_bronze_and_row_by_row_silver_have_a_partition_per_day_up_to_today_and_others_have_none(
    definitions: dg.Definitions,
) -> None:
    graph = definitions.resolve_asset_graph()
    sliced = {str(t.name) for t in pipeline if graph.get(dg.AssetKey(t.name.key)).partitions_def is not None}
    assert sliced == {"bronze.customer_changes", "bronze.invoices", "silver.sales"}
    partitions = graph.get(SALES).partitions_def
    assert partitions is not None
    assert partitions.get_first_partition_key() == pipeline.start.isoformat()
    assert partitions.get_last_partition_key() == dt.datetime.now(dt.UTC).date().isoformat()


def test_an_asset_tells_what_it_is_where_it_lies_and_where_it_is_declared(definitions: dg.Definitions) -> None:
    sales = definitions.resolve_asset_graph().get(SALES)
    table = pipeline[TableName.parse("silver.sales")]
    assert sales.description == table.description
    assert sales.kinds == {"deltalake", "pyspark", "silver"}
    assert sales.group_name == "retail"
    assert list(sales.owners) == list(table.owners)
    assert sales.code_version
    assert sales.metadata["dagster/table_name"] == "silver.sales"
    assert str(sales.metadata["dagster/uri"]).endswith("/lake/silver/sales")
    (source,) = sales.metadata["dagster/code_references"].code_references
    assert source.file_path == table.origin.file
    assert source.label == f"silver.py:{table.origin.line}"


def test_every_table_has_the_checks_of_its_layer(definitions: dg.Definitions) -> None:
    found = {(k.asset_key, k.name) for k in definitions.resolve_asset_graph().asset_check_keys}
    assert found == {(dg.AssetKey(t.name.key), name) for t in pipeline for name in checks_of(t)}


def test_the_switch_and_lineage_run_by_default_and_nothing_is_replayed_unasked(definitions: dg.Definitions) -> None:
    sensors = {s.name: s.default_status for s in definitions.get_repository_def().sensor_defs}
    running, stopped = dg.DefaultSensorStatus.RUNNING, dg.DefaultSensorStatus.STOPPED
    assert sensors == {"retail_stream": running, "retail_lineage": running, "retail_replay": stopped}


def test_what_materialize_may_be_told_is_explained(definitions: dg.Definitions) -> None:
    schema = definitions.resolve_implicit_global_asset_job_def().run_config_schema.config_type
    options = schema.fields["resources"].config_type.fields["replay"].config_type.fields["config"].config_type.fields  # type: ignore[attr-defined]  # Dagster types them by their base
    assert set(options) == {"mode", "bronze_version", "promote", "limits", "max_bytes_per_batch", "cores"}
    assert all(option.description for option in options.values())


def test_the_jobs_say_what_they_do_and_every_setting_is_explained(definitions: dg.Definitions) -> None:
    jobs = {j.name: j for j in definitions.get_repository_def().get_all_jobs() if not j.name.startswith("__")}
    assert set(jobs) == {"stream", "drain", "replay", "promote", "rollback", "discard", "maintain"}
    for job in jobs.values():
        assert job.description
        for node in job.all_node_defs:
            if isinstance(node, dg.OpDefinition):
                field = node.config_schema.as_field()
                settings = getattr(field.config_type, "fields", {}) if field is not None else {}
                assert all(setting.description for setting in settings.values())
    assert jobs["stream"].tags["kappa/stream"] == "retail"
