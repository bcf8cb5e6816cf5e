"""A topic as a source, declared: what is no option is refused at its line, and secrets are never repeated."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest

from kappa_assets import Files, Kafka, Pipeline, bronze
from kappa_assets.errors import DeclarationError
from kappa_assets.fingerprint.code_version import code_version


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"topic": ""}, "topic must be the name of one topic of Kafka; got ''"),
        ({"topic": ".."}, "topic must be"),
        ({"topic": "a,b"}, "topic must be"),
        ({"topic": None}, "topic must be"),
        ({"topic": "a", "connection": "HUB"}, "connection must be a short name in lower case"),
        ({"topic": "a", "connection": "sasl_hub"}, "connection must be a short name"),
        ({"topic": "a", "records_per_batch": 0}, "records_per_batch must be a number from 1 on; got 0"),
        ({"topic": "a", "records_per_batch": True}, "records_per_batch must be"),
        *(
            ({"topic": "a", name: {"0": 7}}, f"takes no {name}: where a tape goes on is told by the tape")
            for name in ("offsets", "startingOffsets", "starting_offsets", "endingOffsets", "starting_timestamp")
        ),
    ],
)
def test_a_topic_that_cannot_be_is_refused_at_its_line(options: dict[str, Any], text: str) -> None:
    with pytest.raises(DeclarationError, match=rf"test_kafka_topic.py:\d+: .*{text}"):
        Kafka(**options)


@pytest.mark.parametrize("name", ["password", "bootstrap_servers", "sasl_jaas_config", "options"])
def test_what_belongs_into_the_environment_is_refused_and_not_repeated(name: str) -> None:
    options: dict[str, Any] = {name: "canary-4711"}
    with pytest.raises(DeclarationError, match=f"takes no {name}: brokers, passwords .* no code") as refused:
        Kafka("orders", **options)
    with pytest.raises(DeclarationError) as address:
        Kafka("orders", connection="user:canary-4711@host")
    assert "canary" not in f"{refused.value}{address.value}"


def test_a_topic_is_a_value_with_its_line_and_one_of_a_tape_s_sources() -> None:
    topic = Kafka("orders.v1", records_per_batch=10)
    assert (topic.label, topic.described) == ("kafka:orders.v1", "kafka:orders.v1")
    assert topic == pickle.loads(pickle.dumps(topic)) == copy.deepcopy(topic) == replace(topic)
    assert topic.origin is not None
    assert topic.origin.file == __file__
    archive = Files("archive", format="json")
    tape = bronze("orders", sources=[archive, topic])
    assert tape.sources == (archive, topic)
    with pytest.raises(DeclarationError, match="both are kafka:orders"):
        bronze("orders", sources=[Kafka("orders"), Kafka("orders", connection="hub")])
    assert Pipeline.from_tables("a", [tape]).packages == Kafka.packages
    assert Pipeline.from_tables("a", [bronze("orders", source=archive)]).packages == ()


def test_the_code_version_of_a_tape_is_its_topic_s_alone() -> None:
    made = code_version(bronze("orders", source=Kafka("orders")))
    assert code_version(bronze("orders", source=Kafka("orders", connection="hub", records_per_batch=7))) == made
    assert code_version(bronze("orders", source=Kafka("others"))) != made
