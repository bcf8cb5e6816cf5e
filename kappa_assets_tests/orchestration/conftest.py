"""A real Dagster instance of a test's own, and a lake whose logs are written by hand."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kappa_assets.host.host_status import HostStatus, QueryState, QueryStatus, write_status
from kappa_assets.orchestration.folders import Folders
from kappa_assets.orchestration.sensors.lineage_sensor import Lineage
from kappa_assets.place.local.leases.lease import HOST
from kappa_assets.place.local.leases.lock import exclusive
from kappa_assets_tests.written_logs import PIPELINE, WrittenLake


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def web(lake_path: Path) -> WrittenLake:
    return WrittenLake(lake_path)


@pytest.fixture
def host(web: WrittenLake) -> Callable[..., Any]:
    """A host of the lake, played by this process: `with host(states, age=...):`."""

    @contextmanager
    def living(
        states: dict[str, QueryState] | None = None, *, age: float = 0, run_id: str | None = None
    ) -> Iterator[None]:
        with exclusive(HOST.lock(web.lake), "stream", run_id=run_id):
            beat(web, states or {}, age=age, run_id=run_id)
            yield

    return living


def beat(
    web: WrittenLake,
    states: dict[str, QueryState],
    *,
    age: float = 0,
    run_id: str | None = None,
    pid: int | None = None,
    ended: str | None = None,
) -> None:
    """Write a heartbeat, `age` seconds old, in which tables run unless `states` says otherwise."""
    at = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age)).isoformat()
    queries = tuple(
        QueryStatus(str(t.name), 1, states.get(str(t.name), "running"), batch_seconds=1.5) for t in PIPELINE
    )
    HOST.lock(web.lake).parent.mkdir(parents=True, exist_ok=True)
    write_status(web.lake, HostStatus(pid or os.getpid(), "stream", at, at, 1, queries, run_id, ended))


@pytest.fixture
def folders(web: WrittenLake, tmp_path: Path) -> Folders:
    return Folders(web.lake.root, tmp_path / "landing")


@pytest.fixture
def lineage(folders: Folders) -> Lineage:
    return Lineage(folders, PIPELINE)
