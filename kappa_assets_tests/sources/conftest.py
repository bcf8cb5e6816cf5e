"""What the tests of topics share: a client of the broker whose topics go with the test, and a lake beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kappa_assets_tests.sources.kafka_broker import Broker, Client
from kappa_assets_tests.sources.kafka_desk import Desk

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def topics(spark: SparkSession, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client of the broker that the environment names; whatever topics there are go with the test."""
    monkeypatch.setenv("KAPPA_KAFKA_BOOTSTRAP_SERVERS", broker.address)
    client = Client(spark, broker.address)
    yield client
    for topic in client.topics():
        client.delete(topic)
    client.close()


@pytest.fixture
def desk(spark: SparkSession, tmp_path: Path) -> Desk:
    """A lake without anything yet, whose tape is a topic of that client's."""
    return Desk(spark, tmp_path)
