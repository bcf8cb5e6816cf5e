from __future__ import annotations

import inspect
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from kappa_assets.names import TableName
from kappa_assets.place.registry import Event, events
from kappa_assets.place.registry.state import fold, without_outdated

SALES = TableName.parse("silver.sales")


def test_an_expired_generation_stays_known_so_that_its_number_is_never_used_again() -> None:
    made = [events.generation_created(SALES, n, "logic") for n in (1, 2)]
    state = fold([*made, events.release_created(1, {SALES: 2}, "x"), events.generation_expired(SALES, 1)], 0)
    assert state.expired == {(SALES, 1)}
    assert state.next_generation(SALES) == 3
    assert [state.state_of(g) for g in state.generations.values()] == ["expired", "live"]


def test_the_newest_version_whose_files_are_gone_is_remembered_by_generation() -> None:
    state = fold([events.vacuumed(SALES, 1, 7), events.vacuumed(SALES, 2, 3), events.vacuumed(SALES, 1, 5)], 0)
    assert state.vacuumed == {(SALES, 1): 7, (SALES, 2): 3}


VACUUMED = st.builds(events.vacuumed, st.just(SALES), st.integers(1, 3), st.integers(0, 9))
OTHERS = st.one_of(
    st.builds(events.generation_created, st.just(SALES), st.integers(1, 3), st.just("logic"), reads=st.none()),
    st.builds(events.generation_expired, st.just(SALES), st.integers(1, 3)),
    st.builds(events.release_created, st.integers(1, 3), st.just({SALES: 1}), st.just("")),
    st.builds(
        events.loss_accepted,
        st.just(TableName.parse("bronze.orders")),
        st.just("kafka:orders"),
        by=st.just("ada@shop"),
        reason=st.text(),
        missing=st.just({"0": "has nothing from 6 to 8 any more"}),
        stood=st.tuples(st.none() | st.text(), st.integers(0, 9)),
        begins=st.dictionaries(st.sampled_from("012"), st.integers(0, 9)),
        incarnation=st.none() | st.text(),
    ),
)


@given(st.lists(VACUUMED | OTHERS, max_size=30))
def test_what_is_left_out_changes_nothing_and_what_upkeep_says_is_bounded(history: list[Event]) -> None:
    kept = without_outdated(history)
    assert fold(kept, 0) == fold(history, 0)
    assert [e for e in kept if e.kind != "vacuumed"] == [e for e in history if e.kind != "vacuumed"]
    assert sum(e.kind == "vacuumed" for e in kept) <= 3
    assert without_outdated(kept) == kept


def test_an_event_of_the_version_before_is_read() -> None:
    made = events.generation_created(SALES, 1, "logic")
    body = {name: value for name, value in made.body.items() if name != "reads"}
    assert fold([Event(made.at, made.kind, body)], 0).generations[SALES, 1].reads is None


def test_each_event_says_when_it_happens_and_what_each_field_means() -> None:
    makers = [f for name, f in vars(events).items() if inspect.isfunction(f) and not name.startswith("_")]
    assert len(makers) == 13
    for maker in makers:
        assert maker.__doc__, maker.__name__
        assert set(_fields(maker)) == _explained(maker), maker.__name__


def _fields(maker: Callable[..., object]) -> list[str]:
    return list(inspect.signature(maker).parameters)


def _explained(maker: Callable[..., object]) -> set[str]:
    lines = (inspect.getdoc(maker) or "").partition("Args:")[2].splitlines()
    return {
        line.strip().partition(":")[0] for line in lines if ":" in line and line.startswith("    ") and line[4] != " "
    }
