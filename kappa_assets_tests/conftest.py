"""What every test shares: one Spark session, a fresh lake, and the choice between a fast and a whole run."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings

from kappa_assets import Kafka
from kappa_assets.host.session import build_session
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.copied_shop import Shop, copy_shop
from kappa_assets_tests.retail_files import make_files
from kappa_assets_tests.sources.kafka_broker import Broker

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

WALKED = (Phase.explicit,) if os.environ.get("CI") else (Phase.explicit, Phase.generate)
"""The phases of a test whose examples cost minutes of CPU: in CI those that are written down and hold much each."""

# A test's JVM lives for minutes. To compile hot code once more, into what pays off within hours, and to collect garbage
# in parallel took half of its CPU: 169 CPU seconds for one test, 91 with these. With one compiler a JVM keeps 48 MB of
# code only, which Spark fills within minutes; from then on it threw code away and compiled it again.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=240m")

AVRO = "org.apache.spark:spark-avro_2.13:4.2.0"
"""Spark's reader of Avro, which README's example needs."""

_EXIT_STATUS = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too, as CI does")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: starts a host, Dagster or a browser; runs only with --slow")
    if config.getoption("--slow") and not hasattr(config, "workerinput"):
        from kappa_assets_tests.class_archive import options_with

        os.environ["JDK_JAVA_OPTIONS"] += f" {options_with(config.rootpath / '.pytest_cache' / 'classes')}"


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
    monkeypatch.setattr("kappa_assets.host.session.go_behind", lambda: None)


@pytest.fixture(autouse=True)
def _no_settings_from_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own lake must never be what a test writes into."""
    kafka = [name for name in os.environ if name.startswith("KAPPA_KAFKA_")]
    for name in (*kafka, "KAPPA_LAKE", "KAPPA_LANDING", "KAPPA_PIPELINE", "KAPPA_PORT", "KAPPA_SOURCE", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The one Spark session of the run: two cores, its warehouse thrown away. Never stop it in a test."""
    session = build_session(
        "kappa_assets_tests",
        cores=2,
        memory="2g",
        packages=(*Kafka.packages, AVRO),
        extra={
            "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
            "spark.sql.shuffle.partitions": "2",
            "spark.databricks.delta.snapshotPartitions": "1",
            # Hundreds of lakes of one pipeline ask for the same generated code again and again; 100 classes are kept
            # by default, and the rest was compiled anew: a tenth of a drain's CPU.
            "spark.sql.codegen.cache.maxEntries": "5000",
        },
    )
    yield session
    session.stop()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The one broker of Kafka of the run. Topics are of the test that makes them, and deleted with it."""
    made = Broker(tmp_path_factory.mktemp("kafka") / "broker")
    try:
        made.start()
        yield made
    finally:
        made.kill()


@pytest.fixture
def lake_path(tmp_path: Path) -> Path:
    """An empty folder for a lake of this test's own."""
    path = tmp_path / "lake"
    path.mkdir()
    return path


@pytest.fixture(scope="session")
def drained_shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `landing` and a `lake` of the retail pipeline that is drained of it: three days, a file each.

    Every file was a batch of every table. Only look at it; `three_days` is for changing it.
    """
    from kappa_assets.host.host import Host
    from kappa_assets.kinds.query import Pace, Setting
    from kappa_assets_tests.retail_sales import pipeline

    root = tmp_path_factory.mktemp("drained")
    make_files(root / "landing" / "invoices", 5, files=3, lines=40)
    Host(Setting(spark, Lake.at(root / "lake"), root / "landing", Pace(1, 1)), pipeline).drain()
    return root


@pytest.fixture
def three_days(drained_shop: Path, tmp_path: Path) -> Path:
    """A copy of the drained shop, for one test alone: 2026-01-05 to 2026-01-07."""
    return copy_shop(drained_shop, tmp_path / "shop")


@pytest.fixture(scope="session")
def drained(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Only look at it; `shop` is for changing it. Silver and Gold took all three batches in one commit."""
    from kappa_assets.host.host import Host
    from kappa_assets.kinds.query import Pace, Setting
    from kappa_assets_tests.whole.corrected_retail import AS_IT_WAS

    root = tmp_path_factory.mktemp("replayed")
    files = make_files(root / "landing" / "invoices", 31, files=3, lines=40)
    setting = Setting(spark, Lake.at(root / "lake"), root / "landing", Pace(landed_files=1))
    Host(setting, AS_IT_WAS).drain()
    return Shop(setting, tuple(files))


@pytest.fixture
def shop(drained: Shop, spark: SparkSession, tmp_path: Path) -> Shop:
    """A copy of the drained lake, for one test alone."""
    from kappa_assets.kinds.query import Setting

    shutil.copytree(drained.lake.root, tmp_path / "lake", symlinks=True)
    return Shop(Setting(spark, Lake.at(tmp_path / "lake"), drained.setting.landing), drained.files)


@pytest.fixture
def said() -> list[str]:
    """What a replay said; give `said.append` as its progress."""
    return []
