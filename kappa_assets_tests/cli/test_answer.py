from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pytest

from kappa_assets.cli.answer import to_json, to_text
from kappa_assets.log.note import Position

_MOMENT = dt.datetime(2026, 1, 5, 8, 30, 0, 125000, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("0.0000"), "0.0000"),
        (Decimal("1E+3"), "1000"),
        (Decimal("12345678901234567890.1234"), "12345678901234567890.1234"),
        (_MOMENT, "2026-01-05T08:30:00.125000+00:00"),
        (_MOMENT.date(), "2026-01-05"),
        (float("nan"), "nan"),
        (1.5, 1.5),
        (True, True),
        (None, None),
        (b"\x00\xff", "AP8="),
        ([("a", Decimal(1))], [["a", "1"]]),
        ({"at": {1: _MOMENT.date()}}, {"at": {"1": "2026-01-05"}}),
        (Position(4, 5), {"batch": 4, "version": 5}),
    ],
)
def test_json_knows_every_type_a_table_can_hold(value: object, expected: object) -> None:
    assert json.loads(to_json([{"x": value}])) == [{"x": expected}]


def test_no_rows_are_an_empty_array() -> None:
    assert to_json([]) == "[]"


def test_people_read_positions_in_words_and_times_to_the_second() -> None:
    assert to_text({"bronze.invoices": Position(4, 5)}) == "bronze.invoices: batch 4, version 5"
    assert to_text(_MOMENT) == "2026-01-05 08:30:00"
    assert to_text(None) == ""
