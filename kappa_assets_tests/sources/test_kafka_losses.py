"""What a broker has lost stops a tape; somebody accepts exactly that, and the tape goes on, whatever dies between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kappa_assets.cli import main
from kappa_assets.errors import LakeError, RowsLost
from kappa_assets.log.note import ACCEPTED_LOSS, RANGES
from kappa_assets.sources.kafka.kafka_source import KafkaSource
from kappa_assets_tests.sources.kafka_broker import Client
from kappa_assets_tests.sources.kafka_desk import Desk, some
from kappa_assets_tests.sources.kafka_shop import orders

pytestmark = pytest.mark.slow
SHOP = "kappa_assets_tests.sources.kafka_shop"


def kappa(desk: Desk, *arguments: str) -> Result:
    places = ["--lake", str(desk.setting.lake.root), "--pipeline", SHOP]
    return CliRunner().invoke(main, [*arguments, *places])


def accept(desk: Desk, *more: str, reason: str = "too long away") -> dict[str, dict[str, Any]]:
    """Accept what is lost, and return what the command says of each partition."""
    done = kappa(desk, "accept-loss", str(orders.name), "--reason", reason, "--json", *more)
    assert done.exit_code == 0, done.stderr
    return {row["partition"]: row for row in json.loads(done.stdout)}


def refused(desk: Desk) -> str:
    done = kappa(desk, "accept-loss", str(orders.name), "--reason", "none")
    assert done.exit_code == 1, done.output
    return done.stderr


def stops(desk: Desk) -> str:
    with pytest.raises(RowsLost) as lost:
        desk.drain()
    return str(lost.value)


def test_a_loss_that_somebody_accepts_is_passed_over_once_and_what_is_lost_later_stops_again(
    desk: Desk, topics: Client
) -> None:
    topics.make("orders", partitions=2)
    assert "has lost nothing of it" in refused(desk)
    desk.sent += topics.send("orders", some(6, "anna"), partition=0)
    desk.sent += topics.send("orders", some(3, "anna"), partition=1)
    desk.drain()
    assert "has lost nothing of it" in refused(desk)

    topics.send("orders", some(3, "lost"), partition=0)
    kept = topics.send("orders", some(1, "anna"), partition=0)
    desk.sent += topics.send("orders", some(1, "berta"), partition=1)
    topics.forget_before("orders", 0, 9)
    topics.enlarge("orders", 3)
    topics.send("orders", some(5, "lost"), partition=2)
    topics.forget_before("orders", 2, 5)
    assert 'kappa accept-loss bronze.orders --reason "..."' in stops(desk)
    unreasoned = kappa(desk, "accept-loss", str(orders.name), "--reason", " ")
    assert (unreasoned.exit_code, "Missing option '--reason'" in unreasoned.stderr) == (2, True)
    planned = accept(desk, "--plan")
    assert stops(desk), "a plan accepts nothing"
    assert accept(desk) == planned
    assert {p: (row["lost"], row["stands"], row["goes_on"]) for p, row in planned.items()} == {
        "0": ("has nothing from 6 to 8 any more", 6, 9),
        "2": ("came later, and has nothing from 0 to 4", None, 5),
    }
    assert "somebody has accepted it already" in refused(desk)

    # More is lost before the tape took what was accepted: it was not shown, so it was not accepted.
    assert [one.offset for one in kept] == [9]
    desk.sent += topics.send("orders", some(2, "carl"), partition=0)[1:]
    topics.forget_before("orders", 0, 11)
    assert "partition 0 has nothing from 9 to 10 any more" in stops(desk)
    assert accept(desk, reason="again")["0"]["lost"] == "has nothing from 6 to 10 any more"
    desk.dies("after_rejects", batch=1)
    desk.drain()
    desk.holds_every_record_once()
    *_, note = desk.notes()
    assert note.source[RANGES] == {"0": [11, 12], "1": [3, 4], "2": [5, 5]}
    told = note.source[ACCEPTED_LOSS]
    assert (told["reason"], told["missing"].keys()) == ("again", {"0", "2"})
    desk.sent += topics.send("orders", some(4, "dora"), partition=2)
    desk.drain()
    desk.holds_every_record_once()
    assert ACCEPTED_LOSS not in desk.notes()[-1].source

    status = kappa(desk, "status")
    assert f"{orders.name}: {told['by']} accepted at {told['at']} that kafka:orders has lost: 0 has no" in status.stderr
    (row,) = (row for row in json.loads(kappa(desk, "status", "--json").stdout) if row["table"] == str(orders.name))
    assert [loss["reason"] for loss in row["accepted_losses"]] == ["too long away", "again"]


def test_a_topic_that_was_made_anew_is_read_from_what_it_holds_when_somebody_accepts_it(
    desk: Desk, topics: Client
) -> None:
    """It has fewer partitions, and lacks already what it held first."""
    topics.make("orders", partitions=2)
    desk.sent += topics.send("orders", some(12, "anna"), partition=0)
    desk.sent += topics.send("orders", some(4, "anna"), partition=1)
    desk.drain()
    topics.delete("orders")
    topics.make("orders")
    topics.send("orders", some(8, "lost"))
    topics.forget_before("orders", 0, 8)
    desk.sent += topics.send("orders", some(13, "emil"))
    assert "was deleted and made anew: its id was" in stops(desk)
    told = accept(desk, reason="a new cluster")
    assert {p: (row["stands"], row["goes_on"]) for p, row in told.items()} == {"0": (12, 8), "1": (4, None)}
    desk.drain()
    desk.holds_every_record_once()
    assert desk.notes()[-1].source[RANGES] == {"0": [8, 21]}
    desk.drain()
    desk.holds_every_record_once()


@pytest.mark.parametrize("meanwhile", ["made anew", "lost"])
def test_what_was_planned_of_a_topic_and_is_not_on_the_tape_binds_nobody_when_it_is_gone(
    desk: Desk, topics: Client, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """The plan of the first batch, 20 to 30, is in the checkpoint; of a new topic its numbers mean other records."""
    topics.make("orders")
    topics.send("orders", some(20, "lost"))
    topics.forget_before("orders", 0, 20)
    topics.send("orders", some(5, "lost"))
    desk.sent = topics.send("orders", some(5, "anna"))

    def ends(_: KafkaSource, batch: object) -> None:
        del batch
        raise LakeError("the host ends before the first batch is read")

    with monkeypatch.context() as patched:
        patched.setattr(KafkaSource, "read", ends)
        with pytest.raises(LakeError, match="the host ends"):
            desk.drain()
    assert list(Path(desk.checkpoint / "offsets").glob("0")), "the batch is planned"
    if meanwhile == "lost":
        topics.forget_before("orders", 0, 25)
    else:
        topics.delete("orders")
        topics.make("orders")
        desk.sent = topics.send("orders", some(40, "berta"))
    desk.drain()
    desk.holds_on_its_tape_every_record_once()
