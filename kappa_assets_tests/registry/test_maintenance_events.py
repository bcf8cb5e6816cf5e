from __future__ import annotations

from kappa_assets.registry import events
from kappa_assets.registry.state import fold
from kappa_assets.table import TableName

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
