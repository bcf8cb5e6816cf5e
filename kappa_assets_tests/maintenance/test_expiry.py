"""Which generations go, in which order that happens, and what an old release is still good for."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kappa_assets.errors import ReplayError
from kappa_assets.log.releases import release_condition, stuck_remark, stuck_tables
from kappa_assets.maintenance import Policy
from kappa_assets.maintenance.needed import at_rest, expired, moving, needed
from kappa_assets.maintenance.one_run import maintain
from kappa_assets.place.registry import Event, State, events
from kappa_assets.place.registry.state import fold
from kappa_assets.replay import rollback
from kappa_assets_tests.maintenance.hand_lake import MONDAY, TUESDAY, HandLake
from kappa_assets_tests.written_logs import CLICKS, PAGES, PIPELINE, VISITS

NOW = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)


def at(days_ago: float, *said: Event) -> list[Event]:
    when = (NOW - dt.timedelta(days=days_ago)).isoformat(timespec="milliseconds")
    return [Event(when, e.kind, e.body) for e in said]


def release(number: int, days_ago: float, visits: int, pages: int, replay: str | None = None) -> list[Event]:
    """A release, with the generations that it is the first to show. `pages` n reads `visits` n."""
    made = [events.generation_created(VISITS, visits, "logic", replay=replay)]
    made.append(events.generation_created(PAGES, pages, "logic", upstream=visits, replay=replay))
    return at(days_ago, *made, events.release_created(number, {VISITS: visits, PAGES: pages}, "x"))


def numbers(state: State, policy: Policy) -> set[tuple[str, int]]:
    return {(g.table.layer.value, g.number) for g in expired(state, {}, policy, NOW)}


def folded(*parts: list[Event]) -> State:
    return fold([e for part in parts for e in part], 0)


def test_the_newest_releases_stay_however_old_they_are() -> None:
    state = folded(*(release(n, 100 - n, n, n) for n in range(1, 6)))
    assert numbers(state, Policy(keep_releases=3)) == {(layer, n) for layer in ("silver", "gold") for n in (1, 2)}
    assert numbers(state, Policy(keep_releases=1)) == {(layer, n) for layer in ("silver", "gold") for n in (1, 2, 3, 4)}


def test_young_releases_stay_however_many_there_are() -> None:
    state = folded(*(release(n, 12 - n, n, n) for n in range(1, 10)))
    assert {n for _, n in numbers(state, Policy(keep_releases=1, keep_days=7))} == {1, 2, 3, 4}


def test_the_current_release_stays_though_it_is_the_oldest() -> None:
    state = folded(*(release(n, 100 - n, n, n) for n in range(1, 6)), at(50, events.release_selected(1, "back")))
    assert {n for _, n in numbers(state, Policy(keep_releases=1))} == {2, 3, 4}


def test_what_a_needed_gold_reads_stays() -> None:
    gold_alone = [
        events.generation_created(PAGES, 2, "logic", upstream=1),
        events.release_created(2, {PAGES: 2}, "the Silver is declared no more, say"),
    ]
    state = folded(release(1, 100, 1, 1), at(90, *gold_alone))
    assert needed(state, {}, Policy(keep_releases=1), NOW) == {(PAGES, 2), (VISITS, 1)}


@pytest.mark.parametrize(
    ("said", "days_ago", "gone"),
    [
        (events.replay_held, 100, set()),
        (events.replay_validated, 6, set()),
        (events.replay_validated, 8, {1, 3}),
        (events.replay_discarded, 6, {1}),  # its own are discarded already, and do not expire
    ],
)
def test_candidates_and_what_they_keep_rows_of_stay_while_somebody_may_want_them(
    said: Callable[[str], Event], days_ago: float, gone: set[int]
) -> None:
    made = [
        events.generation_created(VISITS, 3, "logic", kept_from=1, from_batch=2, replay="r"),
        events.replay_started("r", {VISITS: 3}, {}),
        said("r"),
    ]
    state = folded(release(1, 200, 1, 1), release(2, 150, 2, 2), at(days_ago, *made))
    assert {n for layer, n in numbers(state, Policy(keep_releases=1)) if layer == "silver"} == gone


def test_what_is_being_built_moves_on_but_is_not_rewritten() -> None:
    made = [
        events.generation_created(VISITS, 2, "logic", replay="r"),
        events.replay_started("r", {VISITS: 2}, {}),
    ]
    state = folded(release(1, 100, 1, 1), at(1, *made))
    assert moving(state) == {(VISITS, 1), (PAGES, 1), (VISITS, 2)}
    assert at_rest(state) == {(VISITS, 1), (PAGES, 1)}
    assert at_rest(folded(release(1, 100, 1, 1), at(1, *made, events.replay_held("r")))) == moving(state)


@pytest.fixture
def hand(lake_path: Path) -> HandLake:
    """Two releases; the first one's tables have read the first batch alone."""
    made = HandLake(lake_path)
    made.land(MONDAY)
    made.read()
    made.read(PAGES)
    made.land(TUESDAY)
    made.say(
        events.generation_created(VISITS, 2, "logic"),
        events.generation_created(PAGES, 2, "logic", upstream=2),
        events.release_created(2, {VISITS: 2, PAGES: 2}, "second"),
    )
    made.read(generation=2)
    made.read(PAGES, generation=2)
    return made


