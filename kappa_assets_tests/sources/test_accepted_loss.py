"""What is accepted as lost holds for where a tape stands: no broker, no Spark, a topic that is a list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kappa_assets import Kafka, bronze
from kappa_assets.errors import LossRefused, RowsLost
from kappa_assets.kinds.query import Setting
from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry
from kappa_assets.repair.accept_loss import Loss, accept_losses, losses_of
from kappa_assets.sources.kafka.kafka_source import KafkaSource
from kappa_assets.sources.kafka.lost import check_nothing_lost, lost_of
from kappa_assets.sources.kafka.topic import Topic
from kappa_assets.sources.source import Given, Range
from kappa_assets.sources.standings import Standing
from kappa_assets_tests.written_logs import clicks

orders = bronze("orders", source=Kafka("orders"))


@dataclass
class ListedTopic:
    """A topic: of each partition the records that there ever were, and from which on the broker still has them."""

    made: int = 0
    records: list[list[str]] = field(default_factory=lambda: [[], []])
    kept_from: list[int] = field(default_factory=lambda: [0, 0])

    def send(self, partition: int) -> None:
        here = self.records[partition % len(self.records)]
        here.append(f"{self.made}/{partition % len(self.records)}/{len(here)}")

    def forget(self, partition: int, records: int) -> None:
        at = partition % len(self.records)
        self.kept_from[at] = min(len(self.records[at]), self.kept_from[at] + records)

    def told(self) -> Topic:
        holds = {str(p): Range(self.kept_from[p], len(self.records[p])) for p in range(len(self.records))}
        return Topic(f"id {self.made}", holds)


class ListedTape(KafkaSource):
    """A source whose tape is a list too. Each commit is of a new checkpoint, as after a start that heals."""

    def __init__(self, lake: Lake, root: Path) -> None:
        super().__init__(Kafka("orders"), Given(orders.name, lake, root, Checkpoint(root / "none"), 1))
        self.rows: list[str] = []
        self.stands: Standing | None = None

    def _on_tape(self) -> Standing | None:
        return self.stands

    def take(self, topic: ListedTopic, *, dies: bool) -> None:
        """Do what a query does from its start to the commit of a batch of all there is. Raises RowsLost."""
        self.check()
        stands = self.goes_on(self.stands)
        parts, known = ({}, None) if stands is None else (stands.stands, stands.incarnation)
        told = topic.told()
        check_nothing_lost(orders.name, lost_of("orders", told, known, parts))
        ranges = {p: (parts.get(p, holds.since), holds.until) for p, holds in told.holds.items()}
        if dies or all(since == until for since, until in ranges.values()):
            return
        for p, (since, until) in ranges.items():
            self.rows += topic.records[int(p)][since:until]
        number = 0 if self.stands is None else int(str(self.stands.checkpoint)) + 1
        self.stands = Standing(0, str(number), ranges, told.id)

    def lost_now(self, topic: ListedTopic) -> Loss | None:
        """Return the loss that `losses_of` finds."""
        self.check()
        if (stands := self.stands) is None:
            return None
        on = self.goes_on(stands)
        assert on is not None
        more = lost_of("orders", topic.told(), on.incarnation, on.stands)
        lost = lost_of("orders", topic.told(), stands.incarnation, stands.stands) or more
        return None if more is None or lost is None else Loss("kafka:orders", stands, lost)


class World:
    """A topic, its tape, and the oracle: which records are gone, and which of them were when somebody accepted it."""

    def __init__(self, root: Path) -> None:
        lake = Lake.at(root / "lake")
        self.setting = Setting(cast("Any", None), lake, root)
        self.topic, self.tape = ListedTopic(), ListedTape(lake, root)
        self.gone, self.may_go = set[str](), set[str]()
        self.accepted_topic = 0

    def accept(self) -> None:
        if (loss := self.tape.lost_now(self.topic)) is not None:
            accept_losses(self.setting, orders, (loss,), by="somebody", reason="so it is")
            self.may_go, self.accepted_topic = set(self.gone), self.topic.made

    def take(self, *, dies: bool = False) -> None:
        missing, has_nothing = self.gone - set(self.tape.rows), self.tape.stands is None
        try:
            self.tape.take(self.topic, dies=dies)
        except RowsLost:
            assert missing - self.may_go or self.topic.made != self.accepted_topic, "it stops for nothing"
            return
        assert has_nothing or missing <= self.may_go, "it passes over what nobody has accepted"
        if has_nothing:  # it begins with what there is
            self.may_go, self.accepted_topic = set(self.gone), self.topic.made

    def forget(self, partition: int, records: int) -> None:
        self.topic.forget(partition, records)
        lists = zip(self.topic.records, self.topic.kept_from, strict=True)
        self.gone.update(record for part, since in lists for record in part[:since])

    def enlarge(self) -> None:
        self.topic.records.append([])
        self.topic.kept_from.append(0)

    def make_anew(self) -> None:
        self.gone.update(record for part in self.topic.records for record in part)
        self.topic = ListedTopic(self.topic.made + 1, [[]], [0])


STEPS = ["send", "send", "send", "take", "take", "dies", "forget", "accept", "enlarge", "anew"]


@settings(max_examples=60)
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 2), st.integers(1, 3)), min_size=4, max_size=16))
def test_a_tape_has_each_record_once_but_those_that_were_lost_when_somebody_accepted_it(
    steps: list[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = World(tmp_path_factory.mktemp("accepted"))
    does: dict[str, Callable[[], None]] = {
        "take": world.take,
        "dies": lambda: world.take(dies=True),
        "accept": world.accept,
        "enlarge": world.enlarge,
        "anew": world.make_anew,
    }
    for step, partition, records in steps:
        match step:
            case "send":
                world.topic.send(partition)
            case "forget":
                world.forget(partition, records)
            case _:
                does[step]()
    world.accept()
    world.take()
    assert len(world.tape.rows) == len(set(world.tape.rows))
    held = {r for p, part in enumerate(world.topic.records) for r in part[world.topic.kept_from[p] :]}
    assert held <= set(world.tape.rows), "what the brokers hold is on the tape"


def test_a_partition_that_was_cut_is_read_on_from_its_end() -> None:
    cut = lost_of("orders", Topic("a", {"0": Range(0, 5), "1": Range(0, 7)}), "a", {"0": 9, "1": 7})
    assert cut is not None
    assert cut.missing == {"0": "ends before 5, and the tape has all before 9"}
    assert cut.begins == {"0": 5, "1": 7}


def test_only_a_topic_can_have_lost_something(tmp_path: Path) -> None:
    setting = Setting(cast("Any", None), Lake.at(tmp_path / "lake"), tmp_path)
    with pytest.raises(LossRefused, match=r"bronze\.clicks reads files:clicks, json, which is no topic"):
        losses_of(setting, clicks)
    with pytest.raises(LossRefused, match="kafka:orders has lost nothing of it"):
        losses_of(setting, orders)
    assert Registry(setting.lake).state().losses == ()
