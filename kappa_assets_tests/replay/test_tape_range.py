"""Which batches a replay plays, from versions and days: computed here a second time, batch by batch."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kappa_assets import TableName
from kappa_assets.errors import ReplayError
from kappa_assets.log.note import Position
from kappa_assets.log.tape import Tape, TapeCommit
from kappa_assets.place.local.lake import Lake
from kappa_assets.replay.tape_range import Asked, TapeRange, tape_range

INVOICES = TableName.parse("bronze.invoices")
NOW = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
DAYS = [f"2026-01-{day:02}" for day in range(5, 11)]


class KnownTape(Tape):
    """A tape whose commits are given; version = batch + `ahead`, so that batch 0 is not version 0."""

    def __init__(self, slices: list[set[str]], *, first: int = 0, ahead: int = 1) -> None:
        super().__init__(Lake(Path("/nowhere")), INVOICES)
        self._held = [
            TapeCommit(batch, batch + ahead, NOW, len(days), dict.fromkeys(sorted(days), 1))
            for batch, days in enumerate(slices, first)
        ]
        self._scanned = self._held[-1].version if self._held else -1

    def _look(self) -> None:
        """There is no log to look at."""


def asked(**what: int | str | dt.date | None) -> Asked:
    return Asked.of(*(what.get(name) for name in ("from_version", "from_time", "to_version", "to_time")))  # type: ignore[arg-type]  # a test's own table of arguments


FILES = [{DAYS[0]}, {DAYS[1], DAYS[0]}, {DAYS[3]}, {DAYS[1]}, {DAYS[4], DAYS[3]}, set(), {DAYS[5]}]


@pytest.mark.parametrize(
    ("what", "batches"),
    [
        ({}, (0, None)),
        ({"from_version": 0}, (0, None)),
        ({"from_version": 3}, (2, None)),
        ({"to_version": 3}, (0, 2)),
        ({"from_version": 2, "to_version": 2}, (1, 1)),
        ({"from_time": DAYS[0]}, (0, None)),
        ({"from_time": DAYS[2]}, (2, None)),
        ({"from_time": DAYS[4]}, (4, None)),
        ({"to_time": DAYS[1]}, (0, 1)),
        ({"to_time": DAYS[3]}, (0, 5)),
        ({"to_time": "2026-12-31"}, (0, 6)),
        ({"from_time": DAYS[1], "to_version": 7}, (1, 6)),
        ({"from_time": dt.date(2026, 1, 7)}, (2, None)),
        ({"from_time": "2026-01-07T23:30:00-02:00"}, (2, None)),
        ({"from_time": "2026-01-09T01:30:00+02:00"}, (2, None)),
        ({"from_time": dt.datetime(2026, 1, 7, 5)}, (2, None)),  # noqa: DTZ001 -- without a zone it is UTC
    ],
)
def test_versions_and_days_become_batches(what: dict[str, int | str | None], batches: tuple[int, int | None]) -> None:
    assert tape_range(KnownTape(FILES), asked(**what)) == TapeRange(*batches)


@given(
    slices=st.lists(st.sets(st.sampled_from(DAYS), max_size=3), min_size=1, max_size=8),
    day=st.sampled_from(DAYS),
)
def test_days_take_in_every_batch_with_rows_of_them(slices: list[set[str]], day: str) -> None:
    tape = KnownTape(slices)
    later = [n for n, days in enumerate(slices) if days and max(days) >= day]
    if later:
        assert tape_range(tape, asked(from_time=day)) == TapeRange(later[0], None)
    else:
        with pytest.raises(ReplayError, match=f"arrived on {day} or later"):
            tape_range(tape, asked(from_time=day))
    after = [n for n, days in enumerate(slices) if days and min(days) > day]
    if after == [] or after[0] > 0:
        assert tape_range(tape, asked(to_time=day)).last == (after[0] if after else len(slices)) - 1
    else:
        with pytest.raises(ReplayError, match=f"no batch up to {day}"):
            tape_range(tape, asked(to_time=day))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"from_version": 1, "from_time": DAYS[0]}, "from_version 1 and from_time 2026-01-05 are both given"),
        ({"to_version": 0, "to_time": DAYS[0]}, "to_version 0 and to_time 2026-01-05 are both given"),
        ({"from_time": "the day before"}, "from_time 'the day before' is neither a day nor a moment"),
        ({"from_version": 8}, "has no version 8; its newest is 7"),
        ({"to_version": 8}, "has no version 8; its newest is 7"),
        ({"from_version": -1}, "-1 is no Bronze version"),
        ({"to_version": -1}, "-1 is no Bronze version"),
        ({"to_version": 0}, "holds no batch up to version 0"),
        ({"from_version": 4, "to_version": 3}, r"upside down: it begins with batch 3 .* and ends with batch 2"),
        ({"from_time": DAYS[4], "to_time": DAYS[1]}, r"upside down: it begins with batch 4 .* ends with batch 1"),
        ({"from_time": "2027-01-01"}, r"arrived on 2027-01-01 or later\nHint: Its newest slice is 2026-01-10"),
    ],
)
def test_what_is_not_there_or_contradicts_itself_is_refused(what: dict[str, int | str | None], said: str) -> None:
    with pytest.raises(ReplayError, match=said):
        tape_range(KnownTape(FILES), asked(**what))


@pytest.mark.parametrize("what", [{}, {"from_version": 4}, {"to_version": 7}])
def test_an_index_that_does_not_reach_back_is_refused(what: dict[str, int | str | None]) -> None:
    tape = KnownTape([{DAYS[0]}] * 3, first=4)
    with pytest.raises(ReplayError, match=r"index of bronze\.invoices begins with batch 4, version 5"):
        tape_range(tape, asked(**what))
    assert tape_range(tape, asked(from_version=5)) == TapeRange(4, None)
    assert tape_range(tape, asked(from_version=6, to_version=7)) == TapeRange(5, 6)


def test_a_position_is_cut_at_the_end_of_a_validation() -> None:
    tape = KnownTape(FILES)
    assert tape.bounded(Position(5, 6), 3) == Position(3, 4)
    assert tape.bounded(Position(2, 3), 3) == Position(2, 3)
    assert tape.bounded(Position(5, 6), None) == Position(5, 6)