def run(hand: HandLake, days: float, policy: Policy | None = None) -> None:
    now = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    maintain(hand.lake, PIPELINE, policy, now=now, progress=lambda _: None)


def test_an_expired_generation_goes_with_its_checkpoint_after_the_registry_said_so(
    hand: HandLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand.lake.checkpoint(VISITS, 1).mkdir(parents=True)
    before = hand.rows(VISITS, 2), hand.rows(PAGES, 2)
    policy = Policy(keep_releases=1)
    run(hand, 6, policy)
    assert hand.registry.state().expired == frozenset()

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", kill)
        with pytest.raises(Killed):
            run(hand, 8, policy)
    assert hand.registry.state().expired == {(VISITS, 1), (PAGES, 1)}
    assert hand.folder(VISITS, 1).exists()
    run(hand, 8, policy)
    for table in (VISITS, PAGES):
        assert not hand.folder(table, 1).exists()
        assert not hand.lake.checkpoint(table, 1).exists()
    assert (hand.rows(VISITS, 2), hand.rows(PAGES, 2)) == before
    state = hand.registry.state()
    assert [release_condition(hand.lake, state, r) for r in state.releases.values()] == ["expired", "kept"]


def test_folders_that_a_killed_discard_left_are_removed(hand: HandLake) -> None:
    hand.say(
        events.generation_created(VISITS, 3, "logic", replay="r"),
        events.replay_started("r", {VISITS: 3}, {}),
    )
    hand.read(generation=3)
    run(hand, 90)
    assert hand.folder(VISITS, 3).exists()
    hand.say(events.replay_discarded("r"))
    run(hand, 0)
    assert not hand.folder(VISITS, 3).exists()
    assert hand.registry.state().expired == frozenset()


def test_a_release_whose_unread_files_were_vacuumed_needs_a_replay_and_the_live_one_does_not(hand: HandLake) -> None:
    def conditions() -> list[str]:
        state = hand.registry.state()
        return [release_condition(hand.lake, state, r) for r in state.releases.values()]

    for _ in range(4):
        hand.land(TUESDAY)
    hand.read(generation=2)
    assert conditions() == ["kept", "kept"]
    run(hand, 0)
    run(hand, 6)
    assert conditions() == ["kept", "kept"]
    run(hand, 8)
    assert conditions() == ["needs replay", "kept"]
    state = hand.registry.state()
    assert stuck_tables(hand.lake, state, state.releases[1]) == [VISITS]
    assert state.vacuumed[CLICKS, 1] == 7
    remark = stuck_remark(hand.lake, state, state.releases[1])
    assert remark is not None
    assert "silver.visits can be read, but cannot go on" in remark
    rollback(hand.lake, 1)
    assert conditions() == ["needs replay", "kept"], "it is still allowed: its tables are readable"


def test_an_expired_release_cannot_be_selected(hand: HandLake) -> None:
    run(hand, 8, Policy(keep_releases=1))
    with pytest.raises(ReplayError, match=r"has expired: maintenance removed its gold\.pages, silver\.visits"):
        rollback(hand.lake, 1)
    assert hand.registry.state().current == 2
