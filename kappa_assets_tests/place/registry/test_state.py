"""Events folded into what the registry says: releases, generations, replays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kappa_assets.errors import LakeError
from kappa_assets.names import TableName
from kappa_assets.place.registry import Event, events
from kappa_assets.place.registry.state import State, fold

SALES, DAILY = TableName.parse("silver.sales"), TableName.parse("gold.daily")
FIRST = [
    events.generation_created(SALES, 1, "old"),
    events.generation_created(DAILY, 1, "sum", upstream=1),
    events.release_created(1, {SALES: 1, DAILY: 1}, "first data"),
]
REPLAY = [
    events.generation_created(SALES, 2, "new", from_batch=7, kept_from=1, replay="r1"),
    events.generation_created(DAILY, 2, "sum", upstream=2, replay="r1"),
    events.replay_started("r1", {SALES: 2, DAILY: 2}, {"from_version": 7}),
]
PROMOTED = [
    events.release_created(2, {SALES: 2, DAILY: 2}, "replay r1", replay="r1"),
    events.replay_promoted("r1"),
]


def test_an_empty_registry_has_no_release_and_begins_with_generation_one() -> None:
    state = fold([], -1)
    assert (state.release, state.live(SALES), state.open_replay()) == (None, None, None)
    assert state.next_generation(SALES) == 1


def test_a_candidate_is_not_live_before_its_release() -> None:
    state = fold(FIRST + REPLAY, 3)
    live = state.live(SALES)
    assert live is not None
    assert (live.number, live.code_version) == (1, "old")
    candidate = state.generations[SALES, 2]
    assert (candidate.from_batch, candidate.kept_from, candidate.replay) == (7, 1, "r1")
    assert state.state_of(candidate) == "candidate"
    found = state.open_replay()
    assert found is not None
    assert (found.id, found.state, found.candidates) == ("r1", "building", {SALES: 2, DAILY: 2})
    assert state.next_generation(SALES) == 3


def test_a_promotion_makes_all_candidates_live_at_once_and_retires_the_others() -> None:
    state = fold(FIRST + REPLAY + PROMOTED, 4)
    assert [state.state_of(state.generations[t, n]) for t in (SALES, DAILY) for n in (1, 2)] == [
        "retired",
        "live",
        "retired",
        "live",
    ]
    assert state.open_replay() is None
    assert state.previous_release == 1


def test_a_rollback_selects_the_earlier_release_and_another_one_the_later() -> None:
    back = fold([*FIRST, *REPLAY, *PROMOTED, events.release_selected(1, "wrong prices")], 5)
    live = back.live(SALES)
    assert live is not None
    assert live.number == 1
    assert back.state_of(back.generations[SALES, 2]) == "retired"
    assert back.previous_release is None
    forth = fold([*FIRST, *REPLAY, *PROMOTED, events.release_selected(1, ""), events.release_selected(2, "")], 6)
    live = forth.live(SALES)
    assert live is not None
    assert live.number == 2


def test_a_discarded_replay_leaves_its_numbers_used() -> None:
    state = fold([*FIRST, *REPLAY, events.replay_discarded("r1")], 4)
    assert state.state_of(state.generations[SALES, 2]) == "discarded"
    assert state.open_replay() is None
    assert state.next_generation(SALES) == 3, "a number used twice would share transaction ids"


def test_forwarded_logic_is_what_wrote_the_live_generation() -> None:
    live = fold([*FIRST, events.logic_forwarded(SALES, 1, "newer")], 2).live(SALES)
    assert live is not None
    assert (live.number, live.code_version) == (1, "newer")


def test_an_unknown_event_is_refused_with_the_version_as_the_likely_cause() -> None:
    with pytest.raises(LakeError, match=r"unknown kind, 'teleported'\nHint: .*newer kappa_assets"):
        fold([Event("2026-01-01T00:00:00", "teleported", {})], 0)


@given(st.integers(0, len(FIRST + REPLAY + PROMOTED)))
def test_folding_goes_by_events_alone_and_never_forgets_a_generation(cut: int) -> None:
    history = FIRST + REPLAY + PROMOTED
    early, late = fold(history[:cut], cut), fold(history, len(history))
    assert early.generations.items() <= late.generations.items()
    assert early.releases.items() <= late.releases.items()
    assert isinstance(early, State)
    assert early.version == cut
