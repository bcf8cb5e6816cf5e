"""Tables with several upstreams: what names their groups, and what is refused with the line and a hint."""

from __future__ import annotations

from typing import Any

import pytest

from kappa_assets import expect, gold, silver
from kappa_assets_tests.declare.refusals import refused

BY = {"sales": "customer_id", "customers": "customer_id"}


def priced_sales(sales: Any, customers: Any) -> Any:
    return sales, customers


def orders(sales: Any) -> Any:
    return sales


def test_each_upstream_says_which_of_its_columns_name_a_group() -> None:
    table = silver(keys=["sale_id"], by=BY, every="30 seconds")(priced_sales)
    assert (table.keys, table.every) == (("sale_id",), 30)
    assert table.groups_of == {"sales": ("customer_id",), "customers": ("customer_id",)}
    assert table.reads == {"sales": "sales", "customers": "customers"}
    assert table("a", "b") == ("a", "b")  # type: ignore[comparison-overlap, arg-type]
    gave = gold(keys=["customer_id"], by=BY)(priced_sales)
    assert (gave.groups_of, gave.by) == (table.groups_of, ())


def test_columns_go_together_by_their_place_in_the_order_of_the_parameters() -> None:
    by = {"customers": ("shop", "id"), "sales": ["store", "customer_id"]}
    table = gold(keys=["shop", "id"], by=by)(priced_sales)
    assert list(table.groups_of.items()) == [("sales", ("store", "customer_id")), ("customers", ("shop", "id"))]


def test_a_gold_of_several_upstreams_without_keys_names_no_groups() -> None:
    table = gold(every="1 minute")(priced_sales)
    assert (table.groups_of, table.keys, table.by, table.every) == ({}, (), (), 60)


@pytest.mark.parametrize("by", [["day"], {"sales": "day"}, {"sales": ["day"]}])
def test_a_gold_of_one_upstream_may_say_by_either_way(by: Any) -> None:
    assert gold(keys=["day", "country"], by=by)(orders) == gold(keys=["day", "country"], by=["day"])(orders)


@pytest.mark.parametrize("by", [["customer_id"], {"sales": "customer_id"}])
def test_a_silver_of_one_upstream_may_have_groups_too(by: Any) -> None:
    assert silver(keys=["began"], by=by)(orders).groups_of == {"sales": ("customer_id",)}


def test_a_row_by_row_silver_stays_one() -> None:
    assert (silver(orders).keys, silver(orders).groups_of) == ((), {})


@pytest.mark.parametrize(
    ("options", "text", "hint"),
    [
        ({"by": {**BY, "orders": "customer_id"}}, "names 'orders', which is no parameter of it", "sales, customers"),
        ({"by": {"sales": "customer_id"}}, "leaves out its parameter 'customers'", "for each upstream"),
        (
            {"by": {"sales": ["store", "customer_id"], "customers": "id"}},
            "names 2 columns of 'sales' and 1 of 'customers'",
            "in one order",
        ),
        ({"by": {**BY, "sales": []}}, "must name a column of 'sales', or a list of some; got list []", "'customer_id'"),
        ({"by": {**BY, "sales": 1}}, "must name a column of 'sales', or a list of some; got int 1", "'customer_id'"),
        ({"by": {**BY, "sales": ["a", 1]}}, "must name a column of 'sales'", "'customer_id'"),
        ({"by": {**BY, "sales": "customer id"}}, "name column 'customer id'", "letters, digits"),
        ({"by": {"sales": ["a", "A"], "customers": ["b", "c"]}}, "of 'sales', name a column twice", "once"),
        (
            {"by": ["customer_id"]},
            "must say for each upstream which columns name a group; got list ['customer_id']",
            "{'sales': 'customer_id', 'customers': 'customer_id'}",
        ),
        ({"reads": {"customers": "sales"}}, "reads sales twice, as 'sales' and as 'customers'", "joined with itself"),
    ],
)
@pytest.mark.parametrize("layer", [silver, gold])
def test_groups_that_do_not_fit_the_parameters_are_refused(
    layer: Any, options: dict[str, Any], text: str, hint: str
) -> None:
    given = {"keys": ["customer_id"], "by": BY, **options}
    refused(lambda: layer(**given)(priced_sales), text, hint, at=priced_sales.__code__.co_firstlineno)


@pytest.mark.parametrize(
    ("options", "text", "hint"),
    [
        ({}, "has 2 upstreams, and no keys and by", "@silver(keys=[...], by={'sales': 'customer_id', "),
        ({"keys": ["sale_id"]}, "has 2 upstreams, and no by", "recomputed together"),
        ({"by": BY}, "has 2 upstreams, and no keys", "recomputed together"),
        (
            {"keys": ["sale_id"], "by": BY, "expect": [expect("priced", "price > 0")]},
            "expects 'priced' with on_fail='drop'",
            "on the row-by-row Silver",
        ),
        ({"keys": ["sale_id", "Sale_id"], "by": BY}, "keys of silver.priced_sales name a column twice", "once"),
        ({"keys": "sale_id", "by": BY}, "keys of silver.priced_sales must be a list of str", "['day'"),
        ({"keys": ["sale_id"], "by": BY, "every": "soon"}, "every of silver.priced_sales is no time span", "'30 sec"),
    ],
)
def test_a_silver_that_joins_without_what_that_needs_is_refused(options: dict[str, Any], text: str, hint: str) -> None:
    refused(lambda: silver(**options)(priced_sales), text, hint, at=priced_sales.__code__.co_firstlineno)


@pytest.mark.parametrize(
    ("options", "text", "hint"),
    [
        ({"keys": ["began"]}, "has keys, and does not say which rows are recomputed together", "row by row"),
        ({"by": ["customer_id"]}, "by of silver.orders needs keys", "row by row"),
        ({"every": "1 minute"}, "has every, and no keys", "Leave every out"),
        ({"keys": ["began"], "by": "customer_id"}, "must be a list of str; got str 'customer_id'", "['customer_id']"),
    ],
)
def test_a_silver_of_one_upstream_has_all_that_groups_need_or_nothing_of_it(
    options: dict[str, Any], text: str, hint: str
) -> None:
    refused(lambda: silver(**options)(orders), text, hint)


@pytest.mark.parametrize(
    ("options", "text", "hint"),
    [
        (
            {"keys": ["customer_id"], "combine": {"spent": "sum"}},
            "combine of gold.priced_sales contradicts its 2 upstreams",
            "Join them in a Silver",
        ),
        (
            {"keys": ["customer_id"], "combine": {"spent": "sum"}, "by": BY},
            "combine of gold.priced_sales contradicts its 2 upstreams",
            "Join them in a Silver",
        ),
        ({"by": BY}, "by of gold.priced_sales needs keys", "recomputed whole"),
        ({"keys": ["customer_id"]}, "does not say which columns of each name a group", "recomputed whole"),
    ],
)
def test_a_gold_of_several_upstreams_that_contradicts_itself_is_refused(
    options: dict[str, Any], text: str, hint: str
) -> None:
    refused(lambda: gold(**options)(priced_sales), text, hint, at=priced_sales.__code__.co_firstlineno)
