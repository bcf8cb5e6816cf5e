"""What a reader has not read, a replay has linked or a table says stays, whatever is deployed and however long."""

from __future__ import annotations

import datetime as dt
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from kappa_assets import Pipeline, bronze, gold
from kappa_assets.columns import ARRIVAL_DATE
from kappa_assets.declare.source import Files
from kappa_assets.log.releases import release_condition
from kappa_assets.maintenance.one_run import maintain
from kappa_assets.maintenance.readers import first_kept
from kappa_assets.maintenance.upstreams import known_upstreams
from kappa_assets.names import Layer, TableName
from kappa_assets.place.local.linked_files import linked_file
from kappa_assets.place.local.log_files import versions
from kappa_assets.place.registry import events
from kappa_assets_tests.maintenance.hand_lake import MONDAY, HandLake, now, run, write_file
from kappa_assets_tests.written_logs import CLICKS, PAGES, PIPELINE, VISITS, clicks, visits

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@pytest.fixture
def hand(lake_path: Path) -> HandLake:
    return HandLake(lake_path)


def test_files_that_a_late_start_has_linked_and_not_committed_yet_stay(hand: HandLake) -> None:
    """A link has the time of the file that it is another name of: ten days ago."""
    hand.land(MONDAY)
    hand.read()
    old, new = hand.folder(VISITS), hand.folder(VISITS, 2)
    ten_days_ago = dt.datetime.now(dt.UTC).timestamp() - 10 * 86_400
    for path in hand.files(VISITS):
        os.utime(old / path, (ten_days_ago, ten_days_ago))
    hand.say(
        events.generation_created(VISITS, 2, "new", from_batch=1, kept_from=1, replay="r", reads=CLICKS),
        events.replay_started("r", {VISITS: 2}, {}),
    )
    hand._writer(VISITS, 2)
    links = [linked_file(old / path, new, {ARRIVAL_DATE: MONDAY}) for path in hand.files(VISITS)]
    run(hand)
    assert all((new / link.path).exists() for link in links)
    run(hand, at=now(days=30))
    assert all((new / link.path).exists() for link in links), "a replay that died goes on whenever it is asked to"
    hand.say(events.replay_held("r"))
    run(hand, at=now(days=6))
    assert all((new / link.path).exists() for link in links), "linking counts as writing"
    run(hand, at=now(days=8))
    assert not any((new / link.path).exists() for link in links)


def without(table: TableName) -> Pipeline:
    return Pipeline.from_tables("web", [t for t in PIPELINE if t.name != table])


@gold
def others(visits: DataFrame) -> DataFrame:  # a deployment whose Gold is another one
    return visits


@pytest.mark.parametrize(
    "deployed",
    [
        without(PAGES),
        Pipeline.from_tables("web", [clicks, visits, others]),
        Pipeline.from_tables("shop", [bronze("orders", source=Files("orders", format="json"))]),
    ],
    ids=["lacks the Gold", "has another Gold", "is another pipeline"],
)
@pytest.mark.parametrize("told", ["by the event", "by its notes"])
def test_what_a_live_table_has_not_read_stays_whatever_is_deployed(
    hand: HandLake, monkeypatch: pytest.MonkeyPatch, deployed: Pipeline, told: str
) -> None:
    hand.land(MONDAY)
    hand.read()
    hand.read(PAGES)
    for _ in range(24):
        hand.land(MONDAY)
        hand.read()
    if told == "by the event":  # created anew in the same place, and nobody may ask its notes
        monkeypatch.setattr("kappa_assets.maintenance.upstreams.last_note", lambda _: None)
        reads = {VISITS: CLICKS, PAGES: VISITS}
        hand.say(*(events.generation_created(t, 1, "logic", reads=r) for t, r in reads.items()))
    unread = hand.files(VISITS)
    for days in (0, 8, 30):
        run(hand, deployed, at=now(days=days))
    assert len(unread) == 25
    assert unread <= hand.files(VISITS)
    assert set(range(2, 26)) <= set(versions(hand.folder(VISITS)))
    state = hand.registry.state()
    assert [release_condition(hand.lake, state, r) for r in state.releases.values()] == ["kept"]
    hand.read(PAGES)
    hand.land(MONDAY)  # a batch after the one that took 24 versions: Spark lists those of its last batch again
    hand.read()
    hand.read(PAGES)
    for days in (0, 30):
        run(hand, PIPELINE, at=now(days=days))
    assert versions(hand.folder(VISITS))[0] >= 20, "what is read goes"
    assert not unread & hand.files(VISITS)


def test_a_deployment_that_lacks_a_live_table_is_told_of_it(hand: HandLake) -> None:
    said: list[str] = []
    maintain(hand.lake, without(PAGES), progress=said.append)
    maintain(hand.lake, PIPELINE, progress=said.append)
    assert said == ["gold.pages is live or a candidate, and web lacks it: what it has not read is kept"]


def test_a_generation_of_which_nothing_is_known_keeps_all_that_it_may_read(hand: HandLake) -> None:
    """Made by the version before, and begun: its query has noted how far it reads, and committed nothing yet."""
    hand.land(MONDAY)
    hand.read()
    for _ in range(5):
        hand.land(MONDAY)
        hand.read()
    unread = hand.files(VISITS)
    offsets = hand.lake.checkpoint(PAGES) / "offsets"
    offsets.mkdir(parents=True)
    (offsets / "0").write_text('v1\n{}\n{"reservoirVersion": 2, "index": -1, "isStartingVersion": false}')
    state = hand.registry.state()
    assert known_upstreams(hand.lake, state) == {(VISITS, 1): ((CLICKS, 1),)}
    for days in (0, 8, 30):
        run(hand, without(PAGES), at=now(days=days))
    assert unread <= hand.files(VISITS)


