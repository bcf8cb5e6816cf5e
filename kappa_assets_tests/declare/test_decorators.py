"""What is declared wrongly is refused when the module loads, with the line and what to write instead."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from kappa_assets import Files, bronze, expect, gold, silver
from kappa_assets.errors import DeclarationError, InvalidName, KappaError
from kappa_assets.names import Layer
from kappa_assets_tests.declare.refusals import line, refused


def orders(invoices: Any) -> Any:
    """One row per order."""
    return invoices


def test_a_declared_table_is_still_its_function() -> None:
    table = silver(orders)
    assert table(["a row"]) == ["a row"]  # type: ignore[comparison-overlap, arg-type]
    assert table.function is orders


def test_a_table_knows_its_name_its_text_its_upstream_and_its_place() -> None:
    table = silver(orders)
    assert str(table.name) == "silver.orders"
    assert table.description == "One row per order."
    assert table.reads == {"invoices": "invoices"}
    assert str(table.origin) == f"{__file__}:{orders.__code__.co_firstlineno}"


def test_options_and_no_options_declare_alike() -> None:
    assert silver(orders) == silver()(orders)
    assert gold(orders) == gold()(orders)


def test_all_options_arrive() -> None:
    table = gold(
        keys=["day"],
        combine={"total": "sum"},
        reads={"invoices": "silver.sales"},
        version="2.1-a",
        on_change="forward",
        owners=["team:a"],
        tags={"a": "b"},
    )(orders)
    assert (table.keys, table.combine, table.every) == (("day",), {"total": "sum"}, None)
    assert (table.reads, table.version, table.on_change) == ({"invoices": "silver.sales"}, "2.1-a", "forward")
    assert (table.owners, table.tags) == (("team:a",), {"a": "b"})


@pytest.mark.parametrize(
    ("every", "seconds"),
    [("30 seconds", 30), ("1 minute", 60), ("1.5 minutes", 90), (" 2 hours ", 7200), ("1second", 1)],
)
def test_a_time_span_is_read_in_seconds(every: str, seconds: float) -> None:
    assert gold(every=every)(orders).every == seconds


@pytest.mark.parametrize("every", ["0 seconds", "0.0 hours", "-1 minute", "soon", "", "30", 30, "1 day"])
def test_what_is_no_time_span_above_zero_is_refused(every: Any) -> None:
    refused(lambda: gold(every=every)(orders), "gold.orders", repr(every), "'30 seconds'")


def test_how_long_unneeded_files_stay_is_declared_in_hours_or_days() -> None:
    assert gold(keep="3 days")(orders).keep == dt.timedelta(days=3)
    assert silver(keep=" 1.5 hours")(orders).keep == dt.timedelta(minutes=90)
    assert (gold(orders).keep, silver(orders).keep) == (None, None)


@pytest.mark.parametrize(
    "keep", ["0 days", "0.9 hours", "90 minutes", "-3 days", "3", "", "soon", 3, "9" * 6 + " days"]
)
def test_files_that_others_may_be_reading_stay_an_hour_at_least(keep: Any) -> None:
    refused(lambda: gold(keep=keep)(orders), "keep of gold.orders", repr(keep), "'6 hours' or '3 days'")


def test_a_bare_string_for_keys_is_refused() -> None:
    refused(lambda: gold(keys="day")(orders), "keys of gold.orders must be a list of str; got str 'day'", "['day'")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"keys": [1]}, "got int 1 in it"),
        ({"keys": {"day"}}, "got set"),
        ({"keys": ["total revenue"]}, "name column 'total revenue'"),
        ({"keys": [""]}, "name column ''"),
        ({"keys": ["day", "day"]}, "named twice"),
        ({"keys": ["day", "Day"]}, "named twice"),
        ({"keys": ["day"], "combine": {"day": "sum"}}, "named twice"),
        ({"keys": ["day"], "combine": {"total": "avg"}}, "unknown combine 'avg' of column 'total'"),
        ({"keys": ["day"], "combine": {"total": sum}}, "must be a dict from text to text"),
        ({"keys": ["day"], "combine": {"a.b": "sum"}}, "name column 'a.b'"),
        ({"keys": ["day"], "combine": ["total"]}, "must be a dict from text to text; got list ['total']"),
        ({"combine": {"total": "sum"}}, "combine of gold.orders needs keys"),
        ({"keys": ["day"], "by": "day"}, "by of gold.orders must be a list of str; got str 'day'"),
        ({"keys": ["day"], "by": ["country"]}, "by of gold.orders names 'country', which is none of its keys: ['day']"),
        ({"by": ["country"]}, "names 'country', which is none of its keys: []"),
        ({"keys": ["day"], "by": ["day", "day"]}, "by of gold.orders names a column twice"),
        ({"keys": ["day"], "by": ["total revenue"]}, "name column 'total revenue'"),
        ({"keys": ["day"], "by": ["day"], "combine": {"total": "sum"}}, "by= and combine= of gold.orders contradict"),
        ({"keys": ["day"], "combine": {"total": "sum"}, "every": "1 minute"}, "contradict"),
    ],
)
def test_options_of_a_gold_that_contradict_are_refused(options: dict[str, Any], text: str) -> None:
    refused(lambda: gold(**options)(orders), text, at=orders.__code__.co_firstlineno)


@pytest.mark.parametrize("layer", [silver, gold])
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"owners": "team:a"}, "owners of"),
        ({"owners": [1]}, "owners of"),
        ({"tags": ["a"]}, "tags of"),
        ({"tags": {"a": 1}}, "got int 1 in it"),
        ({"reads": "sales"}, "reads of"),
        ({"reads": {"sales": "sales"}}, "names 'sales', which is no parameter of it"),
        ({"reads": {"invoices": silver(orders)}}, "got the table silver.orders in it"),
        ({"reads": {"invoices": "Sales"}}, "reads 'Sales'"),
        ({"reads": {"invoices": "copper.sales"}}, "reads 'copper.sales'"),
        ({"on_change": "ignore"}, "must be 'replay' or 'forward'; got 'ignore'"),
        ({"version": ""}, "version of"),
        ({"version": 2}, "no short text: 2"),
        ({"version": "two words"}, "no short text"),
    ],
)
def test_wrong_options_are_refused_with_their_place(layer: Any, options: dict[str, Any], text: str) -> None:
    refused(lambda: layer(**options)(orders), text, at=orders.__code__.co_firstlineno)


@pytest.mark.parametrize(
    ("expectations", "text"),
    [
        (expect("a", "x > 0"), "must be a list of Expectation"),
        (["x > 0"], "got str 'x > 0' in it"),
        ([expect("a", "x > 0"), expect("a", "x > 1")], "share a name"),
    ],
)
def test_wrong_expectations_are_refused(expectations: Any, text: str) -> None:
    refused(lambda: silver(expect=expectations)(orders), text)


@pytest.mark.parametrize("condition", ["", "  ", None, 1, True])
def test_an_expectation_needs_sql(condition: Any) -> None:
    refused(lambda: expect("priced", condition), "condition of expectation 'priced' must be SQL", at=line())


@pytest.mark.parametrize("on_fail", ["stop", "Drop", "", None])
def test_an_expectation_knows_what_becomes_of_rows_that_fail(on_fail: Any) -> None:
    told = f"must be 'warn', 'drop', 'quarantine' or 'fail'; got {on_fail!r}"
    refused(lambda: expect("priced", "price > 0", on_fail=on_fail), told, at=line())


def test_an_expectation_has_a_plain_name() -> None:
    refused(lambda: expect("Is priced", "price > 0"), "'Is priced' is no identifier", at=line())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"source": "folder"}, "needs a source; got str"),
        ({"source": Files("in"), "owners": "me"}, "owners of bronze.invoices"),
        ({"source": Files("in"), "tags": {1: "a"}}, "tags of bronze.invoices"),
    ],
)
def test_a_wrong_bronze_is_refused_at_its_line(options: dict[str, Any], text: str) -> None:
    refused(lambda: bronze("invoices", **options), text, at=line())


@pytest.mark.parametrize("name", ["", "Invoices", "1st", "in-voices", "a" * 65, "a.b", "ä"])
def test_a_bronze_has_a_plain_name(name: str) -> None:
    with pytest.raises(InvalidName, match="is no identifier"):
        bronze(name, source=Files("in"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"folder": ""}, "must lie below the landing folder"),
        ({"folder": "/in"}, "must lie below"),
        ({"folder": "../in"}, "must lie below"),
        ({"folder": "in", "format": "xml"}, "unknown file format 'xml'"),
        ({"folder": "in", "format": "json", "header": True}, "header=True goes with format='csv'"),
    ],
)
def test_wrong_files_are_refused_at_their_line(options: dict[str, Any], text: str) -> None:
    refused(lambda: Files(**options), text, at=line())


def test_every_error_is_a_kappa_error() -> None:
    assert issubclass(InvalidName, DeclarationError)
    assert issubclass(DeclarationError, KappaError)
    assert list(Layer) == ["bronze", "silver", "gold"]
