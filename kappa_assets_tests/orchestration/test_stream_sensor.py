"""The switch as Dagster runs it: what it sees on a real instance, and what it leaves there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kappa_assets.host.host_status import Beat
from kappa_assets.host.host_watch import HostWatch, Judgement
from kappa_assets.orchestration.beta_warnings import beta_used_knowingly
from kappa_assets.orchestration.folders import Folders
from kappa_assets.orchestration.jobs.stream_and_drain import stream_job
from kappa_assets.orchestration.resources import KappaSpark
from kappa_assets.orchestration.sensors.stream_sensor import look, stream_sensor
from kappa_assets.place.local.leases.lock import Holder
from kappa_assets_tests.orchestration.conftest import beat
from kappa_assets_tests.written_logs import PIPELINE, WrittenLake

STATUS = dg.DagsterRunStatus


@pytest.fixture
def folders(web: WrittenLake, tmp_path: Path) -> Folders:
    return Folders(web.lake.root, tmp_path / "landing")


@pytest.fixture
def job(folders: Folders) -> dg.JobDefinition:
    with beta_used_knowingly():
        definitions = dg.Definitions(
            jobs=[stream_job(folders, PIPELINE)], resources={"spark": KappaSpark(spark_config={})}
        )
        return definitions.resolve_job_def("stream")


class Frozen(HostWatch):
    """Finds every host frozen."""

    def judge(self, holder: Holder | None, beat: Beat | None) -> Judgement:
        return Judgement("frozen", f"the kernel says that {holder and holder.pid} is stopped")


def tick(
    instance: dg.DagsterInstance,
    folders: Folders,
    job: dg.JobDefinition,
    *,
    on: float | None = None,
    watch: HostWatch | None = None,
) -> Any:
    with beta_used_knowingly():
        sensor = stream_sensor(folders, PIPELINE, job, watch)
        context = dg.build_sensor_context(instance, last_sensor_start_time=on)
        return sensor.evaluate_tick(context)


def test_with_no_host_it_asks_for_a_run_and_says_why(
    instance: dg.DagsterInstance, folders: Folders, job: dg.JobDefinition
) -> None:
    found = tick(instance, folders, job)
    assert len(found.run_requests) == 1
    assert "no host lives" in found.run_requests[0].tags["kappa/why"]


def test_with_a_host_it_says_who_it_is(
    instance: dg.DagsterInstance, folders: Folders, job: dg.JobDefinition, host: Callable[..., Any]
) -> None:
    with host({"silver.visits": "held"}):
        found = tick(instance, folders, job)
    assert not found.run_requests
    assert "a host lives: process" in found.skip_message
    assert "silver.visits is held" in found.skip_message


def test_a_dead_run_is_failed_in_dagster_and_a_new_one_asked_for(
    instance: dg.DagsterInstance, folders: Folders, job: dg.JobDefinition, web: WrittenLake
) -> None:
    run = instance.create_run_for_job(job, status=STATUS.STARTED, tags=dict(job.tags))
    beat(web, {}, age=30, run_id=run.run_id, pid=2**22 - 1)
    found = tick(instance, folders, job)
    failed = instance.get_run_by_id(run.run_id)
    assert failed is not None
    assert failed.status is STATUS.FAILURE
    assert not found.run_requests
    found = tick(instance, folders, job, on=time.time() + 1)
    assert len(found.run_requests) == 1


def test_a_frozen_hosts_run_is_failed_and_its_successor_asked_for(
    instance: dg.DagsterInstance, folders: Folders, job: dg.JobDefinition, host: Callable[..., Any]
) -> None:
    run = instance.create_run_for_job(job, status=STATUS.STARTED, tags=dict(job.tags))
    with host(age=70, run_id=run.run_id):
        assert not tick(instance, folders, job).run_requests, "an old heartbeat alone is nobody's end"
        found = tick(instance, folders, job, watch=Frozen())
    assert len(found.run_requests) == 1
    failed = instance.get_run_by_id(run.run_id)
    assert failed is not None
    assert failed.status is STATUS.FAILURE


def test_when_somebody_asked_to_terminate_is_read_from_the_runs_events(
    instance: dg.DagsterInstance, web: WrittenLake, job: dg.JobDefinition
) -> None:
    run = instance.create_run_for_job(job, status=STATUS.STARTED, tags=dict(job.tags))
    instance.report_run_canceling(run)
    instance.report_run_canceled(run)
    (seen,) = look(instance, web.lake, PIPELINE, HostWatch(), switched_on=None).runs
    assert seen.status == "CANCELED"
    assert seen.terminated == pytest.approx(time.time(), abs=30)


def test_the_runs_of_another_pipeline_are_not_its_business(
    instance: dg.DagsterInstance, web: WrittenLake, job: dg.JobDefinition
) -> None:
    instance.create_run_for_job(job, tags={"kappa/stream": "other"})
    assert look(instance, web.lake, PIPELINE, HostWatch(), switched_on=None).runs == ()


def test_the_last_failure_is_told_in_its_own_words(
    instance: dg.DagsterInstance, web: WrittenLake, job: dg.JobDefinition
) -> None:
    run = instance.create_run_for_job(job, status=STATUS.STARTED, tags=dict(job.tags))
    instance.report_run_failed(run, "the disk is full\nand more")
    assert look(instance, web.lake, PIPELINE, HostWatch(), switched_on=None).last_error == "the disk is full"