def test_a_commit_by_a_clock_that_was_behind_does_not_hide_the_young_ones_before_it(hand: HandLake) -> None:
    """Two commits are a day old, and three later ones seem to be twelve days old: no search by halves finds the two."""
    for _ in range(7):
        hand.land(MONDAY)
    log = hand.folder(CLICKS) / "_delta_log"
    for version, days in enumerate([20, 15, 1, 1, 12, 12, 12, 0.5]):
        path = log / f"{version:020d}.json"
        actions = path.read_text().splitlines()
        told = f'"timestamp":{int(now(days=-days).timestamp() * 1000)}'
        path.write_text("\n".join(_retold(line, told) for line in actions) + "\n")
    assert first_kept(hand.folder(CLICKS), [], now(days=-7)) == 2
    assert first_kept(hand.folder(CLICKS), [], now(days=-0.6)) == 7
    assert first_kept(hand.folder(CLICKS), [], now()) == 8


def _retold(line: str, told: str) -> str:
    return re.sub(r'"timestamp":\d+', told, line) if '"commitInfo"' in line else line


def test_what_a_gold_has_replaced_goes_after_hours_and_what_a_silver_has_after_a_week(hand: HandLake) -> None:
    for _ in range(5):
        hand.land(MONDAY)
        hand.read()
        hand.read(PAGES)
    run(hand)
    gold_files, silver_files = hand.files(PAGES), hand.files(VISITS)
    run(hand, at=now(hours=5.9))
    assert hand.files(PAGES) == gold_files
    run(hand, at=now(hours=6.1))
    assert len(hand.files(PAGES)) == 1
    assert hand.files(VISITS) == silver_files
    assert versions(hand.folder(PAGES))[0] == 0, "its log stays a week, as the logs of others do: lineage reads it"
    assert hand.rows(PAGES).total() == 1


TOP = TableName(Layer.GOLD, "top")


def put_a_gold_over_the_gold(hand: HandLake) -> None:
    """Have a release with a Gold over a Gold, which has read all that there is."""
    hand.say(
        events.generation_created(TOP, 1, "logic", reads=PAGES),
        events.release_created(2, {VISITS: 1, PAGES: 1, TOP: 1}, "with a Gold over a Gold"),
    )
    hand.land(MONDAY)
    hand.read()
    hand.read(PAGES)
    hand.read(TOP, upstream=PAGES)


def replaced(hand: HandLake, generation: int = 1) -> set[str]:
    """Return the files of a Gold that its newest version lacks: what it has replaced, and what it told of that."""
    folder = hand.folder(PAGES, generation)
    live = set(DeltaTable(folder).get_add_actions().column("path").to_pylist())
    return hand.files(PAGES, generation) - live


def test_what_a_gold_has_replaced_and_told_stays_until_those_who_follow_it_have_read_it(hand: HandLake) -> None:
    put_a_gold_over_the_gold(hand)
    for _ in range(24):
        hand.land(MONDAY)
        hand.read()
        hand.read(PAGES, told=True)
    unread = replaced(hand)
    assert len(unread) == 48
    assert sum(path.startswith("_change_data/") for path in unread) == 24
    for later in (now(hours=7), now(days=8), now(days=30)):
        run(hand, at=later)
        assert replaced(hand) == unread
        assert set(range(2, 26)) <= set(versions(hand.folder(PAGES)))
    hand.read(TOP, upstream=PAGES)
    run(hand, at=now(hours=7))
    assert replaced(hand) == unread, "as of a Silver: who else opened it has a week"
    run(hand, at=now(days=8))
    assert replaced(hand) == set()


def test_what_a_gold_told_those_of_an_earlier_release_stays_for_a_week(hand: HandLake) -> None:
    """A Gold over a Gold was behind when both were replaced: selected again, it goes on."""
    put_a_gold_over_the_gold(hand)
    for _ in range(3):
        hand.read(PAGES, told=True)
    hand.say(
        events.generation_created(PAGES, 2, "new", reads=VISITS),
        events.generation_created(TOP, 2, "new", upstream=2, reads=PAGES),
        events.release_created(3, {VISITS: 1, PAGES: 2, TOP: 2}, "new logic"),
    )
    unread = replaced(hand)
    run(hand, at=now(days=6.9))
    assert len(unread) == 6
    assert replaced(hand) == unread
    state = hand.registry.state()
    assert release_condition(hand.lake, state, state.releases[2]) == "kept"
    run(hand, at=now(days=7.1))
    assert replaced(hand) == set(), "somebody removes them in the end"
    assert release_condition(hand.lake, hand.registry.state(), state.releases[2]) == "needs replay"


def test_a_batch_of_a_gold_may_take_longer_than_what_it_has_replaced_stays(hand: HandLake) -> None:
    hand.land(MONDAY)
    hand.read()
    hand.read(PAGES)
    folder = hand.folder(PAGES)
    half_done = folder / write_file(folder, None, 9, 1)
    run(hand, at=now(days=6.9))
    assert half_done.exists()
    run(hand, at=now(days=7.1))
    assert not half_done.exists()


def test_a_table_says_how_long_its_files_stay(hand: HandLake) -> None:
    @gold(keep="3 days")
    def pages(visits: DataFrame) -> DataFrame:
        return visits

    declared = Pipeline.from_tables("web", [clicks, visits, pages])
    for _ in range(3):
        hand.land(MONDAY)
        hand.read()
        hand.read(PAGES)
    run(hand, declared, at=now(days=2.9))
    assert len(hand.files(PAGES)) == 3
    run(hand, declared, at=now(days=3.1))
    assert len(hand.files(PAGES)) == 1
