"""What is said of late rows is read as it is meant, and refused where it says nothing or contradicts."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from kappa_assets import expect, late, silver
from kappa_assets.declare.tables import Late
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets_tests.declare.refusals import line, refused


def orders(invoices: Any) -> Any:
    return invoices


def test_bounds_are_spans_of_time_and_rows_stay_where_nothing_else_is_said() -> None:
    assert late("sold_at", after="2 days") == Late("sold_at", after=dt.timedelta(days=2), policy="update")
    assert late("sold_at", ahead="1.5 hours", ahead_policy="quarantine") == Late(
        "sold_at", ahead=dt.timedelta(minutes=90), ahead_policy="quarantine"
    )
    assert silver(late=late("sold_at", after="36 hours"))(orders).late == late("sold_at", after="1.5 days")
    assert silver(orders).late is None


@pytest.mark.parametrize("span", ["0 days", "-1 day", "2", "two days", "", "1 week", "1 month", 2, "9" * 6 + " days"])
@pytest.mark.parametrize("bound", ["after", "ahead"])
def test_what_is_no_span_of_time_above_zero_is_refused(span: Any, bound: str) -> None:
    refused(
        lambda: late("sold_at", **{bound: span}), f"{bound} of late() is no time span above zero: {span!r}", at=line()
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "says neither after nor ahead"),
        ({"policy": "drop"}, "says neither after nor ahead"),
        ({"ahead": "1 day", "policy": "drop"}, "has policy='drop', and no after"),
        ({"after": "1 day", "ahead_policy": "update"}, "has ahead_policy='update', and no ahead"),
        ({"after": "1 day", "policy": "warn"}, "policy of late() must be one of 'update', 'drop', 'quarantine'"),
        ({"ahead": "1 day", "ahead_policy": "drop"}, "ahead_policy of late() must be one of 'update', 'quarantine'"),
    ],
)
def test_a_policy_without_rows_that_fall_under_it_is_refused(options: dict[str, Any], text: str) -> None:
    refused(lambda: late("sold_at", **options), text, at=line())


@pytest.mark.parametrize("column", [None, 1, "", "sold at", "a.b"])
def test_the_time_of_the_event_is_a_plain_column(column: Any) -> None:
    refused(lambda: late(column, after="1 day"), "late()", at=line())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"late": "sold_at"}, "late of silver.orders must be what late() gives; got str 'sold_at'"),
        ({"late": late("at", after="1 day"), "keys": ["a"], "by": ["a"]}, "silver.orders has keys and late"),
        ({"late": late("at", after="1 day"), "expect": [expect("ahead", "x > 0")]}, "an expectation named 'ahead'"),
    ],
)
def test_what_contradicts_lateness_is_refused(options: dict[str, Any], text: str) -> None:
    refused(lambda: silver(**options)(orders), text, at=orders.__code__.co_firstlineno)


def test_lateness_counts_to_the_code_version_where_it_takes_rows_away() -> None:
    def version(judged: Late | None) -> str:
        return code_version(silver(late=judged)(orders))

    plain = code_version(silver(orders))
    assert {version(None), version(late("at", after="1 day")), version(late("at", ahead="1 day"))} == {plain}
    away = [
        late("at", after="1 day", policy="drop"),
        late("at", after="2 days", policy="drop"),
        late("day", after="1 day", policy="drop"),
        late("at", after="1 day", policy="quarantine"),
        late("at", ahead="1 day", ahead_policy="quarantine"),
    ]
    assert len({plain, *map(version, away)}) == 6
    assert version(late("at", after="24 hours", policy="drop", ahead="1 hour")) == version(away[0])
