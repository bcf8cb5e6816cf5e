"""What every test shares: one Spark session, a fresh lake, and the choice between a fast and a whole run."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from kappa_assets.session import build_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import SparkSession

# ci: the same examples in every run, and no deadline, because a first Spark job takes as long as it takes.
# dev: new examples in every run, so people find what CI does not.
# A fixture such as tmp_path is shared by the examples of one test: each example makes its own folder in it.
_HEALTH = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=_HEALTH)
settings.register_profile("dev", max_examples=50, deadline=None, suppress_health_check=_HEALTH)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# A test's JVM lives for a minute or two. To compile hot code once more, into what pays off within hours, and to collect
# garbage in parallel took half of its CPU: 169 CPU seconds for one test, 91 with these.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")

_EXIT_STATUS = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too, as CI does")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: starts a host, Dagster or a browser; runs only with --slow")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_EXIT_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End with pytest's own exit code once all is said, without taking the interpreter apart.

    Threads of delta-rs and pyarrow that still run then can abort the process ("terminate called without an active
    exception": 6 of 30 times in a short script), which would turn a passed run into a failed one.
    """
    status = config.stash.get(_EXIT_STATUS, None)
    if status is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        # Long ones first: two workers then end at about the same time.
        items.sort(key=lambda item: "slow" not in item.keywords)
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="needs --slow"))


@pytest.fixture(autouse=True)
def _priority_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command run in the tests' own process must not lower its priority for all that follow."""
    monkeypatch.setattr("kappa_assets.session.go_behind", lambda: None)


@pytest.fixture(autouse=True)
def _no_settings_from_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own lake must never be what a test writes into."""
    for name in ("KAPPA_LAKE", "KAPPA_LANDING", "KAPPA_PIPELINE", "KAPPA_PORT", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The one Spark session of the run: two cores, its warehouse thrown away. Never stop it in a test."""
    session = build_session(
        "kappa_assets_tests",
        cores=2,
        memory="2g",
        extra={
            "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
            "spark.sql.shuffle.partitions": "2",
            "spark.databricks.delta.snapshotPartitions": "1",
        },
    )
    yield session
    session.stop()


@pytest.fixture
def lake_path(tmp_path: Path) -> Path:
    """An empty folder for a lake of this test's own."""
    path = tmp_path / "lake"
    path.mkdir()
    return path
