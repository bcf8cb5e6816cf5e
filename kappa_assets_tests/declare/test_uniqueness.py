"""What is said of rows that come twice is read as it is meant, and refused where it says nothing or contradicts."""

from __future__ import annotations

from typing import Any

import pytest

from kappa_assets import expect, silver
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.kinds.known_kinds import kind_of
from kappa_assets_tests.declare.refusals import refused


def orders(invoices: Any) -> Any:
    return invoices


def test_rows_are_one_by_columns_and_within_whole_days() -> None:
    table = silver(unique=["shop", "number"], unique_within=" 48 hours ")(orders)
    assert (table.unique, table.unique_within) == (("shop", "number"), 2)
    assert (silver(orders).unique, silver(unique=["a"])(orders).unique_within) == ((), None)
    kind = kind_of(table)
    assert (kind.name, kind.keeps_addresses, kind.repairable, kind.keeps_rows) == ("unique", True, False, True)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"unique": "event_id"}, "unique of silver.orders must be a list of str; got str 'event_id'"),
        ({"unique": ["event id"]}, "unique of silver.orders name column 'event id'"),
        ({"unique": ["a.b"]}, "unique of silver.orders name column 'a.b'"),
        ({"unique": ["a", "A"]}, "unique of silver.orders names a column twice"),
        ({"unique": ["a"], "keys": ["a"], "by": ["a"]}, "silver.orders has keys and unique"),
        ({"unique_within": "7 days"}, "silver.orders has unique_within, and no unique"),
        ({"unique": ["a"], "expect": [expect("duplicate", "a > 0")]}, "an expectation named 'duplicate'"),
        ({"unique": ["a"], "unique_within": "36 hours"}, "unique_within of silver.orders is no whole number of days"),
        ({"unique": ["a"], "unique_within": "10 minutes"}, "unique_within of silver.orders is no whole number of days"),
        ({"unique": ["a"], "unique_within": "0 days"}, "unique_within of silver.orders is no time span above zero"),
        ({"unique": ["a"], "unique_within": 7}, "unique_within of silver.orders is no time span above zero: 7"),
    ],
)
def test_what_contradicts_uniqueness_is_refused(options: dict[str, Any], text: str) -> None:
    refused(lambda: silver(**options)(orders), text, at=orders.__code__.co_firstlineno)


def test_uniqueness_counts_to_the_code_version_in_any_order_of_its_columns() -> None:
    def version(**options: Any) -> str:
        return code_version(silver(**options)(orders))

    assert version(unique=["a", "b"]) == version(unique=["b", "a"])
    other: list[dict[str, Any]] = [
        {},
        {"unique": ["a"]},
        {"unique": ["a", "b"]},
        {"unique": ["a"], "unique_within": "7 days"},
    ]
    other.append({"unique": ["a"], "unique_within": "8 days"})
    assert len({version(**options) for options in other}) == 5
