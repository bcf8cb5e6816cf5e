"""What a streaming run asks: is the switch on, and is its run still wanted."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from kappa_assets.orchestration.jobs.switch import Switch


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """One on SQLite: an ephemeral instance keeps no sensors' states."""
    with dg.instance_for_test() as made:
        yield made


@dg.job
def a_job() -> None: ...


def sensor_state(name: str, status: InstigatorStatus) -> InstigatorState:
    location = ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name="m"), "here")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
    return InstigatorState(origin, InstigatorType.SENSOR, status, SensorInstigatorData(min_interval=5))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def run(instance: dg.DagsterInstance) -> dg.DagsterRun:
    return instance.create_run_for_job(a_job, status=dg.DagsterRunStatus.STARTED)


def test_a_sensor_that_was_never_touched_is_on(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    assert Switch(instance, run.run_id, "web_stream")() is None
    instance.add_instigator_state(sensor_state("web_stream", InstigatorStatus.DECLARED_IN_CODE))
    assert Switch(instance, run.run_id, "web_stream")() is None


def test_turning_the_sensor_off_is_noticed_within_two_seconds(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    clock = Clock()
    switch = Switch(instance, run.run_id, "web_stream", clock)
    state = sensor_state("web_stream", InstigatorStatus.RUNNING)
    instance.add_instigator_state(state)
    assert switch() is None
    instance.update_instigator_state(state.with_status(InstigatorStatus.STOPPED))
    clock.now = 1.9
    assert switch() is None
    clock.now = 2.0
    assert switch() == "the switch web_stream is off"
    assert not switch.terminated


def test_another_sensor_that_is_off_is_not_the_switch(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    instance.add_instigator_state(sensor_state("web_lineage", InstigatorStatus.STOPPED))
    assert Switch(instance, run.run_id, "web_stream")() is None


def test_a_run_that_was_terminated_without_a_signal_is_noticed(
    instance: dg.DagsterInstance, run: dg.DagsterRun
) -> None:
    instance.report_run_canceling(run)
    switch = Switch(instance, run.run_id, None)
    assert switch() == "its run is CANCELING"
    assert switch.terminated


def test_a_run_that_the_sensor_gave_up_is_noticed(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    instance.report_run_failed(run, "dead")
    assert Switch(instance, run.run_id, None)() == "its run is FAILURE"


def test_a_storage_that_does_not_answer_stops_nothing(
    instance: dg.DagsterInstance, run: dg.DagsterRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(run_id: str) -> None:
        raise OSError("database is locked")

    monkeypatch.setattr(instance, "get_run_by_id", locked)
    assert Switch(instance, run.run_id, "web_stream")() is None
